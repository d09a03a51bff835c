//! Page runs in the child of a fork. A vanished thread may have had the lock of an arena's
//! runs, or it was purging units, which count as used meanwhile. The lengths of runs are
//! valid after every single store: what no run covers is free. All else is made again.
//!
//! All functions are called in the child of a fork, where no other thread runs.

use core::ptr::{self, NonNull};

use crate::base::geometry::{CHUNK_UNITS, UNIT};
use crate::pages::page_runs::{self, Bits, LISTS, PageRuns, Runs, WORDS};

/// Bytes of a chunk of page runs.
#[derive(Default)]
pub(crate) struct RunBytes {
    pub(crate) used: usize,
    pub(crate) dirty: usize,
}

impl PageRuns {
    /// Whether a vanished thread has the lock.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.lock.is_orphaned()
    }

    /// Empties the lists, for [`relist`](Self::relist).
    pub(crate) fn forget_chunks(&self) {
        // SAFETY: [RUNS-LOCKED] no other thread runs.
        self.lists.with(|lists| unsafe { (*lists).heads = [ptr::null_mut(); LISTS] });
    }

    /// Unlocks the runs, whose lists were made again.
    pub(crate) fn free_orphaned_lock(&self) {
        self.lock.force_unlock();
    }

    /// Puts a chunk of these runs on its list; with `all`, that is done for each chunk, and
    /// the lists were emptied before. With `free`, units that no run covers become free: no
    /// thread is purging them. Returns the bytes of the chunk.
    pub(crate) fn relist(&self, chunk: usize, all: bool, free: bool) -> RunBytes {
        let Some(record) = page_runs::record_in(chunk) else { return RunBytes::default() };
        let covered = covered(record);
        // SAFETY: [RUNS-LOCKED] no other thread runs.
        let runs = unsafe { &mut *record.as_ptr() };
        runs.chunk = chunk;
        let mut now = runs.free;
        for (now, covered) in now.iter_mut().zip(covered) {
            *now = if free { !covered } else { *now & !covered };
        }
        if all || now != runs.free {
            self.lists.with(|lists| {
                // SAFETY: [RUNS-LOCKED] as above; the record is on its list, or on none.
                unsafe {
                    let lists = &mut *lists;
                    if !all {
                        lists.unlink(record);
                    }
                    runs.free = now;
                    for (clean, free) in runs.clean.iter_mut().zip(now) {
                        *clean &= free;
                    }
                    runs.longest = page_runs::longest(&runs.free);
                    lists.link(record);
                }
            });
        }
        let units = |bits| page_runs::count(bits, 0, CHUNK_UNITS);
        RunBytes {
            used: (CHUNK_UNITS - units(&runs.free)) * UNIT,
            dirty: (units(&runs.free) - units(&runs.clean)) * UNIT,
        }
    }
}

/// The units that runs cover.
fn covered(record: NonNull<Runs>) -> Bits {
    let mut covered = [0; WORDS];
    let mut at = 0;
    while at < CHUNK_UNITS {
        let len = page_runs::len(record, at).min(CHUNK_UNITS - at);
        page_runs::set(&mut covered, at, len, true);
        at += len.max(1);
    }
    covered
}
