// Threads that exchange messages and share memory, large JSON texts, buffers,
// compression, streams; prints digests.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');
const { Transform, pipeline } = require('stream');

const digest = (data) => crypto.createHash('sha256').update(data).digest('hex').slice(0, 16);

function generator(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % limit;
  };
}

function records(seed, count) {
  const random = generator(seed);
  const list = [];
  for (let i = 0; i < count; i++) {
    list.push({
      id: i,
      name: 'name ' + random(1e6).toString(36).repeat(1 + random(5)),
      marks: Array.from({ length: random(10) }, () => random(1000) / 8),
      deep: { flag: random(2) === 1, next: { text: '\u00e4\u20ac' + random(100), none: null } },
    });
  }
  return list;
}

function work({ seed, shared }) {
  const list = records(seed, 12000);
  const text = JSON.stringify(list);
  const again = JSON.stringify(JSON.parse(text));
  const counts = new Map();
  for (const { name } of list) counts.set(name.slice(0, 7), (counts.get(name.slice(0, 7)) || 0) + 1);
  const buffers = [];
  const random = generator(seed + 1);
  for (let i = 0; i < 3000; i++) {
    const buffer = Buffer.alloc(1 + random(i % 100 === 0 ? 400000 : 6000), i & 255);
    buffers[random(300)] = buffer;
  }
  Atomics.add(new Int32Array(shared), 0, list.length);
  const packed = zlib.gzipSync(text, { level: 5 });
  const kept = Buffer.concat(buffers.filter(Boolean));
  return {
    texts: [digest(text), text === again, digest([...counts].sort().join(';'))],
    packed: digest(packed),
    back: zlib.gunzipSync(packed).toString() === text,
    kept: digest(kept),
    // Transferred, not copied: the other thread frees it.
    bytes: new Uint8Array(kept).buffer,
  };
}

if (!isMainThread) {
  const result = work(workerData);
  parentPort.postMessage(result, [result.bytes]);
} else {
  const shared = new SharedArrayBuffer(4);
  const run = (seed) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(__filename, { workerData: { seed, shared } });
      worker.on('message', resolve);
      worker.on('error', reject);
    });

  const arrays = () => {
    const random = generator(5);
    const floats = new Float64Array(1500000).map(() => random(1 << 24) / 3);
    const sorted = Float64Array.from(floats).sort();
    const list = Array.from(floats.subarray(0, 200000), (it) => it.toFixed(3));
    list.sort();
    let grown = [];
    for (let i = 0; i < 400000; i++) {
      grown.push({ i });
      if (i % 100000 === 99999) grown = grown.filter((it) => it.i % 3 === 0);
    }
    return [digest(Buffer.from(sorted.buffer)), digest(list.join()), grown.length];
  };

  const streams = () =>
    new Promise((resolve, reject) => {
      const hash = crypto.createHash('md5');
      let length = 0;
      const source = zlib.createBrotliCompress({ params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } });
      const upper = new Transform({
        transform(chunk, _, done) {
          length += chunk.length;
          hash.update(chunk);
          done(null, chunk);
        },
      });
      pipeline(source, zlib.createBrotliDecompress(), upper, (error) => (error ? reject(error) : resolve([length, hash.digest('hex')])));
      upper.resume();
      for (let i = 0; i < 200; i++) source.write(Buffer.alloc(20000, `part ${i} `));
      source.end();
    });

  (async () => {
    for (const round of [1, 2]) {
      const results = await Promise.all([1, 2, 3, 4].map((id) => run(round * 10 + id)));
      for (const { texts, packed, back, kept, bytes } of results) {
        console.log(round, ...texts, packed, back, kept, bytes.byteLength, digest(Buffer.from(bytes)));
      }
    }
    console.log('shared', new Int32Array(shared)[0]);
    console.log('arrays', ...arrays());
    console.log('streams', ...(await streams()));
    const keys = crypto.createECDH('prime256v1');
    keys.setPrivateKey(crypto.createHash('sha256').update('a key').digest());
    console.log('key', digest(keys.getPublicKey()), digest(crypto.scryptSync('word', 'salt', 64)));
    console.log('pattern', 'ab12cd345'.repeat(20000).replace(/([a-z]+)(\d+)/g, '$2$1').length);
  })();
}
