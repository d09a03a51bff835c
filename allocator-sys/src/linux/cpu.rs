//! Which CPUs there are, and which one we run on.

use super::arch;
use super::errno::ErrnoGuard;
use core::ffi::c_long;
use core::num::NonZeroUsize;
use once_cell::race::OnceNonZeroUsize;

/// Words in the mask that we ask for: room for as many CPUs as the kernel
/// can be built for.
const MASK_WORDS: usize = 8192 / u64::BITS as usize;

/// Where the number of the CPU stands in the kernel's `struct rseq`.
const RSEQ_CPU_ID: isize = 4;

/// How many CPUs the process may use, at least 1. The first call takes the
/// number from the affinity of its thread; it stays.
pub fn cpu_count() -> usize {
    static COUNT: OnceNonZeroUsize = OnceNonZeroUsize::new();
    COUNT.get_or_init(count_cpus).get()
}

/// The CPU that the calling thread runs on, counted from 0: a hint, stale
/// as soon as it is read. 0 when the kernel does not say.
#[inline]
pub fn current_cpu() -> usize {
    match usize::try_from(rseq_cpu()) {
        Ok(cpu) => cpu,
        Err(_) => cpu_from_libc(),
    }
}

/// Bits set in the affinity mask of the calling thread.
fn count_cpus() -> NonZeroUsize {
    let _guard = ErrnoGuard::save();
    let mut mask = [0u64; MASK_WORDS];
    // SAFETY: the kernel writes at most `size_of_val(&mask)` bytes there.
    let written = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0 as c_long,
            size_of_val(&mask),
            mask.as_mut_ptr(),
        )
    };
    let count: u32 = mask.iter().map(|word| word.count_ones()).sum();
    NonZeroUsize::new(count as usize).filter(|_| written > 0).unwrap_or(NonZeroUsize::MIN)
}

/// What the kernel last wrote into the area that glibc registered for this
/// thread; negative when there is no such area.
#[inline]
fn rseq_cpu() -> i32 {
    let place = arch::rseq_offset_ptr();
    if place.is_null() {
        return -1;
    }
    // SAFETY: glibc's constant of that name and type, and the area that it
    // promises at that distance from every thread's pointer. Where the
    // registration failed, the number in it is negative.
    unsafe { arch::thread_word(*place + RSEQ_CPU_ID) }
}

/// The same from the C library, which may ask the kernel.
#[cold]
fn cpu_from_libc() -> usize {
    let _guard = ErrnoGuard::save();
    // SAFETY: takes nothing and touches nothing of ours.
    let cpu = unsafe { libc::sched_getcpu() };
    usize::try_from(cpu).unwrap_or(0)
}

/// Asks the processor to bring the line at `place` into its cache. A hint:
/// any address will do.
#[inline(always)]
pub fn prefetch(place: *const u8) {
    arch::prefetch(place);
}
