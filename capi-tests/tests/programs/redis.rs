//! Redis: the digest of its data, forks that save it, and memory returned to
//! the system.

use std::fmt::Write;
use std::path::PathBuf;

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::server::{Server, assert_library_loaded, explained, resident, wait};
use crate::twice::{Under, assert_same_output, printed};

/// Maximum memory after all keys are deleted: an empty server has about 10 MiB.
const EMPTY_MIB: u64 = 40;

struct Redis {
    server: Server,
    socket: PathBuf,
    under: Under,
}

impl Redis {
    /// Starts a server whose data and socket are in `folder`.
    fn start(folder: &Folder, under: Under) -> Self {
        let socket = folder.at("socket");
        let mut command = under.command("redis-server");
        command.args(["--port", "0", "--save", "", "--enable-debug-command", "local"]);
        command.args(["--io-threads", "2", "--io-threads-do-reads", "yes"]);
        command.arg("--dir").arg(folder.path()).arg("--unixsocket").arg(&socket);
        // As in `docs/recipes.md`.
        command.env("STRATA_CONF", "explain:exit");
        let server = Server::start(&mut command, folder.at("log"));
        let mut redis = Redis { server, socket, under };
        let mut client = redis.command("redis-cli");
        client.arg("PING");
        redis.server.ready(|| {
            let output = client.output().expect("`timeout` starts");
            (output.stdout == b"PONG\n").then_some(())
        });
        if under == Under::Library {
            assert_library_loaded(redis.server.pid());
        }
        redis
    }

    /// One of its clients.
    fn command(&self, client: &str) -> std::process::Command {
        let mut command = self.under.command(client);
        command.arg("-s").arg(&self.socket);
        command
    }

    fn ask(&self, question: &[&str]) -> String {
        let output = self.command("redis-cli").arg("-e").args(question).output();
        let output = output.expect("`timeout` starts");
        assert!(output.status.success(), "{question:?}: {}", capi_tests::describe(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn digest(&self) -> String {
        let digest = self.ask(&["DEBUG", "DIGEST"]);
        assert!(digest.len() == 40 && digest.bytes().any(|it| it != b'0'), "{digest}");
        digest
    }

    /// The value of a line `name:value` of the server's report.
    fn info(&self, name: &str) -> String {
        let report = self.ask(&["INFO"]);
        let value = report.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no {name} in\n{report}")).trim().to_owned()
    }

    /// Writes the same data at each call: all types, growing, shrinking,
    /// deleted.
    fn fill(&self, folder: &Folder) {
        let file = folder.write("commands", commands(60_000));
        let file = std::fs::File::open(file).expect("opening the file");
        let mut client = self.command("redis-cli");
        let said = printed(client.arg("--pipe").stdin(file));
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("errors: 0, replies: 60000"), "{said}");
    }

    fn benchmark(&self) -> std::process::Command {
        let mut command = self.command("redis-benchmark");
        command.args(["-n", "10000", "-c", "30", "-P", "4", "--threads", "2", "-r", "5000", "-q"]);
        command.args([
            "-d",
            "300",
            "-t",
            "set,get,incr,lpush,rpop,sadd,hset,spop,zadd,zpopmin,mset",
        ]);
        command
    }

    fn save(&self) {
        let said = self.ask(&["BGSAVE"]);
        assert!(said.contains("Background saving started"), "{said}");
    }

    fn saved(&self) {
        wait("the save to finish", || (self.info("rdb_bgsave_in_progress") == "0").then_some(()));
        assert_eq!(self.info("rdb_last_bgsave_status"), "ok");
    }

    fn shut_down(mut self) {
        // The server closes the connection without a response.
        let _ = self.command("redis-cli").args(["SHUTDOWN", "NOSAVE"]).output();
        self.server.ends();
        if self.under == Under::Library {
            explained(&self.server.log(), 5.0);
        }
    }
}

fn commands(count: usize) -> String {
    let mut out = String::new();
    let mut random = 1_u64;
    for i in 0..count {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = (random >> 33) % 1500;
        let member = (random >> 20) % 4000;
        let long = if i % 100 == 0 { 20_000 } else { 500 };
        let value = format!("{:x}", random | 1).repeat(1 + (random >> 48) as usize % long / 16);
        match (random >> 58) % 16 {
            0 | 1 => writeln!(out, "SET s{key} {value}\r"),
            2 => writeln!(out, "APPEND s{key} {value}\r"),
            3 => writeln!(out, "SETRANGE s{key} {member} {value}\r"),
            4 | 5 => writeln!(out, "HSET h{key} f{member} {value} g{member} {i}\r"),
            6 => writeln!(out, "HDEL h{key} f{member}\r"),
            7 => writeln!(out, "LPUSH l{key} {value} {i}\r"),
            8 => writeln!(out, "RPUSH l{key} {value}\r"),
            9 => writeln!(out, "LTRIM l{key} 0 {}\r", member % 8),
            10 => writeln!(out, "SADD t{key} {member} {i} {value}\r"),
            11 => writeln!(out, "SREM t{key} {member}\r"),
            12 | 13 => writeln!(out, "ZADD z{key} {member} m{i} {i} {value}\r"),
            14 => writeln!(out, "XADD x{key} {}-1 f{member} {value}\r", i + 1),
            _ => writeln!(out, "DEL s{key} h{member} l{member} t{member} z{member}\r"),
        }
        .expect("writing to a string");
    }
    out
}

fn redis_is_installed() -> bool {
    find_installed("redis-server", "redis-server", "--version").is_some()
        && find_installed("redis-benchmark", "redis-tools", "--version").is_some()
        && find_installed("redis-cli", "redis-tools", "--version").is_some()
}

#[test]
fn data_is_the_same() {
    if !redis_is_installed() {
        return;
    }
    assert_same_output(|under| {
        let folder = Folder::new("redis-same");
        let redis = Redis::start(&folder, under);
        redis.fill(&folder);
        let digest = redis.digest();
        redis.shut_down();
        digest.into_bytes()
    });
}

#[test]
fn what_forks_save_is_read_again() {
    if !redis_is_installed() {
        return;
    }
    let folder = Folder::new("redis-save");
    let redis = Redis::start(&folder, Under::Library);
    redis.fill(&folder);
    printed(&mut redis.benchmark());

    // A save during load: the child has a snapshot of the memory.
    let mut load = redis.benchmark().stdout(std::process::Stdio::null()).spawn().unwrap();
    redis.save();
    let ended = load.wait().expect("waiting for a child process");
    assert!(ended.success(), "the load exited with {ended}");
    redis.saved();
    redis.ask(&["DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE"]);

    let digest = redis.digest();
    redis.save();
    redis.saved();
    assert_eq!(redis.digest(), digest);
    redis.shut_down();

    let redis = Redis::start(&folder, Under::Library);
    assert_eq!(redis.digest(), digest, "after loading the file");
    redis.ask(&["DEBUG", "RELOAD"]);
    assert_eq!(redis.digest(), digest, "after a reload");
    redis.shut_down();
}

#[test]
fn memory_goes_back() {
    if !redis_is_installed() {
        return;
    }
    let folder = Folder::new("redis-back");
    let redis = Redis::start(&folder, Under::Library);
    let pid = redis.server.pid();
    // In the second round, another thread frees what the first one allocated.
    for way in ["SYNC", "ASYNC"] {
        redis.ask(&["DEBUG", "POPULATE", "1000000", "key", "100"]);
        let full = resident(pid);
        assert!(full > 100, "a million keys take {full} MiB");
        redis.ask(&["FLUSHALL", way]);
        let mut least = full;
        for _ in 0..300 {
            least = least.min(resident(pid));
            if least < EMPTY_MIB {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert!(least < EMPTY_MIB, "FLUSHALL {way}: {full} MiB fell to {least} MiB in 30 s");
    }
    redis.shut_down();
}
