//! What the system says of a process: its name, and its physical memory.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use procfs::ProcError;
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};
use strata_profile::Code;

use crate::problem::Problem;

/// The start of a file that is mapped into a process.
pub(crate) struct Object {
    pub(crate) path: String,
    pub(crate) at: usize,
}

/// A process, as long as it runs one program.
pub(crate) struct Watched {
    process: Process,
    /// When it began; a later one with the same number began later.
    start: u64,
    pub(crate) name: String,
    huge_pages: HugePages,
}

/// Physical memory of a process, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Resident {
    pub(crate) all: usize,
    /// The part in huge pages. `None`: the system does not say.
    pub(crate) in_huge_pages: Option<usize>,
    pub(crate) swapped: usize,
}

/// The part in huge pages, which the system finds by a look at each page: so it is asked for it the
/// less often the longer it takes.
struct HugePages {
    bytes: Option<usize>,
    next_look: Instant,
}

/// At most one part in so many of the time is spent on it.
const PART: u32 = 100;

/// Whether a process is of this user.
pub(crate) fn is_own(pid: i32) -> bool {
    let uid = |process: Process| process.uid().ok();
    let own = Process::myself().ok().and_then(uid);
    own.is_some() && Process::new(pid).ok().and_then(uid) == own
}

fn problem(pid: i32, error: ProcError) -> Problem {
    match error {
        ProcError::NotFound(_) => Problem::NoProcess(pid),
        ProcError::PermissionDenied(_) => Problem::Denied { pid, is_own: is_own(pid) },
        ProcError::Io(error, _) if error.raw_os_error() == Some(libc::ESRCH) => Problem::Ended(pid),
        ProcError::Io(error, _) => Problem::System { what: format!("process {pid}"), error },
        other => Problem::System {
            what: format!("process {pid}"),
            error: std::io::Error::other(other.to_string()),
        },
    }
}

/// Names come from others, and go to a terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The numbers of all processes, but for this one.
///
/// # Errors
/// There is no `/proc`.
pub(crate) fn all() -> Result<Vec<i32>, Problem> {
    let error = |error: ProcError| problem(std::process::id().cast_signed(), error);
    let own = std::process::id().cast_signed();
    let all = procfs::process::all_processes().map_err(error)?;
    Ok(all.flatten().map(|process| process.pid()).filter(|pid| *pid != own).collect())
}

impl Watched {
    /// # Errors
    /// There is no such process.
    pub(crate) fn new(pid: i32) -> Result<Self, Problem> {
        let process = Process::new(pid).map_err(|error| problem(pid, error))?;
        let stat = process.stat().map_err(|error| problem(pid, error))?;
        let huge_pages = HugePages { bytes: None, next_look: Instant::now() };
        Ok(Watched { process, start: stat.starttime, name: printable(&stat.comm), huge_pages })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// The files that are mapped from their start on.
    ///
    /// # Errors
    /// It has ended, or may not be read.
    pub(crate) fn objects(&self) -> Result<Vec<Object>, Problem> {
        let maps = self.process.maps().map_err(|error| problem(self.pid(), error))?;
        let objects = maps.into_iter().filter_map(|map| match map.pathname {
            MMapPath::Path(path) if map.offset == 0 && map.perms.contains(MMPermissions::READ) => {
                let path = printable(&path.to_string_lossy());
                Some(Object { path, at: map.address.0 as usize })
            }
            _ => None,
        });
        Ok(objects.collect())
    }

    /// The code that is mapped from files.
    ///
    /// # Errors
    /// As [`Watched::objects`].
    pub(crate) fn code(&self) -> Result<Vec<(PathBuf, Code)>, Problem> {
        let maps = self.process.maps().map_err(|error| problem(self.pid(), error))?;
        let code = |map: &MemoryMap| Code {
            start: map.address.0 as usize,
            end: map.address.1 as usize,
            offset: map.offset,
        };
        let parts = maps.into_iter().filter_map(|map| match &map.pathname {
            MMapPath::Path(path) if map.perms.contains(MMPermissions::EXECUTE) => {
                Some((path.clone(), code(&map)))
            }
            _ => None,
        });
        Ok(parts.collect())
    }

    /// Its physical memory now.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn resident(&mut self) -> Result<Resident, Problem> {
        let pid = self.pid();
        let ended = |_| Problem::Ended(pid);
        let stat = self.process.stat().map_err(ended)?;
        let status = self.process.status().map_err(ended)?;
        // One that has ended, and that nobody waited for, has no memory.
        let Some(all) = status.vmrss.filter(|_| stat.starttime == self.start) else {
            return Err(Problem::Ended(pid));
        };
        let bytes = |kib: u64| kib as usize * 1024;
        self.look_at_huge_pages();
        Ok(Resident {
            all: bytes(all),
            in_huge_pages: self.huge_pages.bytes,
            swapped: bytes(status.vmswap.unwrap_or(0)),
        })
    }

    fn look_at_huge_pages(&mut self) {
        let began = Instant::now();
        if began < self.huge_pages.next_look {
            return;
        }
        let rollup = self.process.smaps_rollup().ok();
        let sum = rollup.and_then(|it| it.memory_map_rollup.into_iter().next());
        let bytes = sum.and_then(|it| it.extension.map.get("AnonHugePages").copied());
        let took = began.elapsed();
        self.huge_pages.bytes = bytes.map(|bytes| bytes as usize);
        self.huge_pages.next_look = began + took.max(Duration::from_micros(1)) * PART;
    }
}
