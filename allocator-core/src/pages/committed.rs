//! Committed bytes, and the limits on them: bytes of blocks, in use or free, that may
//! hold physical memory. Fresh memory is charged before it is used. Dirty memory is
//! charged already; purging discharges it.
//!
//! ```text
//!  fresh ──charge──► in use ──free──► dirty ──purge──► fresh
//!                      ▲                │
//!                      └───── take ─────┘   no charge
//! ```

use core::mem::offset_of;

use crossbeam_utils::CachePadded;

use crate::base::directory::{self, Address};
use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicUsize};
use crate::pages::counters::COUNTERS;

/// The committed bytes of the process.
pub(crate) static COMMITTED: Committed = Committed::new();

pub(crate) struct Committed {
    /// Bytes charged: those of spans, page runs and mappings in use, and the dirty ones.
    /// Never above the hard limit, unless that was lowered.
    bytes: CachePadded<AtomicUsize>,
    limits: CachePadded<Limits>,
}

/// Rarely changed, and read at every charge: on a cache line of its own.
struct Limits {
    /// The program is told above this; `NONE`: never.
    soft: AtomicUsize,
    /// Nothing is charged above this; `NONE`: everything is.
    hard: AtomicUsize,
    /// A charge went above the soft limit, and nobody checked since.
    over: AtomicBool,
    /// The program was told, and too little was given back since.
    told: AtomicBool,
}

/// No limit.
const NONE: usize = usize::MAX;

/// Where the numbers are, for readers outside of the process.
pub(crate) const fn places() -> directory::Committed {
    let limits = Address::of(&raw const COMMITTED.limits);
    directory::Committed {
        bytes: Address::of(&raw const COMMITTED.bytes),
        soft: limits.plus(offset_of!(Limits, soft)),
        hard: limits.plus(offset_of!(Limits, hard)),
    }
}

/// The hard limit does not allow more.
#[derive(Debug)]
pub(crate) struct Refused;

impl Committed {
    const fn new() -> Self {
        Committed {
            bytes: CachePadded::new(AtomicUsize::new(0)),
            limits: CachePadded::new(Limits {
                soft: AtomicUsize::new(NONE),
                hard: AtomicUsize::new(NONE),
                over: AtomicBool::new(false),
                told: AtomicBool::new(false),
            }),
        }
    }

    /// Charges `bytes` that are about to be used: all or none. One atomic step checks the
    /// count and raises it, so threads together cannot exceed the limit.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), Refused> {
        if bytes == 0 {
            return Ok(());
        }
        let hard = self.limits.hard.load(ordering::committed_limits());
        let more = |now: usize| now.checked_add(bytes).filter(|then| *then <= hard);
        let before = self
            .bytes
            .fetch_update(ordering::committed_bytes(), ordering::committed_bytes(), more)
            .map_err(|_| refused())?;
        COUNTERS.peak_committed.raise(before + bytes);
        if before + bytes > self.limits.soft.load(ordering::committed_limits()) {
            self.set_over();
        }
        Ok(())
    }

    /// Charges `bytes` that hold memory whatever the limit: the system refused to take them
    /// back.
    #[cold]
    pub(crate) fn charge_surely(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes, ordering::committed_bytes());
        COUNTERS.peak_committed.raise(before + bytes);
    }

    /// Discharges `bytes` that hold no memory any more, or were not used after all.
    pub(crate) fn discharge(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.bytes.fetch_sub(bytes, ordering::committed_discharge());
        if self.is_told() {
            self.rearm(self.bytes());
        }
    }

    /// In the child of a fork: sets the bytes charged.
    pub(crate) fn set(&self, bytes: usize) {
        self.bytes.store(bytes, ordering::committed_bytes());
    }

    /// Bytes charged now.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(ordering::committed_bytes())
    }

    /// Whether a charge went above the soft limit since the last check.
    #[inline]
    pub(crate) fn may_be_over(&self) -> bool {
        self.limits.over.load(ordering::over_peek())
    }

    /// Returns whether more than the soft limit is committed. From here on, the next charge
    /// above it sets the flag again.
    pub(crate) fn check_over(&self) -> bool {
        self.limits.over.swap(false, ordering::over_check());
        self.bytes() > self.limits.soft.load(ordering::committed_limits())
    }

    /// Whether the program was told, and is still above the soft limit or near it.
    pub(crate) fn is_told(&self) -> bool {
        self.limits.told.load(ordering::limit_told())
    }

    /// Records that the program is told. Returns whether it has to be.
    pub(crate) fn mark_told(&self) -> bool {
        let first = !self.limits.told.swap(true, ordering::limit_told());
        COUNTERS.soft_limit.add(usize::from(first));
        // Memory may have been given back meanwhile: whoever does it later sees the flag.
        self.rearm(self.bytes.fetch_add(0, ordering::committed_told()));
        first
    }

    /// Once usage is an eighth below the soft limit, the program is told again the next
    /// time that it exceeds the limit.
    fn rearm(&self, bytes: usize) {
        let soft = self.limits.soft.load(ordering::committed_limits());
        if bytes < soft - soft / 8 {
            self.limits.told.store(false, ordering::limit_told());
        }
    }

    /// Sets the soft limit, in bytes; 0: none. If more is committed already, the end of the
    /// next slow path detects it.
    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limits.soft.store(or_none(bytes), ordering::committed_limits());
        self.limits.told.store(false, ordering::limit_told());
        self.set_over();
    }

    /// Has somebody check. A swap, not a store: one of another thread, which checks before it
    /// sees this charge, might otherwise come later.
    #[cold]
    fn set_over(&self) {
        self.limits.over.swap(true, ordering::over_set());
    }

    /// Sets the hard limit, in bytes; 0: none.
    pub(crate) fn set_hard_limit(&self, bytes: usize) {
        self.limits.hard.store(or_none(bytes), ordering::committed_limits());
    }

    /// The soft limit, in bytes; 0: none.
    pub(crate) fn limit(&self) -> usize {
        or_0(self.limits.soft.load(ordering::committed_limits()))
    }

    /// The hard limit, in bytes; 0: none.
    pub(crate) fn hard_limit(&self) -> usize {
        or_0(self.limits.hard.load(ordering::committed_limits()))
    }
}

#[cold]
fn refused() -> Refused {
    COUNTERS.hard_limit.add(1);
    Refused
}

fn or_none(bytes: usize) -> usize {
    if bytes == 0 { NONE } else { bytes }
}

fn or_0(bytes: usize) -> usize {
    if bytes == NONE { 0 } else { bytes }
}
