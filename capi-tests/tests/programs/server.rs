//! A server that runs for as long as a test looks at it.

use capi_tests::library;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ended with its workers when dropped, however the test ends.
pub(crate) struct Server {
    /// `timeout`, whose child the server is; both lead a group of their own.
    timeout: Child,
    log: PathBuf,
}

impl Server {
    /// Starts what [`Under::command`](crate::twice::Under::command) made; what
    /// it prints goes to `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("the log can be written");
        let timeout = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be shared"))
            .stderr(file)
            .spawn()
            .expect("`timeout` starts");
        Server { timeout, log }
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        let children = wait("the server's process", || {
            Some(children(self.timeout.id())).filter(|it| !it.is_empty())
        });
        children[0]
    }

    /// Waits until a first question is answered.
    pub(crate) fn ready<T>(&mut self, mut answer: impl FnMut() -> Option<T>) -> T {
        let log = self.log.clone();
        let timeout = &mut self.timeout;
        wait("the server's first answer", || {
            let ended = timeout.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "the server ended: {ended:?}\n{}", end_of(&log));
            answer()
        })
    }

    /// Sends it a signal that asks it to end, and expects it to end well.
    pub(crate) fn stop(mut self, signal: &str) {
        self.signal(signal);
        self.ends();
    }

    /// Expects it to end well; something else has asked it to.
    pub(crate) fn ends(&mut self) {
        let timeout = &mut self.timeout;
        let status = wait("the server's end", || timeout.try_wait().expect("a child can be asked"));
        assert!(status.success(), "the server ended with {status}\n{}", end_of(&self.log));
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid();
        assert!(send(signal, &pid.to_string()), "{pid} cannot be sent {signal}");
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

/// By the shell's own `kill`: the program of that name may be missing.
fn send(signal: &str, to: &str) -> bool {
    let status = Command::new("bash").args(["-c", "kill -s \"$0\" -- \"$1\"", signal, to]).status();
    status.is_ok_and(|it| it.success())
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(6000)..]).into_owned()
}

/// Asks ten times a second until there is an answer, for a minute at most.
pub(crate) fn wait<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The processes whose parent is `pid`.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc can be read").flatten();
    let ids = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    ids.filter(|&id| parent(id) == Some(pid)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything, spaces too.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Expects of a process that it has the library loaded.
pub(crate) fn assert_library_loaded(pid: u32) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings can be read");
    assert!(names_the_library(&maps), "{pid}:\n{maps}");
}

/// Expects that of the children of a process, and says how many they are:
/// those that are still there when they are looked at.
pub(crate) fn count_children_with_library(pid: u32) -> usize {
    let mappings = |id: &u32| fs::read_to_string(format!("/proc/{id}/maps")).ok();
    let all: Vec<String> = children(pid).iter().filter_map(mappings).collect();
    // Those of a process that is just ending can be read, and are none.
    let all = all.into_iter().filter(|maps| !maps.is_empty());
    all.inspect(|maps| assert!(names_the_library(maps), "{maps}")).count()
}

fn names_the_library(maps: &str) -> bool {
    let library = library();
    let name = library.file_name().expect("a library has a name").to_string_lossy();
    maps.lines().any(|line| line.ends_with(&format!("/{name}")))
}

/// The memory that a process has from the system, in MiB.
pub(crate) fn resident(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(path).expect("its memory can be read");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("it says Rss");
    let kib = line.trim().strip_suffix(" kB").and_then(|it| it.trim().parse::<u64>().ok());
    kib.expect("it is said in kB") / 1024
}
