//! Linux on x86-64 and AArch64, under glibc or musl.

mod registers;

mod arch;
mod errno;
mod syscall;

mod page_size;

mod cpu;
mod file;
mod new_file;

mod auxv;

mod environment;
mod fork;
mod futex;

mod kernel;

mod memory;

mod own_memory;
mod probe;
mod resident;
mod signal;
mod fault;

mod report;
mod stack;
mod thread;

mod task;
mod time;
mod unload;

pub use cpu::{cpu_count, current_cpu, prefetch};
pub use environment::{for_variables, with_environment};
pub use errno::error_text;
pub use fault::{FaultHandler, handle_faults, handle_faults_no_more};
#[cfg(feature = "fake")]
pub(crate) use file::lines;
pub use file::{FileError, read_file, read_lines};
#[cfg(feature = "fake")]
pub(crate) use fork::around_fork;
pub use fork::on_fork;
pub use futex::{futex_wait, futex_wait_for, futex_wake};
pub use kernel::{DEFAULT_MAPPING_LIMIT, HugePages, huge_pages, mapping_limit};
pub use memory::{
    MapError, address_limit, advise_huge, check_kernel, collapse, commit, map_advised_at, map_at,
    move_to, protect, purge, release, reserve, reserve_at, resize,
};
pub use new_file::NewFile;
pub use own_memory::{read_memory, registers};
pub use page_size::page_size;
pub use probe::{probe_alloc, probe_free};
pub use registers::Registers;
pub use report::{Stderr, abort, write_stderr};
pub use resident::{Rss, resident, rss};
pub use signal::{Signal, SignalHandler, end_by, handle_signal, handle_signal_no_more};
pub use stack::{Stack, on_stack, without_signals};
pub use task::{
    ThreadWord, credentials, forget_task, start_task, task_count, task_runs, wait_for_task,
};
pub use thread::{
    TaskBody, arm_thread_exit, forget_thread_exit, on_thread_exit, process_id, thread_id,
    thread_token,
};
pub use time::monotonic_ms;
pub use unload::{can_be_unloaded, on_exit};
