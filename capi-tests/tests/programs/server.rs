//! A server that runs during a test.

use capi_tests::library;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server process. It and its workers are killed when this is dropped,
/// however the test ends.
pub(crate) struct Server {
    /// The `timeout` process, whose child is the server; both are in one
    /// process group.
    timeout: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a command made by
    /// [`Under::command`](crate::twice::Under::command). Its output goes to
    /// `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("creating the log");
        let timeout = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("duplicating a file descriptor"))
            .stderr(file)
            .spawn()
            .expect("`timeout` starts");
        Server { timeout, log }
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        let children = wait("the server's process", || {
            Some(children(self.timeout.id())).filter(|it| !it.is_empty())
        });
        children[0]
    }

    /// Waits until the server answers.
    pub(crate) fn ready<T>(&mut self, mut answer: impl FnMut() -> Option<T>) -> T {
        let log = self.log.clone();
        let timeout = &mut self.timeout;
        wait("the server's first response", || {
            let ended = timeout.try_wait().expect("waiting for a child process");
            assert!(ended.is_none(), "the server exited: {ended:?}\n{}", end_of(&log));
            answer()
        })
    }

    /// Sends a signal that asks the server to terminate, and expects success.
    pub(crate) fn stop(mut self, signal: &str) {
        self.signal(signal);
        self.ends();
    }

    /// Waits for the server to terminate, and expects success. It was asked to
    /// in some other way.
    pub(crate) fn ends(&mut self) {
        let timeout = &mut self.timeout;
        let status =
            wait("the server to exit", || timeout.try_wait().expect("waiting for a child process"));
        assert!(status.success(), "the server exited with {status}\n{}", end_of(&self.log));
    }

    /// What it printed so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid();
        assert!(send(signal, &pid.to_string()), "cannot send {signal} to {pid}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log ends with\n{}", end_of(&self.log));
        }
        if let Ok(None) = self.timeout.try_wait() {
            send("KILL", &format!("-{}", self.timeout.id()));
            let _ = self.timeout.kill();
            let _ = self.timeout.wait();
        }
    }
}

/// Uses bash's builtin `kill`: the program may be missing.
fn send(signal: &str, to: &str) -> bool {
    let status = Command::new("bash").args(["-c", "kill -s \"$0\" -- \"$1\"", signal, to]).status();
    status.is_ok_and(|it| it.success())
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(6000)..]).into_owned()
}

/// Asserts that a process printed what its memory was used for when it ended, as it does with
/// `STRATA_CONF=explain:exit`: all of it, at least so many MiB.
pub(crate) fn explained(said: &str, mib: f64) {
    let table =
        said.split("strata: Memory of the process").nth(1).unwrap_or_else(|| panic!("{said}"));
    let row = table.lines().find_map(|line| line.strip_prefix("  all ")).expect("the last row");
    let mut words = row.split_whitespace();
    let number: f64 = words.next().and_then(|it| it.parse().ok()).expect("a number");
    let all = if words.next() == Some("KiB") { number / 1024.0 } else { number };
    assert!(all >= mib && row.ends_with("100.0 %"), "{table}");
}

/// Polls ten times a second until there is an answer, for at most one minute.
pub(crate) fn wait<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The processes whose parent is `pid`.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("reading /proc").flatten();
    let ids = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    ids.filter(|&id| parent(id) == Some(pid)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name that precedes may contain anything, including spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Asserts that a process has loaded the library.
pub(crate) fn assert_library_loaded(pid: u32) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("reading maps");
    assert!(names_the_library(&maps), "{pid}:\n{maps}");
}

/// Asserts that the children of a process have loaded the library, and returns
/// their number. Children that exit meanwhile are not counted.
pub(crate) fn count_children_with_library(pid: u32) -> usize {
    let mappings = |id: &u32| fs::read_to_string(format!("/proc/{id}/maps")).ok();
    let all: Vec<String> = children(pid).iter().filter_map(mappings).collect();
    // The mappings of a process that is exiting are empty.
    let all = all.into_iter().filter(|maps| !maps.is_empty());
    all.inspect(|maps| assert!(names_the_library(maps), "{maps}")).count()
}

fn names_the_library(maps: &str) -> bool {
    let library = library();
    let name = library.file_name().expect("a file name").to_string_lossy();
    maps.lines().any(|line| line.ends_with(&format!("/{name}")))
}

/// Resident memory of a process, in MiB.
pub(crate) fn resident(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(path).expect("reading smaps_rollup");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line with Rss");
    let kib = line.trim().strip_suffix(" kB").and_then(|it| it.trim().parse::<u64>().ok());
    kib.expect("a number of kB") / 1024
}
