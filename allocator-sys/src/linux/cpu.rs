//! The number of CPUs and the current CPU.

use super::arch;
use super::syscall::syscall;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};
use once_cell::race::OnceNonZeroUsize;

/// Words in the affinity mask: enough for the largest number of CPUs that the
/// kernel can be built for.
const MASK_WORDS: usize = 8192 / u64::BITS as usize;

/// Offset of the CPU number in the kernel's `struct rseq`.
const RSEQ_CPU_ID: isize = 4;

/// Number of CPUs that the process may use, at least 1. The first call reads it
/// from the affinity mask of its thread; later calls return the same number.
pub fn cpu_count() -> usize {
    static COUNT: OnceNonZeroUsize = OnceNonZeroUsize::new();
    COUNT.get_or_init(count_cpus).get()
}

/// The CPU that the calling thread runs on, counted from 0. A hint that may be
/// outdated as soon as it is read. 0 if the kernel does not report it.
#[inline]
pub fn current_cpu() -> usize {
    match usize::try_from(rseq_cpu()) {
        Ok(cpu) => cpu,
        Err(_) => cpu_from_kernel(),
    }
}

/// Number of bits set in the affinity mask of the calling thread.
fn count_cpus() -> NonZeroUsize {
    let mut mask = [0u64; MASK_WORDS];
    let args = [0, size_of_val(&mask), mask.as_mut_ptr().expose_provenance()];
    // SAFETY: the kernel writes at most `size_of_val(&mask)` bytes there.
    let written = unsafe { syscall(libc::SYS_sched_getaffinity, args) };
    let count: u32 = mask.iter().map(|word| word.count_ones()).sum();
    for (kept, word) in START_MASK.iter().zip(mask) {
        kept.store(word, Ordering::Relaxed);
    }
    NonZeroUsize::new(count as usize).filter(|_| written.is_ok()).unwrap_or(NonZeroUsize::MIN)
}

/// The affinity mask that [`cpu_count`] read, of the first 1024 CPUs. (Relaxed: several
/// threads may read it at once, and each word is valid by itself.)
static START_MASK: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Passes on the affinity mask that the process started with, as far as known.
pub(super) fn with_start_mask(f: impl FnOnce(&[u64; 16])) {
    f(&core::array::from_fn(|i| START_MASK[i].load(Ordering::Relaxed)));
}

/// The CPU number in the rseq area that glibc registered for this thread;
/// negative if there is no such area.
#[inline]
fn rseq_cpu() -> i32 {
    let place = arch::rseq_offset_ptr();
    if place.is_null() {
        return -1;
    }
    // SAFETY: the pointer is to glibc's constant of that name and type, and
    // glibc places every thread's rseq area at that offset from the thread
    // pointer. Where registration failed, the number in the area is negative.
    unsafe { arch::thread_word(*place + RSEQ_CPU_ID) }
}

/// Offset of the CPU number in the rseq area from the thread pointer; `None` if the
/// C library has no such area.
pub(super) fn rseq_word_offset() -> Option<isize> {
    let place = arch::rseq_offset_ptr();
    // SAFETY: the pointer is to glibc's constant of that name and type.
    (!place.is_null()).then(|| unsafe { *place + RSEQ_CPU_ID })
}

/// The CPU number from the kernel, where the C library registered no area with
/// it.
#[cold]
fn cpu_from_kernel() -> usize {
    let mut cpu = 0u32;
    let args = [(&raw mut cpu).expose_provenance(), 0, 0];
    // SAFETY: writes the number to `cpu`. A refusal leaves it 0.
    let _ = unsafe { syscall(libc::SYS_getcpu, args) };
    cpu as usize
}

/// Asks the processor to load the cache line at `place`. A hint: any address is
/// allowed.
#[inline(always)]
pub fn prefetch(place: *const u8) {
    arch::prefetch(place);
}
