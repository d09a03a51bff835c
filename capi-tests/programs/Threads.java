import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

/** Threads that produce garbage, direct buffers, compression; prints digests. */
public class Threads {
    record Entry(String name, int number, List<Integer> marks) {}

    static String digest(byte[] data) throws Exception {
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(data);
        return HexFormat.of().formatHex(hash, 0, 8);
    }

    static int next(long[] state, int limit) {
        state[0] = state[0] * 6364136223846793005L + 1442695040888963407L;
        return (int) ((state[0] >>> 33) % limit);
    }

    static String entries(int seed, ConcurrentHashMap<Integer, AtomicLong> counts) throws Exception {
        long[] state = {seed};
        TreeMap<String, Entry> tree = new TreeMap<>();
        for (int i = 0; i < 60000; i++) {
            String name = Integer.toString(next(state, 9000), 36);
            List<Integer> marks = new ArrayList<>();
            for (int k = next(state, 6); k > 0; k--) marks.add(next(state, 1000));
            tree.merge(name, new Entry(name, i, marks),
                (a, b) -> new Entry(a.name, a.number + b.number, b.marks));
            counts.computeIfAbsent(i % 613, k -> new AtomicLong()).addAndGet(seed);
        }
        StringBuilder text = new StringBuilder();
        tree.values().forEach(it -> text.append(it).append('\n'));
        return text.toString();
    }

    /** Native memory: direct buffers, zlib's internal state. */
    static String outside(int seed, byte[] text) throws Exception {
        long[] state = {seed};
        List<ByteBuffer> buffers = new ArrayList<>();
        for (int i = 0; i < 2000; i++) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(1 + next(state, i % 50 == 0 ? 300000 : 4000));
            while (buffer.hasRemaining()) buffer.put((byte) i);
            buffer.flip();
            if (buffers.size() < 100) buffers.add(buffer);
            else buffers.set(next(state, 100), buffer);
        }
        CRC32 sum = new CRC32();
        buffers.forEach(sum::update);
        for (int level = 1; level <= 9; level += 2) {
            Deflater deflater = new Deflater(level);
            deflater.setInput(text);
            deflater.finish();
            byte[] packed = new byte[text.length + 1000];
            int length = deflater.deflate(packed);
            deflater.end();
            Inflater inflater = new Inflater();
            inflater.setInput(packed, 0, length);
            byte[] back = new byte[text.length];
            if (inflater.inflate(back) != text.length || !java.util.Arrays.equals(back, text)) {
                throw new IllegalStateException("another text");
            }
            inflater.end();
            sum.update(packed, 0, length);
        }
        return Long.toHexString(sum.getValue());
    }

    static String task(int seed, ConcurrentHashMap<Integer, AtomicLong> counts) throws Exception {
        byte[] text = entries(seed, counts).getBytes(StandardCharsets.UTF_8);
        return seed + " " + text.length + " " + digest(text) + " " + outside(seed, text);
    }

    public static void main(String[] arguments) throws Exception {
        ConcurrentHashMap<Integer, AtomicLong> counts = new ConcurrentHashMap<>();
        ExecutorService pool = Executors.newFixedThreadPool(6);
        List<Future<String>> results = new ArrayList<>();
        for (int i = 1; i <= 18; i++) {
            int seed = i;
            results.add(pool.submit(() -> task(seed, counts)));
        }
        for (Future<String> result : results) System.out.println(result.get());
        pool.shutdown();
        System.out.println(counts.values().stream().mapToLong(AtomicLong::get).sum());

        // Short-lived threads.
        AtomicLong sum = new AtomicLong();
        for (int round = 0; round < 40; round++) {
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 25; i++) {
                int id = i;
                Thread thread = new Thread(() -> sum.addAndGet(ByteBuffer.allocateDirect(1000 + id).capacity()));
                thread.start();
                threads.add(thread);
            }
            for (Thread thread : threads) thread.join();
        }
        System.out.println(sum.get());
        String joined = IntStream.range(0, 200000).parallel().mapToObj(i -> Integer.toHexString(i * 7919))
            .sorted().collect(Collectors.joining(","));
        System.out.println(digest(joined.getBytes(StandardCharsets.UTF_8)));
        System.out.println(Pattern.compile("([0-9]+)([a-f]+)").matcher(joined).replaceAll("$2$1").hashCode());
    }
}
