//! Queries to the system that do not go through the crate under test.

#![allow(dead_code, reason = "no test binary needs all of it")]

use std::ffi::{c_int, c_void};
use std::process::Command;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// A command that runs this program once more: through what Cargo runs programs of
/// this processor with, if that is an emulator.
pub(crate) fn this_program() -> Command {
    let program = std::env::current_exe().unwrap();
    let processor = std::env::consts::ARCH.to_uppercase();
    match std::env::var_os(format!("CARGO_TARGET_{processor}_UNKNOWN_LINUX_GNU_RUNNER")) {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The page size according to the C library.
pub(crate) fn page() -> usize {
    // SAFETY: takes a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

/// Whether the page at `addr` is mapped.
pub(crate) fn is_mapped(addr: *mut u8) -> bool {
    let mut resident = [0u8; 1];
    let start = addr.wrapping_sub(addr as usize % page());
    // SAFETY: queries one page, for which one byte is written.
    unsafe { libc::mincore(start.cast(), 1, resident.as_mut_ptr()) == 0 }
}

/// Whether the byte at `addr` is readable.
pub(crate) fn is_readable(addr: *mut u8) -> bool {
    let mut byte = 0u8;
    // SAFETY: the kernel checks both addresses.
    unsafe { copy_between(&raw mut byte, addr, libc::SYS_process_vm_readv) }
}

/// Whether the byte at `addr` is writable. Its value is kept.
pub(crate) fn is_writable(addr: *mut u8) -> bool {
    let mut byte = 0u8;
    // SAFETY: the kernel checks both addresses, and writes back the byte that
    // was read.
    unsafe {
        copy_between(&raw mut byte, addr, libc::SYS_process_vm_readv)
            && copy_between(&raw mut byte, addr, libc::SYS_process_vm_writev)
    }
}

/// Copies one byte between `ours` and `theirs`, which may be an invalid
/// address.
unsafe fn copy_between(ours: *mut u8, theirs: *mut u8, call: libc::c_long) -> bool {
    let local = libc::iovec { iov_base: ours.cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: theirs.cast(), iov_len: 1 };
    let none: libc::c_long = 0;
    // SAFETY: the caller guarantees it; errors are returned.
    unsafe {
        let process = libc::c_long::from(libc::getpid());
        libc::syscall(call, process, &raw const local, 1, &raw const remote, 1, none) == 1
    }
}

/// The address of `pages` free pages. All tests of a process that map at fixed
/// addresses take them from here, so the pages stay free.
pub(crate) fn free_addresses(pages: usize) -> *mut u8 {
    static NEXT: Mutex<Option<(usize, usize)>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap();
    let size = pages * page();
    let (at, end) = next.unwrap_or_else(empty_area);
    assert!(at + size <= end);
    // A free page follows each range, so that neighbours do not merge.
    *next = Some((at + size + page(), end));
    at as *mut u8
}

/// A large unmapped area: halfway between address 0 and where the kernel places
/// mappings, far from both.
fn empty_area() -> (usize, usize) {
    let size = 1 << 30;
    let somewhere = Foreign::map(1).at as usize;
    let start = somewhere / 2 / size * size;
    (start, start + size)
}

/// Memory that was not mapped through the crate.
pub(crate) struct Foreign {
    /// Its address.
    pub(crate) at: *mut u8,
    size: usize,
}

impl Foreign {
    /// Maps zeroed pages anywhere.
    pub(crate) fn map(size: usize) -> Self {
        Self::map_at(ptr::null_mut(), size, 0)
    }

    /// Maps zeroed pages at a free address.
    pub(crate) fn map_there(addr: *mut u8, size: usize) -> Self {
        Self::map_at(addr, size, libc::MAP_FIXED)
    }

    fn map_at(addr: *mut u8, size: usize, flags: c_int) -> Self {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
        // SAFETY: replaces no existing mapping.
        let found = unsafe { libc::mmap(addr.cast(), size, access, flags, -1, 0) };
        assert_ne!(found, libc::MAP_FAILED);
        Self { at: found.cast(), size }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // SAFETY: mapped by this value, and not used any more.
        unsafe { libc::munmap(self.at.cast(), self.size) };
    }
}

/// Whether all `size` bytes at `addr` equal `value`.
///
/// # Safety
///
/// They are readable.
pub(crate) unsafe fn holds(addr: *const u8, size: usize, value: u8) -> bool {
    // SAFETY: the caller's.
    let bytes = unsafe { std::slice::from_raw_parts(addr, size) };
    bytes.iter().all(|byte| *byte == value)
}

/// Fills `size` bytes at `addr` with `value`.
///
/// # Safety
///
/// They are writable.
pub(crate) unsafe fn fill(addr: *mut u8, size: usize, value: u8) {
    // SAFETY: the caller's.
    unsafe { addr.write_bytes(value, size) };
}

/// Runs `call` and asserts that it preserved `errno`.
#[track_caller]
pub(crate) fn errno_kept<R>(call: impl FnOnce() -> R) -> R {
    // SAFETY: this thread's own `errno`.
    unsafe { *libc::__errno_location() = 77 };
    let result = call();
    // SAFETY: as above.
    let errno = unsafe { *libc::__errno_location() };
    assert_eq!(errno, 77, "errno was changed");
    result
}

/// The exit function of both implementations, as a process has only one:
/// increments the counter that the value points to.
pub(crate) unsafe extern "C" fn ended(value: *mut c_void) {
    // SAFETY: the tests pass a pointer to a static counter.
    let counter = unsafe { NonNull::new(value).unwrap().cast::<AtomicU32>().as_ref() };
    counter.fetch_add(1, Ordering::SeqCst);
}

/// Forks; the child exits with the status that `status` returns. Returns the
/// exit status. `status` must be async-signal-safe.
pub(crate) fn status_of_fork(status: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the child makes async-signal-safe calls only.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(status()) };
    }
    let mut raw = 0;
    // SAFETY: writes the status to `raw`.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut raw, 0) }, child);
    assert!(libc::WIFEXITED(raw), "the child was killed: {raw:#x}");
    libc::WEXITSTATUS(raw)
}

/// The CPUs that the calling thread may use.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    // SAFETY: an all-zero set is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes the set.
    let asked = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    assert_eq!(asked, 0);
    let allowed = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: the numbers are within the set.
    allowed.filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
}

/// Binds the calling thread to one CPU.
pub(crate) fn bind_to(cpu: usize) {
    // SAFETY: as above; reads the set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &raw const set), 0);
    }
}

/// Held by a test that has the helper's task: there is one in a process.
#[allow(dead_code, reason = "not all tests start one")]
pub(crate) static ONE_TASK: std::sync::Mutex<()> = std::sync::Mutex::new(());
