//! The system interface of the allocator: memory, threads, fork, CPUs, time and
//! error output, on Linux (x86-64 and AArch64, glibc or musl).
//!
//! The allocator reaches the system through these calls only. What it relies on
//! is therefore defined in one place, and a fake can replace it: with the
//! feature `fake`, the module `fake` provides the same functions with the same
//! signatures, checked and with failures on demand.
//!
//! They ask the kernel by system calls of their own. Functions of the C library
//! may have been replaced in a process, by others that allocate. Only what the
//! kernel does not know is left to it: the exit of threads and `fork`
//! (`pthread_key_create`, `pthread_setspecific`, `pthread_atfork`); and under
//! ThreadSanitizer, which must know every thread, `pthread_create`. Of its
//! variables two are read: `environ`, and `__rseq_offset` where it is defined.
//!
//! Every call that Linux 4.18 does not have has a fallback, and one that the
//! kernel refuses, for whatever reason, is a failure as described below.
//!
//! # Guarantees of every call
//!
//! - It may be made from inside `malloc`: it takes no lock of the standard
//!   library and does not allocate. The exceptions are the four calls marked
//!   ⚠: the C library may allocate in them through the process's own `malloc`,
//!   so the caller must not hold a lock of the allocator.
//! - It never panics. Errors are return values.
//! - It preserves `errno`.
//! - It is not a cancellation point.
//! - Sizes and addresses are in bytes. The address and size of a range are
//!   multiples of [`page_size`], and the size is not 0. An *owned* range was
//!   mapped by these calls and not released since.
//!
//! # Memory
//!
//! An owned range is *reserved* (addresses only; no access, no memory) or
//! *committed* (readable and writable; memory is allocated on first touch).
//!
//! | Call | Before | After success | After failure |
//! |---|---|---|---|
//! | [`reserve`] | – | reserved, anywhere, page aligned | `None`; nothing changed |
//! | [`reserve_at`] | the range may be free | reserved, at that address | [`MapError`]; nothing changed |
//! | [`map_at`] | the range may be free | committed, at that address, zero | [`MapError`]; nothing changed |
//! | [`map_advised_at`] | the range may be free | the same, advised about huge pages | [`MapError`]; nothing changed, or it stays reserved |
//! | [`commit`] | owned | committed; zero if it was reserved or purged, else unchanged | `false`; contents unchanged |
//! | [`purge`] | owned | reads as zero, memory returned, access unchanged | `false`; some pages may be zero, the others are unchanged |
//! | [`protect`] | owned | no access; contents kept | `false`; contents unchanged |
//! | [`release`] | owned | unmapped | `false`; still mapped |
//! | [`resize`] | committed as one mapping | has the new size at the same address; an added part is zero, a removed part is unmapped | `false`; unchanged |
//! | [`move_to`] | committed as one mapping, and a reserved target | contents in the target, followed by zeros; the old range is unmapped | `false`; both unchanged |
//! | [`advise_huge`] | owned | contents unchanged | not reported |
//! | [`collapse`] | committed, consists of whole huge pages | contents unchanged, in huge pages | `false`; contents unchanged |
//! | [`resident`] | any range | which of its pages are in memory | `false`: unknown |
//! | [`rss`] | – | bytes of physical memory that the process has | `None`: unknown |
//! | [`check_kernel`] | a committed page | reads as zero; from now on [`purge`], [`map_at`] and [`reserve_at`] keep their promises even on a kernel that answers without doing what was asked | – |
//! | [`page_size`] | – | a power of two: 4, 16 or 64 KiB | – |
//! | [`address_limit`] | – | bytes of `RLIMIT_AS` | `None`: no limit |
//!
//! # Threads and processes
//!
//! | Call | After success | After failure |
//! |---|---|---|
//! | [`on_thread_exit`] ⚠ | the function runs when an armed thread exits; only the first function is used | `false`: no key left |
//! | [`arm_thread_exit`] ⚠ | the exit of the calling thread will be reported | `false`: it will not |
//! | [`forget_thread_exit`] | no exit is reported any more, but those that have begun | – |
//! | [`on_fork`] ⚠ | the handler runs in the child of every fork | `false`: it will not |
//! | [`start_task`] | the helper's task runs, which the C library does not know | `false`: it was not started |
//! | [`wait_for_task`], [`task_runs`] | the task is gone, its memory included | – |
//! | [`forget_task`] | the child of a fork has released the task's memory | – |
//! | [`task_count`] | number of tasks of the process | `None`: unknown |
//! | [`credentials`] | a number that changes with what the program's first thread may do | – |
//! | [`on_exit`] ⚠ | the function runs when the process exits, before all finalizers; when the object is unloaded, among its finalizers | `false`: it will not |
//! | [`can_be_unloaded`] | whether the object that holds the allocator can be unloaded before the process ends | – |
//! | [`process_id`] | the number of the process | – |
//! | [`thread_id`] | the number of the calling thread | – |
//! | [`thread_token`] | a number that identifies the calling thread among the running ones; 1 to 2³¹ − 1 | – |
//! | [`futex_wait`], [`futex_wait_for`] | the word changed, the timeout expired, or a spurious wakeup | – |
//! | [`futex_wake`] | at most the given number of waiters run again | – |
//! | [`handle_signal`] | the handler runs on a signal that had its default action | `false`: nothing changed |
//! | [`handle_signal_no_more`] | the signal has its default action again | – |
//! | [`handle_faults`] | the handler is told of each access that faults; what is not its own goes on to what the program had set | `false`: nothing changed |
//! | [`handle_faults_no_more`] | what the program had set is in force again, if the handler still was | – |
//! | [`end_by`] | the process ends by a signal | it ignores the signal |
//! | [`without_signals`] | a function ran while all signals were blocked | it ran all the same |
//! | [`on_stack`] | a function ran on a [`Stack`], not on that of the calling thread | – |
//! | [`registers`] | the registers of the function that it is inlined into | – |
//! | [`read_memory`] | the memory of the process was copied, up to the first page that cannot be read | 0 bytes |
//!
//! # CPUs, time, error output
//!
//! | Call | Result |
//! |---|---|
//! | [`cpu_count`] | number of CPUs that the process may use, at least 1; constant |
//! | [`current_cpu`] | the current CPU, counted from 0: a hint |
//! | [`for_variables`] | the names of variables that begin alike, on the same condition as [`with_environment`] |
//! | [`with_environment`] | the value of an environment variable, if the process is not privileged (`AT_SECURE`), as far as the kernel tells |
//! | [`mapping_limit`] | maximum number of mappings of the process |
//! | [`huge_pages`] | when the kernel uses huge pages on its own |
//! | [`read_file`] | the start of a small file; [`FileError`]: it does not exist, or no descriptor is available now |
//! | [`read_lines`] | each line of a file of any length, but those longer than the caller's buffer; [`FileError`] likewise |
//! | [`prefetch`] | none: the cache line may be loaded soon |
//! | [`monotonic_ms`] | milliseconds since a fixed point in time; never decreases, but is 0 whenever it is unknown |
//! | [`error_text`] | what an error number is called |
//! | [`NewFile`] | a file with what was written to it; the first error |
//! | [`Stderr`], [`write_stderr`] | the text is written to standard error as far as possible; it waits a tenth of a second at most for whoever reads it |
//! | [`probe_alloc`], [`probe_free`] | none: tools that are attached to the probe see its arguments |
//! | [`abort`] | none: the process ends with `SIGABRT`, after a handler that the program has for it |
#![no_std]
#![deny(missing_docs)]

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("Strata supports only Linux on x86-64 and AArch64");

#[cfg(test)]
extern crate std;

mod linux;

#[cfg(feature = "fake")]
pub mod fake;

pub use linux::*;
