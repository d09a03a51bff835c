//! What is known of a process at a time, and how it is read.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use strata_profile::Snapshot;

use crate::copies::{self, Copy};
use crate::memory::Memory;
use crate::names::Names;
use crate::numbers::{self, Numbers};
use crate::problem::Problem;
use crate::process::Watched;
use crate::profile;

/// All numbers of a process at a time: what `strata-top explain PID --json` writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) pid: i32,
    pub(crate) command: String,
    /// The program or library that has the allocator.
    pub(crate) object: String,
    /// How many copies of the allocator the process uses. These are the numbers of one.
    pub(crate) copies: usize,
    /// Seconds since 1970.
    pub(crate) unix_time: f64,
    /// Physical memory of the whole process.
    pub(crate) rss_bytes: usize,
    /// The part of it in huge pages.
    pub(crate) huge_page_bytes: Option<usize>,
    pub(crate) swapped_bytes: usize,
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
}

impl Sample {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or was not written by this program.
    pub(crate) fn load(path: &Path) -> Result<Self, Problem> {
        let text = fs::read_to_string(path)
            .map_err(|error| Problem::File { path: path.to_owned(), error })?;
        serde_json::from_str(&text)
            .map_err(|error| Problem::Format { path: path.to_owned(), error })
    }

    /// Seconds since another.
    pub(crate) fn since(&self, before: &Sample) -> f64 {
        self.unix_time - before.unix_time
    }
}

/// A process on Strata.
pub(crate) struct Source {
    process: Watched,
    memory: Memory,
    /// Those in use.
    copies: Vec<Copy>,
    /// The one that is shown.
    pub(crate) shown: usize,
}

impl Source {
    /// Finds the copies in a process. The one with the most committed memory is shown.
    ///
    /// # Errors
    /// There is none that can be read and is in use.
    pub(crate) fn open(pid: i32) -> Result<Self, Problem> {
        let (process, memory) = (Watched::new(pid)?, Memory { pid });
        let all = copies::find(&process, &memory)?;
        let object = all.first().map_or_else(String::new, |copy| copy.object.clone());
        let mut used = Vec::new();
        // One that cannot be read, such as one that was unloaded meanwhile, does not hide others.
        let mut unread = None;
        for copy in all {
            match numbers::read(&memory, &copy.directory, &copy.version) {
                Ok(Some(its)) => used.push((its.committed_bytes, copy)),
                Ok(None) => {}
                Err(problem) => unread = Some(problem),
            }
        }
        let most = used.iter().enumerate().max_by_key(|(_, (bytes, _))| *bytes);
        let none = || unread.unwrap_or(Problem::Unused { pid, object });
        let shown = most.map(|(at, _)| at).ok_or_else(none)?;
        let copies = used.into_iter().map(|(_, copy)| copy).collect();
        Ok(Source { process, memory, copies, shown })
    }

    /// Shows the next copy.
    pub(crate) fn show_next(&mut self) {
        self.shown = (self.shown + 1) % self.copies.len();
    }

    /// Reads the heap profile now, and how many samples it had no room for.
    ///
    /// # Errors
    /// The process has ended, or has recorded nothing.
    pub(crate) fn profile(&self) -> Result<(Snapshot, usize), Problem> {
        let (copy, pid) = (&self.copies[self.shown], self.memory.pid);
        let profile::Recorded { entries, rate, dropped } =
            profile::read(&self.memory, &copy.directory.profile)?;
        if entries.is_empty() {
            return Err(Problem::NotProfiled(pid));
        }
        let addresses = entries.iter().flat_map(|entry| entry.frames.iter().copied());
        let names = Names::of(&self.process, &self.memory, addresses)?;
        Ok((Snapshot::of(Arc::new(names), entries, rate), dropped))
    }

    /// Reads all numbers now.
    ///
    /// # Errors
    /// The process has ended, runs another program, or has unloaded the library.
    pub(crate) fn read(&mut self) -> Result<Sample, Problem> {
        let pid = self.memory.pid;
        // An ended process has no memory that could be read, so this comes first.
        let resident = self.process.resident()?;
        let copy = &self.copies[self.shown];
        if !copy.is_there(&self.memory) {
            return Err(Problem::Replaced(pid));
        }
        let numbers = numbers::read(&self.memory, &copy.directory, &copy.version)?;
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Ok(Sample {
            pid,
            command: self.process.name.clone(),
            object: copy.object.clone(),
            copies: self.copies.len(),
            unix_time: now.as_secs_f64(),
            rss_bytes: resident.all,
            huge_page_bytes: resident.in_huge_pages,
            swapped_bytes: resident.swapped,
            numbers: numbers.ok_or(Problem::Replaced(pid))?,
        })
    }
}
