//! The thread's cache, in one word of thread-local storage, reached without a
//! call in every kind of binary.
//!
//! `thread_local!` becomes a call in shared libraries, and in library crates
//! under thin LTO. A symbol of our own, read by its offset from the thread
//! pointer (initial-exec), is two loads, which linkers turn into one and a
//! constant in executables. It takes 8 bytes of the static space that
//! libraries loaded at run time share. Every thread's word starts as the
//! address of the cache that belongs to nobody, so no path asks whether
//! there is one.

use core::arch::{asm, global_asm};

use crate::thread::cache::{Cache, NO_CACHE};

global_asm!(
    ".pushsection .tdata.strata_cache,\"awT\",@progbits",
    ".p2align 3",
    concat!(".globl strata_cache_", env!("CARGO_CRATE_NAME")),
    concat!(".hidden strata_cache_", env!("CARGO_CRATE_NAME")),
    concat!(".type strata_cache_", env!("CARGO_CRATE_NAME"), ",@object"),
    concat!(".size strata_cache_", env!("CARGO_CRATE_NAME"), ",8"),
    concat!("strata_cache_", env!("CARGO_CRATE_NAME"), ":"),
    ".quad {none}",
    ".popsection",
    none = sym NO_CACHE,
);

/// Where the thread's word is, from its thread pointer.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn offset() -> usize {
    let offset;
    // SAFETY: reads a word that the loader fills in before any code runs.
    unsafe {
        asm!(
            concat!("mov {}, qword ptr [rip + strata_cache_", env!("CARGO_CRATE_NAME"), "@GOTTPOFF]"),
            out(reg) offset,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    offset
}

/// The calling thread's cache: its own, or one of those that stand for none.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn get() -> *const Cache {
    let cache;
    // SAFETY: reads the thread's own word.
    unsafe {
        asm!(
            "mov {}, qword ptr fs:[{}]",
            out(reg) cache,
            in(reg) offset(),
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    cache
}

/// Gives the calling thread a cache.
#[cfg(target_arch = "x86_64")]
pub(crate) fn set(cache: &'static Cache) {
    // SAFETY: writes the thread's own word.
    unsafe {
        asm!(
            "mov qword ptr fs:[{}], {}",
            in(reg) offset(),
            in(reg) core::ptr::from_ref(cache),
            options(nostack, preserves_flags),
        );
    }
}

/// Where the thread's word is.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn place() -> *mut *const Cache {
    let place;
    // SAFETY: adds the word's offset, which the loader filled in, to the
    // thread pointer.
    unsafe {
        asm!(
            concat!("adrp {0}, :gottprel:strata_cache_", env!("CARGO_CRATE_NAME")),
            concat!("ldr {0}, [{0}, :gottprel_lo12:strata_cache_", env!("CARGO_CRATE_NAME"), "]"),
            "mrs {1}, tpidr_el0",
            "add {0}, {0}, {1}",
            out(reg) place,
            out(reg) _,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    place
}

/// The calling thread's cache: its own, or one of those that stand for none.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) fn get() -> *const Cache {
    // SAFETY: reads the thread's own word.
    unsafe { place().read() }
}

/// Gives the calling thread a cache.
#[cfg(target_arch = "aarch64")]
pub(crate) fn set(cache: &'static Cache) {
    // SAFETY: writes the thread's own word.
    unsafe { place().write(cache) };
}
