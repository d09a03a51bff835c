//! The system below the allocator: addresses and memory, threads, fork, CPUs,
//! time and last words, on Linux (x86-64 and AArch64, glibc or musl).
//!
//! The allocator reaches the system through these calls alone, so that what
//! it relies on stands in one place and a fake can stand in for it: with the
//! feature `fake`, the module `fake` has the same functions once more, under
//! the same signatures, checked and with failures on demand.
//!
//! # What holds for every call
//!
//! - It may be made from inside `malloc`: it takes no lock of the standard
//!   library and allocates nothing. The three calls marked ⚠ are the
//!   exception: the C library may allocate in them through the process's own
//!   `malloc`, so the caller holds no lock of the allocator there.
//! - It never panics. Errors are return values.
//! - It leaves `errno` as it was.
//! - It is no cancellation point.
//! - Sizes and addresses are in bytes. Where a range is meant, address and
//!   size are multiples of [`page_size`] and the size is not 0. *Ours* is what
//!   these calls mapped and did not release.
//!
//! # Memory
//!
//! A range of ours is *reserved* (addresses only; no access, no memory) or
//! *committed* (readable and writable; memory comes with the first touch).
//!
//! | Call | Before | After success | After failure |
//! |---|---|---|---|
//! | [`reserve`] | – | reserved, anywhere, page aligned | `None`; nothing changed |
//! | [`reserve_at`] | the range may be free | reserved, exactly there | [`MapError`]; nothing changed |
//! | [`map_at`] | the range may be free | committed, exactly there, zero | [`MapError`]; nothing changed |
//! | [`commit`] | ours | committed; zero where it was reserved or purged, else what it held | `false`; contents as before |
//! | [`purge`] | ours | reads as zero, memory given back, access as before | `false`; contents as before, or some pages of them |
//! | [`protect`] | ours | no access; contents stay | `false`; contents as before |
//! | [`release`] | ours | unmapped | `false`; mapped as before |
//! | [`resize`] | committed in one piece | as long as wished, in place; a new part is zero, a part cut off unmapped | `false`; as before |
//! | [`move_to`] | committed in one piece, and a reserved target | contents in the target, then zeros; the old range unmapped | `false`; both as before |
//! | [`advise_huge`] | ours | contents as before | not told |
//! | [`collapse`] | committed, of whole huge pages | contents as before, in huge pages | `false`; contents as before |
//! | [`resident`] | the range may be anybody's | which of its pages are in memory | `false`: not told |
//! | [`rss`] | – | bytes of memory that the process has | `None`: not told |
//! | [`page_size`] | – | a power of two: 4, 16 or 64 KiB | – |
//! | [`address_limit`] | – | bytes of `RLIMIT_AS` | `None`: no limit |
//!
//! # Threads and processes
//!
//! | Call | After success | After failure |
//! |---|---|---|
//! | [`on_thread_exit`] | armed threads report their end; the first function given counts | `false`: no key left |
//! | [`arm_thread_exit`] ⚠ | the end of the calling thread will be reported | `false`: it will not |
//! | [`on_fork`] ⚠ | the handler runs in the child of every fork | `false`: it will not |
//! | [`start_thread`] ⚠ | a detached thread runs, all signals blocked | `false`: there is none |
//! | [`thread_token`] | names the calling thread among the living; 1 to 2³¹ − 1 | – |
//! | [`futex_wait`], [`futex_wait_for`] | the word changed, the time is over, or no reason | – |
//! | [`futex_wake`] | as many waiters as wished run again | – |
//! | [`yield_now`] | another thread may have run | – |
//!
//! # CPUs, time, randomness, reports
//!
//! | Call | Result |
//! |---|---|
//! | [`cpu_count`] | CPUs the process may use, at least 1; always the same |
//! | [`current_cpu`] | the CPU of this moment, from 0: a hint |
//! | [`with_environment`] | the value of a variable, if the process may be told |
//! | [`mapping_limit`] | mappings that the process may have |
//! | [`huge_pages`] | when the kernel uses huge pages by itself |
//! | [`read_file`] | the start of a small file; [`FileError`]: it is not there, or there is no descriptor for it now |
//! | [`prefetch`] | none: perhaps the line is in the cache soon |
//! | [`monotonic_ms`] | milliseconds since some moment; never goes back |
//! | [`random`] | 64 bits that cannot be guessed |
//! | [`write_stderr`] | the text is on standard error as far as that takes it |
//! | [`abort`] | none: the process ends with `SIGABRT` |
#![no_std]
#![deny(missing_docs)]

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("Strata runs on Linux, on x86-64 and AArch64");

#[cfg(test)]
extern crate std;

mod linux;

#[cfg(feature = "fake")]
pub mod fake;

pub use linux::*;
