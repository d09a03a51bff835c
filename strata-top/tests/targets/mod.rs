//! Processes that the tests look at: each has a heap, rests, and says its own numbers when it is
//! asked to, by a line on its standard input.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io::{BufRead, BufReader, ErrorKind, Write as _};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use allocator_core::{Metrics, Strata};
use serde_json::Value;

/// In a child: it is to have the heap.
const CASE: &str = "STRATA_TOP_TARGET";

/// A child ends by itself after so many seconds.
const SECONDS: u32 = 120;

/// Bytes of blocks of a class that nobody else uses, and how many there are.
pub(crate) const BLOCK: usize = 20 << 10;
pub(crate) const BLOCKS: usize = 50;

/// Bytes of a huge block.
pub(crate) const HUGE: usize = 5 << 20;

/// A process at rest.
pub(crate) struct Target {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// The program under test.
pub(crate) fn top() -> Command {
    Command::new(env!("CARGO_BIN_EXE_strata-top"))
}

/// What it says of the problem that it ends with.
pub(crate) fn problem(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(output.stdout.is_empty());
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().strip_prefix("strata-top: ").expect("the name").to_owned()
}

/// Lets every process of the user read the one that the command starts, as far as the system
/// leaves that to the process.
pub(crate) fn readable(command: &mut Command) -> &mut Command {
    // SAFETY: one system call.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
            Ok(())
        })
    }
}

impl Target {
    /// This program, as a process on Strata.
    pub(crate) fn rust() -> Self {
        Target::of(&std::env::current_exe().expect("the path of this program"))
    }

    /// A copy of this program.
    pub(crate) fn of(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(CASE, "1");
        Target::start(&mut command)
    }

    /// A program in C, with the library preloaded.
    pub(crate) fn c(options: &str) -> Self {
        // Tests that run at a time would compile it into the same file.
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| capi_tests::compile("resting.c", "", &[]));
        let mut command = Command::new(program);
        command.args(["resting", "ours"]);
        command.env("LD_PRELOAD", capi_tests::library()).env("STRATA_CONF", options);
        Target::start(&mut command)
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let command = readable(command).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut started = command.spawn();
        // A child that another test has just forked may still have the file open, to which this
        // one wrote the program.
        while started.as_ref().is_err_and(|error| error.kind() == ErrorKind::ExecutableFileBusy) {
            thread::sleep(Duration::from_millis(5));
            started = command.spawn();
        }
        let mut child = started.expect("the program starts");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut target = Target { child, input, output };
        target.says();
        target
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Its own numbers.
    pub(crate) fn says(&mut self) -> Value {
        self.input.write_all(b"\n").expect("it reads");
        loop {
            let mut line = String::new();
            let len = self.output.read_line(&mut line).expect("it writes");
            assert_ne!(len, 0, "it has ended");
            // The harness of the tests writes lines, too.
            if let Some(at) = line.find('{') {
                return serde_json::from_str(&line[at..]).expect("JSON");
            }
        }
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: a plain call; the child was not waited for.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0);
    }

    /// Its state, by the letter that the system has for it.
    pub(crate) fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("stat");
        let (_, rest) = stat.rsplit_once(") ").expect("a name");
        rest.chars().next().expect("a state")
    }

    /// Kills it, and waits for it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something.
pub(crate) fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_there() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What `explain --json` says of a process.
pub(crate) fn explained(pid: i32) -> Value {
    let output = top().args(["explain", "--json", &pid.to_string()]).output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{error}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What only the process can tell: what is resident for which purpose, and for whom.
const OWN: [&str; 2] = ["resident", "scopes"];

/// All other numbers that a process says of itself are those of the program.
pub(crate) fn check_same(own: &Value, seen: &Value) {
    let own = own.as_object().expect("an object");
    assert!(own.len() > 25, "{own:?}");
    for (key, value) in own.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
        assert_eq!(Some(value), seen.get(key), "{key}");
    }
}

/// What the program says of a process, whose own numbers before and after are the same: so it
/// rested. They agree to the byte.
pub(crate) fn agrees(target: &mut Target) -> Value {
    for _ in 0..50 {
        let before = target.says();
        let seen = explained(target.pid());
        if target.says() == before {
            check_same(&before, &seen);
            return seen;
        }
        // The helper returns free memory meanwhile.
        thread::sleep(Duration::from_millis(200));
    }
    panic!("it never rests");
}

/// A copy of this program, without symbols, in a folder.
pub(crate) fn stripped(folder: &Path) -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    let copy = folder.join("stripped");
    let arguments = [OsStr::new("-s"), OsStr::new("-o"), copy.as_os_str(), program.as_os_str()];
    let status = Command::new("strip").args(arguments).status().expect("strip starts");
    assert!(status.success());
    copy
}

/// Text in memory that was there before.
struct Fixed {
    text: [u8; 32 << 10],
    len: usize,
}

impl fmt::Write for Fixed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.text.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// In a child: makes blocks of all kinds, in threads that run and that ended, and says the numbers
/// whenever it is asked to. Allocates nothing for that.
pub(crate) fn rest() {
    if std::env::var_os(CASE).is_none() {
        return;
    }
    // SAFETY: a plain call.
    unsafe { libc::alarm(SECONDS) };
    let blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|_| Vec::with_capacity(BLOCK)).collect();
    let small: Vec<Box<[u64; 7]>> = (0..3000).map(|n| Box::new([n; 7])).collect();
    let runs: Vec<Vec<u8>> = (1..9).map(|n| vec![1; n * (100 << 10)]).collect();
    let huge = vec![2_u8; HUGE];
    // The last huge block that is freed stays as it is for the next.
    drop(vec![3_u8; 3 * HUGE]);
    let ended = thread::spawn(|| (0..500).map(|n| vec![n as u8; 48]).collect::<Vec<_>>());
    let ended = ended.join().expect("it ends");
    let (sender, receiver) = mpsc::channel::<Vec<Vec<u8>>>();
    let (ready, is_ready) = mpsc::channel();
    // Keeps free blocks of its own and of others, and sleeps.
    let keeps = thread::spawn(move || {
        drop((0..200).map(|n| vec![n as u8; 80]).collect::<Vec<_>>());
        drop(receiver.recv());
        ready.send(()).expect("somebody waits");
        receiver.recv().is_ok()
    });
    sender.send((0..40).map(|n| vec![n as u8; 200]).collect()).expect("it receives");
    is_ready.recv().expect("it sends");
    drop(small.into_iter().step_by(2).collect::<Vec<_>>());
    let mut text = Box::new(Fixed { text: [0; 32 << 10], len: 0 });
    let mut line = [0_u8; 1];
    loop {
        // SAFETY: the buffer has one byte.
        let read = unsafe { libc::read(0, line.as_mut_ptr().cast(), 1) };
        if read != 1 {
            break;
        }
        text.len = 0;
        writeln!(text, "{}", Metrics::from(Strata::stats()).json()).expect("there is room");
        // SAFETY: the text has as many bytes.
        let written = unsafe { libc::write(1, text.text.as_ptr().cast(), text.len) };
        assert_eq!(written, text.len as isize);
    }
    drop((blocks, runs, huge, ended, sender));
    keeps.join().expect("it ends");
}
