//! The task of the helper: a thread that the C library does not know.
//!
//! A thread of the C library would make the process multithreaded for it: `fork` in a
//! signal handler would deadlock, `putc` would lock, and the last thread of the program
//! would not end the process. A bare `clone` does none of that. In exchange, the task
//! must not call the C library: it has a thread block of its own, in which the library's
//! variables do not exist.
//!
//! ```text
//!  one mapping, while the task runs:
//!  │guard│ stack, 64 KiB      ◄──│ thread block: 0 … word … │ tp: header, 4 KiB │
//!                                                           └ thread pointer
//! ```
//!
//! The task has its own, empty table of descriptors, so that it takes no descriptor of
//! the program and keeps no pipe open; default scheduling on the CPUs that the process
//! started with; all signals blocked; and no privilege. It shares the rest: the address
//! space, the working directory, the process's id.

use super::arch;
use super::cpu;
use super::file;
use super::page_size::page_size;
use super::stack::without_signals;
use super::syscall::syscall;
use super::thread::{self, TaskBody};
use core::ffi::{CStr, c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// A word of thread-local storage: its offset from the thread pointer, and the value
/// that it has in the task.
#[derive(Clone, Copy, Debug)]
pub struct ThreadWord {
    /// Bytes from the thread pointer, negative if below.
    pub offset: isize,
    /// The value.
    pub value: usize,
}

/// Bytes of the task's stack. Most of it is never touched.
const STACK: usize = 64 << 10;

/// Bytes of the thread block that are there in any case, on either side of the thread
/// pointer: code that the compiler instruments may look at variables of its own.
const BLOCK: usize = 8 << 10;

/// The task's name, as shown by `ps`.
const NAME: &CStr = c"strata";

/// The task shares all but its descriptors, and the C library does not know it.
const FLAGS: usize = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID) as usize;

/// The id of the running task. The kernel writes it before `clone` returns, and 0 when
/// the task is gone, its stack included.
static TASK: AtomicU32 = AtomicU32::new(0);

/// The memory of the last task. (Relaxed: whoever starts a task writes them, and the
/// child of a fork reads them, alone.)
static MAPPING: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static MAPPING_BYTES: AtomicUsize = AtomicUsize::new(0);

/// What the task finds at the top of its stack. It lies above the stack.
struct Start {
    body: TaskBody,
    mapping: *mut u8,
    bytes: usize,
}

/// Starts the task: `body(own_files)`, in which the given word of thread-local storage
/// has the given value. The task ends when the body returns. `false`: it was not
/// started, or the one before is still there.
///
/// `body` must not call the C library, and nothing that it calls may: its thread block
/// has no other variable than that word. Where a runtime must know every thread
/// (ThreadSanitizer), it runs on a thread of the C library without files of its own.
pub fn start_task(body: TaskBody, word: ThreadWord) -> bool {
    if arch::has_thread_sanitizer() {
        return thread::start_known_thread(body);
    }
    if task_runs() {
        return false;
    }
    let Some((start, stack, pointer)) = make_memory(body, word) else { return false };
    // SAFETY: the stack and the block are the task's alone, and stay mapped until it
    // unmaps them.
    let answer = without_signals(|| unsafe {
        arch::clone(FLAGS, stack, TASK.as_ptr(), pointer, run, start.cast())
    });
    if answer < 0 {
        // SAFETY: no task has it.
        unsafe {
            let (mapping, bytes) = ((*start).mapping, (*start).bytes);
            let _ = syscall(libc::SYS_munmap, [mapping.expose_provenance(), bytes]);
        }
    }
    answer >= 0
}

/// Whether the task still exists.
pub fn task_runs() -> bool {
    // Acquire: the kernel's store follows all that the task did.
    TASK.load(Ordering::Acquire) != 0
}

/// Waits until the task is gone. The caller made it end.
pub fn wait_for_task() {
    loop {
        let task = TASK.load(Ordering::Acquire);
        if task == 0 {
            return;
        }
        // The kernel wakes waiters of any process, so this is not a private wait.
        let word = TASK.as_ptr().expose_provenance();
        let args = [word, libc::FUTEX_WAIT as usize, task as usize, 0];
        // SAFETY: the word is static, and the kernel only reads it.
        let _ = unsafe { syscall(libc::SYS_futex, args) };
    }
}

/// In the child of a fork: the task does not exist. Its memory is released.
pub fn forget_task() {
    let mapping = MAPPING.swap(ptr::null_mut(), Ordering::Relaxed);
    // A task that was about to end has unmapped its memory, or is about to: that of the
    // child is lost then.
    if TASK.swap(0, Ordering::Relaxed) != 0 && !mapping.is_null() {
        let bytes = MAPPING_BYTES.load(Ordering::Relaxed);
        // SAFETY: the memory was the task's.
        let _ = unsafe { syscall(libc::SYS_munmap, [mapping.expose_provenance(), bytes]) };
    }
}

/// Number of tasks of the process, the helper included. It opens no descriptor. `None`:
/// the system does not tell.
pub fn task_count() -> Option<usize> {
    let links = status_of(c"/proc/self/task")?.st_nlink as usize;
    links.checked_sub(2).filter(|count| *count != 0)
}

/// A number that changes when the program's first thread changes its credentials, its
/// capabilities, its namespaces or its seccomp state. It reads files: called by the
/// task, which has its own table of descriptors.
pub fn credentials() -> u64 {
    const LINES: [&[u8]; 6] = [b"Uid:", b"Gid:", b"Groups:", b"Cap", b"NoNewPrivs:", b"Seccomp"];
    const SPACES: [&CStr; 5] = [
        c"/proc/self/ns/user",
        c"/proc/self/ns/mnt",
        c"/proc/self/ns/net",
        c"/proc/self/ns/ipc",
        c"/proc/self/ns/uts",
    ];
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut text = [0; 4096];
    let len = file::read_file(c"/proc/self/status", &mut text).unwrap_or(0);
    let lines = text[..len].split(|byte| *byte == b'\n');
    lines
        .filter(|line| LINES.iter().any(|start| line.starts_with(start)))
        .for_each(|line| line.iter().for_each(|byte| add(*byte)));
    for space in SPACES.into_iter().filter_map(status_of) {
        space.st_ino.to_ne_bytes().into_iter().for_each(&mut add);
    }
    hash
}

/// The status of a file, without opening it.
fn status_of(path: &CStr) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    let args = [
        libc::AT_FDCWD as usize,
        path.as_ptr().expose_provenance(),
        status.as_mut_ptr().expose_provenance(),
        0,
    ];
    // SAFETY: the path ends with a null byte, and the kernel fills the status if it
    // answers 0.
    unsafe { syscall(libc::SYS_newfstatat, args).ok().map(|_| status.assume_init()) }
}

/// Maps the task's memory. Returns what it starts with, the top of its stack, and its
/// thread pointer.
fn make_memory(body: TaskBody, word: ThreadWord) -> Option<(*mut Start, *mut u8, usize)> {
    let page = page_size();
    let rseq = cpu::rseq_word_offset();
    let offsets = [word.offset, rseq.unwrap_or(0)];
    let whole = |bytes: usize| (bytes + BLOCK).next_multiple_of(page);
    // A word of the C library far from the thread pointer is not worth the memory.
    let least = offsets.iter().copied().min()?.min(0).unsigned_abs();
    let most = offsets.iter().copied().max()?.max(0).unsigned_abs();
    let (below, above) = (whole(least), whole(most));
    let stack = STACK.next_multiple_of(page);
    let bytes = page + stack + below + above;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new mapping at an address of the kernel's choice affects no other.
    let mapping = unsafe {
        let args = [0, bytes, access as usize, flags as usize, usize::MAX, 0];
        syscall(libc::SYS_mmap, args)
    };
    let mapping: *mut u8 = ptr::with_exposed_provenance_mut(mapping.ok()?);
    let pointer = mapping.wrapping_add(page + stack + below);
    let start = pointer.wrapping_sub(below).cast::<Start>();
    // SAFETY: all of this lies in the new mapping, which reads as zero. Without access to
    // the guard, the task would still run.
    unsafe {
        let guard = [mapping.expose_provenance(), page, libc::PROT_NONE as usize];
        let _ = syscall(libc::SYS_mprotect, guard);
        arch::begin_thread_block(pointer);
        pointer.offset(word.offset).cast::<usize>().write(word.value);
        if let Some(rseq) = rseq {
            // No rseq area is registered for the task.
            pointer.offset(rseq).cast::<i32>().write(-1);
        }
        start.write(Start { body, mapping, bytes });
    }
    MAPPING.store(mapping, Ordering::Relaxed);
    MAPPING_BYTES.store(bytes, Ordering::Relaxed);
    Some((start, start.cast(), pointer.expose_provenance()))
}

/// The first function of the task.
extern "C" fn run(start: *mut u8) -> ! {
    // SAFETY: `make_memory` wrote it there.
    let Start { body, mapping, bytes } = unsafe { start.cast::<Start>().read() };
    let own_files = take_own_files();
    schedule_as_usual();
    drop_privileges();
    body(own_files);
    // From here on the addresses may be anybody's, while the kernel has yet to clear `TASK`.
    MAPPING.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: nothing of the task's memory is used from here on.
    unsafe { arch::unmap_and_exit(mapping, bytes) }
}

/// Gives the task an empty table of descriptors. Returns whether it has one.
fn take_own_files() -> bool {
    const UNSHARE: usize = 2;
    // SAFETY: acts on the task's own table: the new one has no descriptor.
    if unsafe { syscall(SYS_CLOSE_RANGE, [0, u32::MAX as usize, UNSHARE]) }.is_ok() {
        return true;
    }
    // Before Linux 5.9: a copy, which is then emptied.
    // SAFETY: likewise.
    if unsafe { syscall(libc::SYS_unshare, [libc::CLONE_FILES as usize]) }.is_err() {
        return false;
    }
    file::close_all();
    true
}

/// `close_range`, which the C library may not know.
const SYS_CLOSE_RANGE: c_long = 436;

/// Gives the task the default scheduling policy, a niceness that is not below 0, and the
/// CPUs that the process started with.
fn schedule_as_usual() {
    let priority: c_int = 0;
    let other = libc::SCHED_OTHER as usize;
    let process = libc::PRIO_PROCESS as usize;
    // SAFETY: each call acts on the task alone, and reads the priority or the mask.
    unsafe {
        let at = (&raw const priority).expose_provenance();
        let _ = syscall(libc::SYS_sched_setscheduler, [0, other, at]);
        // The call answers 20 less the niceness.
        if syscall(libc::SYS_getpriority, [process, 0]).is_ok_and(|answer| answer > 20) {
            let _ = syscall(libc::SYS_setpriority, [process, 0, 0]);
        }
        cpu::with_start_mask(|mask| {
            let at = mask.as_ptr().expose_provenance();
            let _ = syscall(libc::SYS_sched_setaffinity, [0, size_of_val(mask), at]);
        });
        let name = NAME.as_ptr().expose_provenance();
        let _ = syscall(libc::SYS_prctl, [libc::PR_SET_NAME as usize, name]);
    }
}

/// The user and the group that own nothing.
const NOBODY: usize = 65534;

/// The kernel's header for capabilities: the version, and a task (0: the caller).
const CAPABILITIES: [u32; 2] = [0x2008_0522, 0];
const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;

/// Drops what a program may want to drop later: neither the C library's `setuid` nor the
/// program would reach this task. A program without privileges has nothing to drop.
fn drop_privileges() {
    // Effective, permitted, inheritable; the low word of each, then the high ones.
    let mut has = [0u32; 6];
    let header = CAPABILITIES;
    let header = (&raw const header).expose_provenance();
    let ids = [NOBODY; 3];
    // SAFETY: the kernel fills the capabilities, and the other calls act on this task's
    // credentials alone.
    unsafe {
        let at = has.as_mut_ptr().expose_provenance();
        let _ = syscall(libc::SYS_capget, [header, at]);
        if has[0] >> CAP_SETGID & 1 != 0 {
            let _ = syscall(libc::SYS_setgroups, [0, 0]);
        }
        if has[0] >> CAP_SETUID & 1 != 0 {
            // A change of the user makes the whole process undumpable.
            let get = libc::PR_GET_DUMPABLE as usize;
            let dumpable = syscall(libc::SYS_prctl, [get]) == Ok(1);
            if has[0] >> CAP_SETGID & 1 != 0 {
                let _ = syscall(libc::SYS_setresgid, ids);
            }
            let _ = syscall(libc::SYS_setresuid, ids);
            if dumpable {
                let set = libc::PR_SET_DUMPABLE as usize;
                let _ = syscall(libc::SYS_prctl, [set, 1]);
            }
        }
        if has.iter().any(|word| *word != 0) {
            let none = [0u32; 6];
            let at = none.as_ptr().expose_provenance();
            let _ = syscall(libc::SYS_capset, [header, at]);
        }
    }
}
