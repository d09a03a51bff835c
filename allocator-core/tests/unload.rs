//! A library with its own Strata is unloaded, and the process goes on.

mod common;

use std::alloc::System;
use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use common::plugin::{self, Left, Object, Plugin};
use common::{RELEASE, succeeds};

#[global_allocator]
static GLOBAL: System = System;

/// Loads the library anew.
fn load() -> Plugin {
    plugin::load(&plugin::built(RELEASE))
}

/// Unloads the library, which must be gone.
///
/// # Safety
/// Nothing of the library is used after this.
unsafe fn unload(plugin: Plugin) {
    // SAFETY: by the caller.
    unsafe { plugin.unload() };
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("libplugin"), "{maps}");
}

/// Bytes of addresses and of memory that the process has.
fn memory() -> (usize, usize) {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    let mut pages = text.split_whitespace().map(|word| word.parse::<usize>().unwrap() << 12);
    (pages.next().unwrap(), pages.next().unwrap())
}

/// What a thread is to do with the library.
type Job = Box<dyn FnOnce() + Send>;

/// A thread that outlives the library.
struct Worker {
    jobs: Sender<Job>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn new() -> Self {
        let (jobs, receive) = channel::<Job>();
        let (send, done) = channel();
        let thread = thread::spawn(move || {
            for job in receive {
                job();
                send.send(()).unwrap();
            }
        });
        Worker { jobs, done, thread }
    }

    fn start(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).unwrap();
    }

    fn wait(&self) {
        self.done.recv().unwrap();
    }

    fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.start(job);
        self.wait();
    }

    fn end(self) {
        drop(self.jobs);
        self.thread.join().unwrap();
    }
}

/// All threads use the library: blocks of each go to the next, which frees them.
fn use_in(workers: &[Worker], plugin: Plugin) {
    let (send, receive) = channel();
    for (n, worker) in workers.iter().enumerate() {
        let send = send.clone();
        worker.start(move || {
            plugin.object(100).check();
            send.send(plugin.object(200 + n as u64)).unwrap();
        });
    }
    workers.iter().for_each(Worker::wait);
    drop(send);
    for (object, worker) in receive.iter().zip(workers.iter().rev()) {
        worker.run(move || drop(object));
    }
    plugin.object(300).check();
}

const LOADS: usize = 1000;

/// The library is loaded and unloaded, and used in threads that stay.
fn many_times() {
    let workers: Vec<Worker> = (0..4).map(|_| Worker::new()).collect();
    let once = || {
        let plugin = load();
        use_in(&workers, plugin);
        assert_eq!((plugin.live_bytes)(), 0);
        // SAFETY: no thread has anything of the library.
        unsafe { unload(plugin) };
    };
    (0..20).for_each(|_| once());
    let before = memory();
    (0..LOADS).for_each(|_| once());
    let after = memory();
    eprintln!("{before:?}, then {after:?}");
    assert!(after.0 <= before.0 + (64 << 10), "addresses: {before:?}, then {after:?}");
    assert!(after.1 <= before.1 + (1 << 20), "memory: {before:?}, then {after:?}");
    workers.into_iter().for_each(Worker::end);
}

/// Each time some blocks stay. They keep their contents, and no more than the memory
/// that they are in.
fn with_live_blocks() {
    let mut left = Vec::new();
    let mut once = || {
        let plugin = load();
        left.push(plugin.leave());
        drop((0..20).map(|_| plugin.object(3000)).collect::<Vec<Object>>());
        // SAFETY: what the library allocated is only read.
        unsafe { unload(plugin) };
    };
    (0..20).for_each(|_| once());
    let before = memory();
    (0..200).for_each(|_| once());
    let after = memory();
    eprintln!("{before:?}, then {after:?}");
    // Resident memory may have shrunk: the system takes pages away when it is short.
    let per_load = |of: fn((usize, usize)) -> usize| of(after).saturating_sub(of(before)) / 200;
    assert!(per_load(|memory| memory.0) <= 4 << 20, "addresses: {before:?}, then {after:?}");
    assert!(per_load(|memory| memory.1) <= 1 << 20, "memory: {before:?}, then {after:?}");
    left.iter().for_each(Left::check);
}

/// There is much to return to the system, and the helper does so.
fn while_the_helper_runs(milliseconds: u64) {
    let before = memory();
    for _ in 0..5 {
        let plugin = load();
        drop((0..5).map(|_| plugin.object(20 << 10)).collect::<Vec<Object>>());
        thread::sleep(std::time::Duration::from_millis(milliseconds));
        // SAFETY: the objects are freed.
        unsafe { unload(plugin) };
        thread::sleep(std::time::Duration::from_millis(100));
    }
    let after = memory();
    assert!(after.0 <= before.0 + (4 << 20), "addresses: {before:?}, then {after:?}");
    assert!(after.1 <= before.1 + (4 << 20), "memory: {before:?}, then {after:?}");
}

/// Threads that used the library fork and exit once it is gone.
fn forks_and_exits_follow() {
    let workers: Vec<Worker> = (0..4).map(|_| Worker::new()).collect();
    let plugin = load();
    use_in(&workers, plugin);
    // SAFETY: no thread has anything of the library.
    unsafe { unload(plugin) };
    for worker in &workers {
        worker.run(|| {
            assert_eq!(common::status_of_child(|| 3), 3);
        });
    }
    workers.into_iter().for_each(Worker::end);
}

/// The child of a fork, in which other threads are missing, unloads the library.
fn in_a_child() {
    let workers: Vec<Worker> = (0..4).map(|_| Worker::new()).collect();
    let plugin = load();
    use_in(&workers, plugin);
    let status = common::status_of_child(|| {
        plugin.object(100).check();
        // SAFETY: this thread has nothing of the library, and is the only one.
        unsafe { plugin.unload() };
        4
    });
    assert_eq!(status, 4);
    use_in(&workers, plugin);
    // SAFETY: no thread has anything of the library.
    unsafe { unload(plugin) };
    workers.into_iter().for_each(Worker::end);
}

/// Threads that used the library exit while it is unloaded.
fn exits_meanwhile() {
    for round in 0..300u32 {
        let workers: Vec<Worker> = (0..4).map(|_| Worker::new()).collect();
        let plugin = load();
        use_in(&workers, plugin);
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                drop(worker.jobs);
                worker.thread
            })
            .collect();
        (0..round % 50 * 100).for_each(|_| std::hint::spin_loop());
        // SAFETY: no thread has anything of the library.
        unsafe { unload(plugin) };
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// The process exits while threads are in the library.
fn exit_in_use() {
    let plugin = load();
    for _ in 0..4 {
        thread::spawn(move || {
            loop {
                plugin.object(2000).check();
            }
        });
    }
    thread::sleep(std::time::Duration::from_millis(100));
    common::at_end();
    std::process::exit(0);
}

/// The library is unloaded by a function that runs when the process exits.
fn at_exit() {
    static LOADED: std::sync::OnceLock<Plugin> = std::sync::OnceLock::new();
    extern "C" fn unload_it() {
        // SAFETY: nothing of the library is used any more.
        unsafe { unload(*LOADED.get().unwrap()) };
        thread::sleep(std::time::Duration::from_millis(900));
        println!("\nend of the case");
    }
    // SAFETY: a function without arguments.
    assert_eq!(unsafe { libc::atexit(unload_it) }, 0);
    let plugin = *LOADED.get_or_init(load);
    drop((0..5).map(|_| plugin.object(20 << 10)).collect::<Vec<Object>>());
}

/// Whether a signal does what it does by default.
fn is_default(signal: i32) -> bool {
    // SAFETY: all zero is a valid value, and the call writes one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &raw mut action), 0);
        action.sa_sigaction == libc::SIG_DFL
    }
}

/// The library has handlers of signals, which go with it.
fn handlers() {
    for _ in 0..3 {
        assert!(is_default(libc::SIGUSR2) && is_default(libc::SIGTERM));
        let plugin = load();
        plugin.object(100).check();
        assert!(!is_default(libc::SIGUSR2) && !is_default(libc::SIGTERM));
        // SAFETY: it reports.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
        // SAFETY: nothing of the library is used any more.
        unsafe { unload(plugin) };
    }
    assert!(is_default(libc::SIGUSR2) && is_default(libc::SIGTERM));
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match &*case {
        "many times" => many_times(),
        "live blocks" => with_live_blocks(),
        "helper" => [0, 10, 450, 900].into_iter().for_each(while_the_helper_runs),
        "afterwards" => forks_and_exits_follow(),
        "child" => in_a_child(),
        "meanwhile" => exits_meanwhile(),
        "handlers" => handlers(),
        "in use" => exit_in_use(),
        "at exit" => return at_exit(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

/// Runs a case. The library is built before.
fn run(case: &str) {
    plugin::build(RELEASE);
    succeeds(case);
}

#[test]
fn a_thousand_loads_leave_nothing() {
    run("many times");
}

#[test]
fn live_blocks_stay() {
    run("live blocks");
}

#[test]
fn the_helper_is_stopped() {
    run("helper");
}

#[test]
fn forks_and_thread_exits_may_follow() {
    run("afterwards");
}

#[test]
fn a_child_may_unload() {
    run("child");
}

#[test]
fn threads_may_exit_meanwhile() {
    run("meanwhile");
}

#[test]
fn handlers_of_signals_are_removed() {
    plugin::build(RELEASE);
    let mut command = common::command("handlers");
    let output = command.env("STRATA_CONF", "signal:USR2,explain:exit").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    common::check_success("handlers", output.into());
    // On the signal, and at the end of the library.
    assert_eq!(said.matches("strata: Memory of the process").count(), 6, "{said}");
}

#[test]
fn at_exit_nothing_is_torn_down() {
    run("in use");
}

#[test]
fn an_exit_function_may_unload() {
    run("at exit");
}
