//! What a process says on a signal, before it dies by one, and where: on standard error, in files,
//! and into a pipe that nobody reads.

mod common;

use allocator_core::{Config, Registers, Signal, StackWords, Strata};
use common::{Block, Ended, Random, at_end};
use std::fs;
use std::os::unix::process::CommandExt;
use std::os::unix::thread::JoinHandleExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static GLOBAL: Strata = Strata::with_config(Config::new().signal(Signal::Usr1));

const MIB: usize = 1 << 20;

/// How a report on a signal begins.
const TABLE: &str = "strata: Memory of the process, by what it is held for:\n";

/// What is said where another thread writes a report.
const BUSY: &str = "strata: no report on this signal: another thread is writing one\n";

fn raise(signal: i32) {
    // SAFETY: the handlers that there may be do what handlers may.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// What is set for a signal.
fn handler_of(signal: i32) -> usize {
    // SAFETY: all zero is a valid value, and the call writes one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}

/// Runs a case with options in the environment.
fn run(case: &str, options: &str) -> Ended {
    common::command(case).env("STRATA_CONF", options).output().unwrap().into()
}

/// Runs a case that must succeed, and returns what it said.
fn said(case: &str, options: &str) -> String {
    let ended = run(case, options);
    let err = ended.err.clone();
    common::check_success(case, ended);
    err
}

/// Runs a case that must die by `SIGTERM`, and returns what it said.
fn last_words(case: &str, options: &str) -> String {
    let ended = run(case, options);
    assert_eq!(ended.signal, Some(libc::SIGTERM), "{}\n{}", ended.out, ended.err);
    ended.err
}

/// A folder of its own for each test.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("strata-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Takes a sample for one of this function.
fn unwind(_: Registers, _: &mut StackWords, frames: &mut [usize]) -> usize {
    frames[0] = profiled as *const () as usize;
    1
}

/// Reports twice, with blocks in the heap profile.
fn profiled() {
    assert!(Strata::profile_unwinder(Some(unwind)));
    Strata::profile_start(1 << 10);
    let blocks: Vec<_> = (0..100).map(|_| Block::new(&GLOBAL, 100_000, 8).unwrap()).collect();
    raise(libc::SIGUSR2);
    raise(libc::SIGUSR2);
    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Allocates and frees blocks of all sizes, and looks whether they are whole.
fn busy(seed: u64) {
    let mut random = Random(seed);
    let mut blocks: Vec<Option<Block>> = (0..200).map(|_| None).collect();
    while !STOP.load(Ordering::Relaxed) {
        let at = random.below(blocks.len());
        if let Some(block) = blocks[at].take() {
            let size = block.layout.size();
            // SAFETY: `Block::new` wrote these bytes.
            assert_eq!(unsafe { (*block.ptr, *block.ptr.add(size - 1)) }, (1, 2));
            block.free(&GLOBAL);
        } else {
            blocks[at] = Block::new(&GLOBAL, 2 + random.size(21), 8);
        }
    }
    blocks.into_iter().flatten().for_each(|block| block.free(&GLOBAL));
}

/// A thousand signals to threads that allocate.
fn storm() {
    let threads: Vec<_> = (1..5).map(|seed| std::thread::spawn(move || busy(seed))).collect();
    for turn in 0..1000 {
        // SAFETY: the thread runs until it is told to stop.
        unsafe { libc::pthread_kill(threads[turn % 4].as_pthread_t(), libc::SIGUSR2) };
        // A signal that waits for a thread already is not sent again.
        std::thread::sleep(Duration::from_millis(1));
    }
    STOP.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// In the child of a fork: reports, into a pipe. Returns 7 if it is all there.
fn reports_alone() -> i32 {
    let mut ends = [0; 2];
    // SAFETY: plain calls on descriptors of this process.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        assert_eq!(libc::dup2(ends[1], libc::STDERR_FILENO), libc::STDERR_FILENO);
    }
    raise(libc::SIGUSR2);
    let text = drain(ends[0]);
    if text.starts_with(TABLE) && text.contains("  all  ") { 7 } else { 8 }
}

/// Children of forks report, whatever the threads of the parent were doing.
fn forks() {
    let threads: Vec<_> = (1..4).map(|seed| std::thread::spawn(move || busy(seed))).collect();
    for turn in 0..60 {
        // Some of them are amid a report.
        // SAFETY: the thread runs until it is told to stop.
        unsafe { libc::pthread_kill(threads[turn % 3].as_pthread_t(), libc::SIGUSR2) };
        assert_eq!(common::status_of_child(reports_alone), 7, "turn {turn}");
    }
    // SAFETY: the child only dies.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            raise(libc::SIGTERM);
            libc::_exit(1);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGTERM);
    }
    STOP.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

/// The program's own handlers take the places of ours.
fn own_handlers() {
    for signal in [libc::SIGUSR2, libc::SIGTERM] {
        assert_ne!(handler_of(signal), libc::SIG_DFL);
        // SAFETY: the handler only counts.
        unsafe { libc::signal(signal, count as extern "C" fn(i32) as usize) };
        raise(signal);
    }
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
}

/// The hard limit refuses a request.
fn refused() {
    Strata::set_hard_limit(32 * MIB);
    assert!(Block::new(&GLOBAL, 64 * MIB, 8).is_none());
}

/// A pipe in place of standard error: a full one, or one that nobody will read.
fn pipe_for_stderr(is_read: bool) -> [i32; 2] {
    let mut ends = [0; 2];
    // SAFETY: plain calls on descriptors of this process.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        assert_eq!(libc::dup2(ends[1], libc::STDERR_FILENO), libc::STDERR_FILENO);
        if is_read {
            libc::fcntl(ends[1], libc::F_SETFL, libc::O_NONBLOCK);
            while libc::write(ends[1], [b'.'; 4096].as_ptr().cast(), 4096) > 0 {}
            libc::fcntl(ends[1], libc::F_SETFL, 0);
        } else {
            libc::close(ends[0]);
        }
    }
    ends
}

/// All that is in a pipe now.
fn drain(reader: i32) -> String {
    let mut text = vec![0u8; 1 << 20];
    let mut len = 0;
    // SAFETY: there is so much room.
    unsafe {
        libc::fcntl(reader, libc::F_SETFL, libc::O_NONBLOCK);
        while let Ok(read @ 1..) =
            usize::try_from(libc::read(reader, text[len..].as_mut_ptr().cast(), text.len() - len))
        {
            len += read;
        }
    }
    String::from_utf8_lossy(&text[..len]).into_owned()
}

/// Reports that nobody reads: of a request, and on a signal.
fn full_pipe() {
    let [reader, _] = pipe_for_stderr(true);
    let begin = Instant::now();
    refused();
    raise(libc::SIGUSR2);
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(150), "{took:?}: it gave up at once");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(drain(reader).bytes().all(|byte| byte == b'.'));
    raise(libc::SIGUSR2);
    let text = drain(reader);
    let rest = text.strip_prefix("strata: ").unwrap_or_else(|| panic!("{text}"));
    let (lost, rest) = rest.split_once(" bytes of reports before this one were lost\n").unwrap();
    assert!(lost.parse::<usize>().unwrap() > 1500 && rest.starts_with(TABLE), "{text}");
    raise(libc::SIGUSR2);
    assert!(drain(reader).starts_with(TABLE));
}

/// Nor does a report raise a signal where the reader is gone.
fn broken_pipe() {
    // SAFETY: the default of a signal, which Rust's library ignores.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    pipe_for_stderr(false);
    refused();
    raise(libc::SIGUSR2);
}

#[test]
fn child() {
    match common::case().as_deref() {
        Some("by the source") => raise(libc::SIGUSR1),
        Some("nothing") => {
            assert_eq!(handler_of(libc::SIGUSR1), libc::SIG_DFL);
            assert_eq!(handler_of(libc::SIGTERM), libc::SIG_DFL);
        }
        Some("profiled") => profiled(),
        Some("asked") => raise(libc::SIGUSR2),
        Some("refused") => refused(),
        Some("storm") => storm(),
        Some("forks") => forks(),
        Some("term") => raise(libc::SIGTERM),
        Some("own handlers") => own_handlers(),
        Some("full pipe") => full_pipe(),
        Some("broken pipe") => broken_pipe(),
        Some(case) => panic!("{case}?"),
        None => return,
    }
    at_end();
}

#[test]
fn it_reports_on_the_chosen_signal() {
    assert_eq!(said("by the source", "").matches(TABLE).count(), 1);
    for name in ["USR2", "SIGUSR2", "sigusr2"] {
        let text = said("asked", &format!("signal:{name}"));
        assert!(text.starts_with(TABLE) && text.contains("  all  "), "{text}");
    }
}

#[test]
fn no_handler_is_set_unless_somebody_asks() {
    assert!(said("nothing", "signal:none,explain:never").is_empty());
    let text = said("nothing", "signal:KILL,signal:none");
    let wrong = "strata: STRATA_CONF: signal must be none, HUP, QUIT, USR1, USR2 or WINCH, not \
                 \"KILL\"\n";
    assert_eq!(text, wrong);
}

#[test]
fn the_heap_profile_is_in_the_report_and_in_a_file() {
    let folder = folder("profile");
    let name = format!("{}/heap.%p", folder.display());
    let text = said("profiled", &format!("signal:USR2,profile_file:{name}"));
    assert_eq!(text.matches("Largest in use, by the profile").count(), 2, "{text}");
    assert!(text.contains(" bytes in ") && text.contains(" blocks: 0x"), "{text}");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let written = fs::read_to_string(file).unwrap();
    assert!(written.starts_with("heap profile: "), "{written}");
    assert!(written.contains("\nMAPPED_LIBRARIES:\n") && written.contains("on_signal"));
    // One report, as the second is written over the first.
    assert_eq!(written.matches("heap profile: ").count(), 1);
    // Without a sample there is no file.
    fs::remove_file(file).unwrap();
    let text = said("asked", &format!("signal:USR2,profile_file:{name}"));
    assert!(text.ends_with("profile_file: the heap profile is off, and has nothing\n"), "{text}");
    let text = said("profiled", "signal:USR2,profile_file:/no/such/folder/heap");
    let failed = "strata: profile_file: /no/such/folder/heap: No such file or directory\n";
    assert_eq!(text.matches(failed).count(), 2, "{text}");
    fs::remove_dir(folder).unwrap();
}

#[test]
fn reports_go_to_a_file_too() {
    let folder = folder("log");
    let name = format!("{}/log", folder.display());
    for (case, times) in [("refused", 1), ("asked", 2)] {
        let text = said(case, &format!("signal:USR2,log_file:{name}"));
        assert!(text.contains("  all  "), "{text}");
        let log = fs::read_to_string(&name).unwrap();
        assert_eq!(log.matches("strata: process ").count(), times, "{log}");
        assert!(log.starts_with("strata: process ") && log.ends_with(&text), "{log}\n{text}");
    }
    let ended = run("term", &format!("explain:exit,log_file:{name}"));
    assert_eq!(ended.signal, Some(libc::SIGTERM));
    assert!(fs::read_to_string(&name).unwrap().ends_with(&ended.err));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_that_cannot_be_written_gets_one_line() {
    for (file, why) in [
        ("/no/such/folder/log", "No such file or directory"),
        ("/dev/full", "No space left on device"),
        ("/", "Is a directory"),
    ] {
        let text = said("asked", &format!("signal:USR2,log_file:{file}"));
        assert_eq!(
            text.matches(&format!("strata: log_file: {file}: {why}\n")).count(),
            1,
            "{text}"
        );
        assert!(text.contains(TABLE) && text.contains("  all  "), "{text}");
        assert_eq!(text.matches("log_file").count(), 1, "{text}");
    }
}

#[test]
fn threads_that_allocate_go_on_after_a_thousand_signals() {
    let text = said("storm", "signal:USR2");
    let (tables, busy) = (text.matches(TABLE).count(), text.matches(BUSY).count());
    println!("{tables} reports, {busy} while another was written");
    assert!(tables >= 50 && tables + busy <= 1000, "{tables} {busy}");
    // None is mixed with another.
    let begins = text.split(TABLE).skip(1);
    assert!(begins.clone().all(|report| report.contains("  all  ")), "{text}");
}

#[test]
fn it_speaks_before_it_dies() {
    let text = last_words("term", "explain:exit");
    assert!(text.starts_with(TABLE) && text.matches(TABLE).count() == 1, "{text}");
    let text = last_words("term", "stats:exit");
    assert!(text.starts_with("strata: live ") && !text.contains(TABLE), "{text}");
    assert!(last_words("term", "signal:USR2").is_empty());
}

#[test]
fn children_of_forks_speak() {
    let text = said("forks", "signal:USR2,explain:exit");
    assert!(text.matches(TABLE).count() >= 20, "{text}");
}

#[test]
fn the_program_s_own_handler_wins() {
    let text = said("own handlers", "signal:USR2,explain:exit");
    // That of the exit.
    assert_eq!(text.matches(TABLE).count(), 1, "{text}");
}

#[test]
fn what_is_ignored_stays_ignored() {
    let mut command = common::command("asked");
    // SAFETY: the child of the fork makes a system call.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGUSR2, libc::SIG_IGN);
            Ok(())
        });
    }
    let output = command.env("STRATA_CONF", "signal:USR2,verbose:true").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    common::check_success("asked", output.into());
    let line = "strata: SIGUSR2 is ignored, or has a handler: it stays as it is\n";
    assert!(text.ends_with(line) && !text.contains(TABLE), "{text}");
}

#[test]
fn a_full_pipe_delays_a_report_and_does_not_stop_the_program() {
    said("full pipe", "signal:USR2");
}

#[test]
fn a_pipe_without_a_reader_is_not_written_to() {
    said("broken pipe", "signal:USR2");
}
