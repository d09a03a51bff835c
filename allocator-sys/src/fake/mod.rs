//! A checked implementation of the same contract, with failures on demand.
//!
//! Every function of the crate exists here with the same signature. Memory
//! comes from the real system and is usable, and every memory call is checked
//! against a table of the owned ranges. Misuse writes one line to standard
//! error, which begins with `allocator-sys fake: misuse:`, and ends the process
//! with `SIGABRT`. Misuse is:
//!
//! - a size of 0, an address or a size that is not a multiple of the page size,
//!   a range that extends past the end of the address space;
//! - `commit`, `purge`, `release`, `protect`, `advise_huge` on a range that is
//!   not completely mapped, hence also a second `release`;
//! - `map_at`, `reserve_at` over a range that is partly owned;
//! - `resize`, `move_to` of a range that is not completely committed;
//! - `move_to` onto a range that is not completely reserved, or onto itself.
//!
//! [`fail_nth`] and [`fail_any_nth`] make calls fail. A failed call changes
//! nothing and returns what the real one returns on failure. [`vanish_at`] stops
//! a thread in the midst of its calls. Calls about
//! threads, time and CPUs are passed on to the system; `set_…` overrides the
//! answer of some of them.
//!
//! Nothing here allocates. The state belongs to the whole process, so tests
//! that set failures or overrides, or compare byte counts, must run one at a
//! time.

mod vanish;

mod lock;

mod failure;

mod answer;

mod address_bits;
mod misuse;
mod table;

mod memory;

mod passthrough;

pub use crate::linux::{
    DEFAULT_MAPPING_LIMIT, FaultHandler, FileError, HugePages, MapError, NewFile, Registers, Rss,
    Signal, SignalHandler, Stack, Stderr, TaskBody, ThreadWord, end_by, error_text, for_variables,
    handle_faults, handle_faults_no_more, handle_signal, handle_signal_no_more, on_stack,
    probe_alloc, probe_free, process_id, read_memory, registers, rss, thread_id, with_environment,
    without_signals,
};
pub use address_bits::set_address_bits;
pub use answer::{
    address_limit, clear_files, cpu_count, current_cpu, huge_pages, mapping_limit, monotonic_ms,
    page_size, read_file, read_lines, set_address_limit, set_cpu_count, set_current_cpu, set_file,
    set_huge_pages, set_mapping_limit, set_monotonic_ms, set_page_size,
};
pub use failure::{Call, calls, clear_failures, fail_any_nth, fail_nth, set_map_error};
pub use memory::{
    advise_huge, check_kernel, collapse, commit, committed_bytes, map_advised_at, map_at,
    mapped_bytes, move_to, protect, purge, purged_bytes, ranges, release, reserve, reserve_at,
    resident, resize, state_of,
};
pub use passthrough::{
    abort, arm_thread_exit, can_be_unloaded, credentials, forget_task, forget_thread_exit,
    futex_wait, futex_wait_for, futex_wake, on_exit, on_fork, on_thread_exit, prefetch, start_task,
    task_count, task_runs, thread_token, wait_for_task, write_stderr,
};
pub use table::State;
pub use vanish::{has_vanished, vanish_at};
