//! Threads of an execution, which shuttle runs one at a time, on one thread of the system.
//! What the system keeps for each thread is kept here: the allocator's word, a token, and what
//! runs at the end.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, OnceLock};

use shuttle::thread;

/// The allocator's word of a thread.
pub(crate) struct Word {
    /// What a new thread has.
    pub(crate) none: usize,
    pub(crate) get: fn() -> usize,
    pub(crate) set: fn(usize),
}

static WORD: OnceLock<Word> = OnceLock::new();

/// Says where the word is. Once, before the first execution.
pub(crate) fn set_word(word: Word) {
    assert!(WORD.set(word).is_ok(), "it was said before");
}

fn word() -> &'static Word {
    WORD.get().expect("it was said before the first execution")
}

/// The allocator's function for the end of a thread.
static ENDED: OnceLock<unsafe extern "C" fn(*mut c_void)> = OnceLock::new();

/// Calls a function at the end of threads that ask for it by [`at_end`].
pub(crate) fn on_end(ended: unsafe extern "C" fn(*mut c_void)) {
    ENDED.get_or_init(|| ended);
}

/// Whether an execution is under way. Before and after, nothing is scheduled.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// Whether this is the child of a fork, where the calling thread is alone.
static ALONE: AtomicBool = AtomicBool::new(false);

/// Threads that have begun and not ended.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// The last token.
static TOKENS: AtomicU32 = AtomicU32::new(0);

/// Read at each point where another thread may go on.
static POINT: shuttle::sync::atomic::AtomicBool = shuttle::sync::atomic::AtomicBool::new(false);

shuttle::thread_local! {
    static TOKEN: Cell<u32> = Cell::new(0);
    static AT_END: Cell<*mut c_void> = Cell::new(ptr::null_mut());
}

/// The label of the step that is left out.
static LEFT_OUT: OnceLock<String> = OnceLock::new();

/// From now on, this step is left out, which a labelled one of the allocator's protocols is.
pub(crate) fn leave_out(label: &str) {
    LEFT_OUT.set(label.to_owned()).expect("one step can be left out");
}

/// Whether a step is left out.
pub(crate) fn is_left_out(label: &str) -> bool {
    LEFT_OUT.get().is_some_and(|it| it == label)
}

/// Another thread may go on here.
pub(crate) fn pause() {
    switch(|| {
        POINT.load(Ordering::SeqCst);
    });
}

/// Another thread should go on here: this one waits.
pub(crate) fn rest() {
    switch(thread::yield_now);
}

/// As [`rest`], until another thread does something.
pub(crate) fn wait() {
    assert!(!is_alone(), "a thread waits for one that vanished in a fork");
    rest();
}

/// Runs `f`, in which other threads may run, and keeps this thread's word.
fn switch<R>(f: impl FnOnce() -> R) -> Option<R> {
    if !UNDER_WAY.load(Ordering::Relaxed) || is_alone() {
        return None;
    }
    let mine = (word().get)();
    let result = f();
    (word().set)(mine);
    Some(result)
}

/// A thread that was spawned.
pub(crate) struct Handle<R>(thread::JoinHandle<R>);

impl<R> Handle<R> {
    /// Waits for its end.
    pub(crate) fn join(self) -> R {
        switch(|| self.0.join().expect("a panic ends the process")).expect("an execution")
    }
}

/// Spawns a thread.
pub(crate) fn spawn<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> Handle<R> {
    ALIVE.fetch_add(1, Ordering::Relaxed);
    let handle = switch(|| thread::spawn(move || as_thread(f)));
    Handle(handle.expect("an execution"))
}

/// Runs an execution, whose first thread does `f`.
pub(crate) fn execution(f: impl FnOnce()) {
    UNDER_WAY.store(true, Ordering::Relaxed);
    ALIVE.store(1, Ordering::Relaxed);
    as_thread(|| {
        f();
        // The helper leaves a thread that is alone.
        while alive() > 1 {
            rest();
        }
    });
    UNDER_WAY.store(false, Ordering::Relaxed);
}

/// Runs `f` as a thread that begins and ends.
fn as_thread<R>(f: impl FnOnce() -> R) -> R {
    TOKEN.with(|token| token.set(TOKENS.fetch_add(1, Ordering::Relaxed) + 1));
    (word().set)(word().none);
    let result = f();
    let _work = work(0);
    loop {
        let value = AT_END.with(|at_end| at_end.replace(ptr::null_mut()));
        let Some(ended) = ENDED.get().filter(|_| !value.is_null()) else { break };
        // SAFETY: the thread asked for this call, with this value.
        unsafe { ended(value) };
    }
    ALIVE.fetch_sub(1, Ordering::Relaxed);
    result
}

/// What threads are doing to blocks in the allocator, in bytes, by their tokens.
static WORK: Mutex<BTreeMap<u32, usize>> = Mutex::new(BTreeMap::new());

/// The calling thread is in the allocator until this is dropped.
#[must_use]
pub(crate) struct Work;

/// It does something to a block of so many bytes, or to many.
pub(crate) fn work(bytes: usize) -> Work {
    WORK.lock().unwrap().insert(token(), bytes);
    Work
}

impl Work {
    /// The block gets so many bytes.
    pub(crate) fn also(&mut self, bytes: usize) {
        *WORK.lock().unwrap().entry(token()).or_default() += bytes;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        WORK.lock().unwrap().remove(&token());
    }
}

/// Threads that are in the allocator, and the bytes of the blocks that they do something to.
pub(crate) fn working() -> (usize, usize) {
    let work = WORK.lock().unwrap();
    (work.len(), work.values().sum())
}

/// Seconds after which the child of a fork has failed.
const PATIENCE: u32 = 60;

/// Forks the process. In the child, the other threads have vanished, wherever they were; the
/// calling thread does `f` and ends it.
///
/// # Panics
/// If the child fails.
pub(crate) fn fork(f: impl FnOnce()) {
    // Before the handlers of the child run.
    ALONE.store(true, Ordering::Relaxed);
    // SAFETY: the process has one thread of the system's.
    let child = unsafe { libc::fork() };
    if child == 0 {
        ALIVE.store(1, Ordering::Relaxed);
        // SAFETY: ends this process at the latest then.
        unsafe { libc::alarm(PATIENCE) };
        let failed = panic::catch_unwind(AssertUnwindSafe(f)).is_err();
        // SAFETY: ends this process.
        unsafe { libc::_exit(failed.into()) };
    }
    ALONE.store(false, Ordering::Relaxed);
    let mut status = 0;
    // SAFETY: it is our child, and the status a place of ours.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert!(ended == child && status == 0, "the child of a fork fails: {status:#x}");
}

/// Whether this is the child of a fork, where the calling thread is alone.
pub(crate) fn is_alone() -> bool {
    ALONE.load(Ordering::Relaxed)
}

/// Threads that have begun and not ended.
pub(crate) fn alive() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

/// The calling thread's token; that of none outside of executions.
pub(crate) fn token() -> u32 {
    if UNDER_WAY.load(Ordering::Relaxed) { TOKEN.with(Cell::get) } else { u32::MAX >> 1 }
}

/// Has the calling thread's end told, with this value.
pub(crate) fn at_end(value: *mut c_void) {
    AT_END.with(|at_end| at_end.set(value));
}
