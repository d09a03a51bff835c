//! A report when the process exits: what is in use then.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{fs, io, process};

use crate::snapshot::Snapshot;

/// Most stacks of a report.
const MOST_STACKS: usize = 20;

/// The process that is to write the report, and where it goes: to standard error, if to no file.
static PLACE: OnceLock<(u32, Option<PathBuf>)> = OnceLock::new();

impl Snapshot {
    /// A report of the blocks in use, by stack, for people: at most 20 stacks, those with most
    /// bytes first.
    #[must_use]
    pub fn report(&self) -> String {
        let (mut text, all) = (String::new(), self.in_use());
        let used = self.entries.iter().filter(|entry| entry.in_use.bytes > 0);
        let count = used.clone().count();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} bytes in {} blocks are in use, in {count} stacks (estimated, one sample in {} bytes)",
            all.bytes, all.blocks, self.rate
        );
        let mut symbols = self.symbols();
        for entry in used.take(MOST_STACKS) {
            let _ =
                write!(text, "\n{} bytes in {} blocks", entry.in_use.bytes, entry.in_use.blocks);
            let _ = match entry.scope {
                Some(scope) => writeln!(text, " of {scope}"),
                None => writeln!(text),
            };
            for name in symbols.names(&entry.frames).iter().rev() {
                let _ = writeln!(text, "    {name}");
            }
        }
        text
    }
}

/// Writes a report of what is in use when the process exits, to a file or to standard error; the
/// children of its forks write none. Only the first call has an effect. Returns whether it will be
/// written. It takes locks, so a signal handler that ends the process is to call `_exit`, not
/// `exit`.
pub fn report_at_exit(file: Option<PathBuf>) -> bool {
    extern "C" fn write() {
        let Some((_, file)) = PLACE.get().filter(|(process, _)| *process == process::id()) else {
            return;
        };
        let report = Snapshot::take().report();
        // There is nobody left to be told.
        let _ = match file {
            Some(file) => fs::write(file, report),
            None => io::Write::write_all(&mut io::stderr(), report.as_bytes()),
        };
    }
    // SAFETY: the function stays as long as this object is loaded.
    PLACE.set((process::id(), file)).is_ok() && unsafe { libc::atexit(write) } == 0
}
