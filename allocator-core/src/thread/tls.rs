//! The address of the thread's cache, in one word of thread-local storage that is read
//! without a call in every kind of binary.
//!
//! `thread_local!` becomes a call in shared libraries, and in library crates under thin
//! LTO. A symbol of our own, read by its offset from the thread pointer (initial-exec),
//! is two loads, which linkers turn into one load and a constant in executables. It
//! takes 24 bytes of the static space that libraries loaded at run time share, with a second
//! word, which only threads that are profiled use, and a third, the label of the scope that the
//! thread is in. Every thread's first word starts as the address of the cache that belongs to no
//! thread, so no path tests whether there is one.
//!
//! Between two allocations in one function, a coroutine may move to another thread. The
//! compiler may keep the offset, which is the same everywhere; but the thread pointer
//! and the word are read by one piece of assembly that counts as a read of memory, so
//! neither is kept over a call that may write memory, as every switch does.
//!
//! The symbol's name contains the crate's name and version, so that a program can link
//! two versions of the crate: each has its own word.

use core::arch::{asm, global_asm};
use core::ptr;

use crate::profile::labels::Label;
use crate::sys::ThreadWord;
use crate::thread::cache::{Cache, NO_CACHE};

/// The name of the symbol, for a template with the operand `pre`.
macro_rules! word {
    () => {
        concat!(
            "strata_cache_",
            env!("CARGO_CRATE_NAME"),
            "_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH"),
            "_{pre}",
        )
    };
}

/// Stands for the version's pre-release part, which may contain characters
/// that a symbol cannot: 0 for a release, else its FNV-1a hash.
const PRE: u64 = hash(env!("CARGO_PKG_VERSION_PRE").as_bytes());

/// The FNV-1a hash of a text; 0 for an empty one.
const fn hash(text: &[u8]) -> u64 {
    if text.is_empty() {
        return 0;
    }
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut rest = text;
    while let [first, more @ ..] = rest {
        hash = (hash ^ *first as u64).wrapping_mul(0x0100_0000_01b3);
        rest = more;
    }
    hash
}

global_asm!(
    ".pushsection .tdata.strata_cache,\"awT\",@progbits",
    ".p2align 3",
    concat!(".globl ", word!()),
    concat!(".hidden ", word!()),
    concat!(".type ", word!(), ",@object"),
    concat!(".size ", word!(), ",24"),
    concat!(word!(), ":"),
    ".quad {none}",
    ".quad 0",
    ".quad 0",
    ".popsection",
    none = sym NO_CACHE,
    pre = const PRE,
);

/// The cache of the calling thread, while it is profiled: the word behind the first one.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn profiled() -> *const Cache {
    let cache;
    // SAFETY: reads the thread's own word.
    unsafe {
        asm!(
            "mov {}, qword ptr fs:[{} + 8]",
            out(reg) cache,
            in(reg) offset(),
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    cache
}

/// Sets what [`profiled`] returns.
#[cfg(target_arch = "x86_64")]
pub(super) fn set_profiled(cache: &'static Cache) {
    // SAFETY: writes the thread's own word.
    unsafe {
        asm!(
            "mov qword ptr fs:[{} + 8], {}",
            in(reg) offset(),
            in(reg) core::ptr::from_ref(cache),
            options(nostack, preserves_flags),
        );
    }
}

/// The cache of the calling thread, while it is profiled: the word behind the first one.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) fn profiled() -> *const Cache {
    let cache;
    // SAFETY: reads the thread's own word.
    unsafe {
        asm!(
            "mrs {0}, tpidr_el0",
            "add {0}, {0}, {1}",
            "ldr {0}, [{0}, 8]",
            out(reg) cache,
            in(reg) offset(),
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    cache
}

/// Sets what [`profiled`] returns.
#[cfg(target_arch = "aarch64")]
pub(super) fn set_profiled(cache: &'static Cache) {
    // SAFETY: writes the thread's own word.
    unsafe {
        asm!(
            "mrs {0}, tpidr_el0",
            "add {0}, {0}, {1}",
            "str {2}, [{0}, 8]",
            out(reg) _,
            in(reg) offset(),
            in(reg) core::ptr::from_ref(cache),
            options(nostack, preserves_flags),
        );
    }
}

/// The label of the scope that the calling thread is in; null: none. It is the third word.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn label() -> *const Label {
    let label;
    // SAFETY: reads the thread's own word.
    unsafe {
        asm!(
            "mov {}, qword ptr fs:[{} + 16]",
            out(reg) label,
            in(reg) offset(),
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    label
}

/// Sets what [`label`] returns.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn set_label(label: *const Label) {
    // SAFETY: writes the thread's own word.
    unsafe {
        asm!(
            "mov qword ptr fs:[{} + 16], {}",
            in(reg) offset(),
            in(reg) label,
            options(nostack, preserves_flags),
        );
    }
}

/// The label of the scope that the calling thread is in; null: none. It is the third word.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) fn label() -> *const Label {
    let label;
    // SAFETY: reads the thread's own word.
    unsafe {
        asm!(
            "mrs {0}, tpidr_el0",
            "add {0}, {0}, {1}",
            "ldr {0}, [{0}, 16]",
            out(reg) label,
            in(reg) offset(),
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    label
}

/// Sets what [`label`] returns.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) fn set_label(label: *const Label) {
    // SAFETY: writes the thread's own word.
    unsafe {
        asm!(
            "mrs {0}, tpidr_el0",
            "add {0}, {0}, {1}",
            "str {2}, [{0}, 16]",
            out(reg) _,
            in(reg) offset(),
            in(reg) label,
            options(nostack, preserves_flags),
        );
    }
}

/// The thread's word in a task that has no cache.
pub(crate) fn word_without_cache() -> ThreadWord {
    ThreadWord { offset: offset() as isize, value: ptr::from_ref(&NO_CACHE).expose_provenance() }
}

/// Offset of the thread's word from its thread pointer.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn offset() -> usize {
    let offset;
    // SAFETY: reads a word that the loader fills in before any code runs.
    unsafe {
        asm!(
            concat!("adrp {0}, :gottprel:", word!()),
            concat!("ldr {0}, [{0}, :gottprel_lo12:", word!(), "]"),
            out(reg) offset,
            pre = const PRE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    offset
}

/// Offset of the thread's word from its thread pointer.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn offset() -> usize {
    let offset;
    // SAFETY: reads a word that the loader fills in before any code runs.
    unsafe {
        asm!(
            concat!("mov {}, qword ptr [rip + ", word!(), "@GOTTPOFF]"),
            out(reg) offset,
            pre = const PRE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    offset
}

/// The address of the calling thread's word, which no other living thread has.
#[cfg(target_arch = "x86_64")]
pub(crate) fn place() -> usize {
    let pointer: usize;
    // SAFETY: reads the thread pointer, which the ABI keeps there.
    unsafe {
        asm!(
            "mov {}, qword ptr fs:[0]",
            out(reg) pointer,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    pointer.wrapping_add(offset())
}

/// The calling thread's cache: its own, `NO_CACHE`, `ENDED`, `IN_SLOW_PATH` or
/// `PROFILED`.
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

/// Sets the calling thread's cache.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
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

/// Sets the calling thread's cache, and returns what was there, in one step for signal
/// handlers.
#[cfg(target_arch = "x86_64")]
pub(crate) fn swap(cache: &'static Cache) -> *const Cache {
    let mut word = core::ptr::from_ref(cache);
    // SAFETY: exchanges the thread's own word.
    unsafe {
        asm!(
            "xchg qword ptr fs:[{}], {}",
            in(reg) offset(),
            inout(reg) word,
            options(nostack, preserves_flags),
        );
    }
    word
}

/// The address of the calling thread's word, which no other living thread has.
#[cfg(target_arch = "aarch64")]
pub(crate) fn place() -> usize {
    let pointer: usize;
    // SAFETY: reads the thread pointer.
    unsafe {
        asm!(
            "mrs {}, tpidr_el0",
            out(reg) pointer,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    pointer.wrapping_add(offset())
}

/// The calling thread's cache: its own, `NO_CACHE`, `ENDED`, `IN_SLOW_PATH` or
/// `PROFILED`.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) fn get() -> *const Cache {
    let cache;
    // SAFETY: reads the thread's own word.
    unsafe {
        asm!(
            "mrs {0}, tpidr_el0",
            "ldr {0}, [{0}, {1}]",
            out(reg) cache,
            in(reg) offset(),
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    cache
}

/// Sets the calling thread's cache.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) fn set(cache: &'static Cache) {
    // SAFETY: writes the thread's own word.
    unsafe {
        asm!(
            "mrs {0}, tpidr_el0",
            "str {2}, [{0}, {1}]",
            out(reg) _,
            in(reg) offset(),
            in(reg) core::ptr::from_ref(cache),
            options(nostack, preserves_flags),
        );
    }
}

/// Sets the calling thread's cache, and returns what was there, in one step for signal
/// handlers: after a handler the store fails, and all is done again.
#[cfg(target_arch = "aarch64")]
pub(crate) fn swap(cache: &'static Cache) -> *const Cache {
    let word;
    // SAFETY: exchanges the thread's own word.
    unsafe {
        asm!(
            "mrs {place}, tpidr_el0",
            "add {place}, {place}, {offset}",
            "2:",
            "ldxr {word}, [{place}]",
            "stxr {failed:w}, {cache}, [{place}]",
            "cbnz {failed:w}, 2b",
            place = out(reg) _,
            offset = in(reg) offset(),
            word = out(reg) word,
            cache = in(reg) core::ptr::from_ref(cache),
            failed = out(reg) _,
            options(nostack, preserves_flags),
        );
    }
    word
}
