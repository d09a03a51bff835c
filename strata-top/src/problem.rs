//! What may be in the way, and what helps.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io;
use std::path::PathBuf;

use allocator_core::directory::LAYOUT;

#[derive(Debug)]
pub(crate) enum Problem {
    /// There is no such process.
    NoProcess(i32),
    /// It was there.
    Ended(i32),
    /// It runs another program now.
    Replaced(i32),
    /// It may not be read; it is this user's, or another's.
    Denied { pid: i32, is_own: bool },
    /// Nothing in it has the note of Strata.
    NotStrata(i32),
    /// Strata is there, but nobody has allocated from it.
    Unused { pid: i32, object: String },
    /// Its heap profile is empty.
    NotProfiled(i32),
    /// Its directory has another layout.
    Layout { pid: i32, version: String, layout: usize },
    /// What was read makes no sense.
    Damaged(i32),
    /// The system says something else.
    System { what: String, error: io::Error },
    /// A file cannot be read, or written.
    File { path: PathBuf, error: io::Error },
    /// A file has something else.
    Format { path: PathBuf, error: serde_json::Error },
    /// Standard output is no terminal.
    NoTerminal,
}

/// How far a process may read others of the same user, as the security module Yama has it.
fn ptrace_scope() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoProcess(pid) => write!(f, "there is no process {pid}"),
            Problem::Ended(pid) => write!(f, "process {pid} has ended"),
            Problem::Replaced(pid) => write!(f, "process {pid} runs another program now"),
            Problem::Denied { pid, is_own } => denied(f, *pid, *is_own),
            Problem::NotStrata(pid) => write!(
                f,
                "process {pid} is not on Strata: neither its program nor a library in it has \
                 the allocator, in a version that can be read"
            ),
            Problem::Unused { pid, object } => write!(
                f,
                "process {pid} has Strata ({object}), but has allocated nothing from it: another \
                 allocator serves it, or it has just begun"
            ),
            Problem::NotProfiled(pid) => write!(
                f,
                "the heap profile of process {pid} has recorded nothing: switch it on in the \
                 program (`strata_profile::start`, `strata_profile_start` in C)"
            ),
            Problem::Layout { pid, version, layout } => write!(
                f,
                "process {pid} is on Strata {version}, whose directory has layout {layout}; this \
                 is strata-top {}, which reads layout {LAYOUT}. Take the strata-top of that \
                 version",
                env!("CARGO_PKG_VERSION"),
            ),
            Problem::Damaged(pid) => {
                write!(f, "the directory of process {pid} makes no sense: its memory is damaged")
            }
            Problem::System { what, error } => write!(f, "{what}: {error}"),
            Problem::File { path, error } => write!(f, "{}: {error}", path.display()),
            Problem::Format { path, error } => write!(
                f,
                "{}: not written by `strata-top explain PID --json`: {error}",
                path.display()
            ),
            Problem::NoTerminal => {
                write!(f, "the live view needs a terminal; `strata-top explain PID` prints once")
            }
        }
    }
}

/// Reading another process needs what attaching a debugger does.
fn denied(f: &mut Formatter<'_>, pid: i32, is_own: bool) -> fmt::Result {
    write!(f, "process {pid} may not be read")?;
    match ptrace_scope().unwrap_or(0) {
        _ if !is_own => write!(f, ": it belongs to another user. Become that user, or root")?,
        0 => write!(f, ": it has more rights than you, or has forbidden it. Become root")?,
        scope => write!(
            f,
            ": kernel.yama.ptrace_scope is {scope}. Become root, or let all processes of a user \
             read each other: sysctl kernel.yama.ptrace_scope=0"
        )?,
    }
    write!(f, " (in a container, with --cap-add=SYS_PTRACE)")
}
