//! Which calls were made, and which are to fail.

use crate::linux::MapError;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A function of the contract that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `reserve`: fails with `None`.
    Reserve,
    /// `commit`: fails with `false`.
    Commit,
    /// `map_at`: fails with the error of [`set_map_error`].
    MapAt,
    /// `reserve_at`: fails with the error of [`set_map_error`].
    ReserveAt,
    /// `purge`: fails with `false` and leaves the contents.
    Purge,
    /// `release`: fails with `false`.
    Release,
    /// `protect`: fails with `false`.
    Protect,
    /// `resize`: fails with `false`.
    Resize,
    /// `move_to`: fails with `false`.
    MoveTo,
    /// `on_thread_exit`: fails with `false`.
    OnThreadExit,
    /// `arm_thread_exit`: fails with `false`.
    ArmThreadExit,
    /// `on_fork`: fails with `false`.
    OnFork,
    /// `start_thread`: fails with `false`.
    StartThread,
    /// `collapse`: fails with `false`.
    Collapse,
    /// `read_file`: fails with `NoRoom`.
    ReadFile,
    /// `advise_huge`: never fails.
    AdviseHuge,
    /// `random`: never fails.
    Random,
    /// `yield_now`: never fails.
    YieldNow,
    /// `futex_wait` and `futex_wait_for`: never fail.
    FutexWait,
    /// `futex_wake`: never fails.
    FutexWake,
}

/// How many kinds of calls there are.
const CALLS: usize = Call::FutexWake as usize + 1;

/// The calls of one kind so far, and those to fail.
struct Plan {
    /// Calls so far.
    made: AtomicU64,
    /// The first call to fail, counted from 1.
    first: AtomicU64,
    /// The call after the last one to fail.
    end: AtomicU64,
}

static PLANS: [Plan; CALLS] = [const { Plan::new() }; CALLS];
static ANY: Plan = Plan::new();
static MAP_TAKEN: AtomicBool = AtomicBool::new(false);

impl Plan {
    /// No calls yet and none to fail.
    const fn new() -> Self {
        Self { made: AtomicU64::new(0), first: AtomicU64::new(0), end: AtomicU64::new(0) }
    }

    /// Counts one call. True: it is planned to fail.
    fn count_and_check(&self) -> bool {
        let call = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let first = self.first.load(Ordering::Relaxed);
        (first..self.end.load(Ordering::Relaxed)).contains(&call)
    }

    /// Has the `n`-th call from now fail, and those after it, `count` in all.
    fn schedule(&self, n: u64, count: u64) {
        let first = self.made().saturating_add(n.max(1));
        self.end.store(first.saturating_add(count), Ordering::Relaxed);
        self.first.store(first, Ordering::Relaxed);
    }

    /// Has no more calls fail.
    fn clear(&self) {
        self.end.store(0, Ordering::Relaxed);
    }

    /// Calls so far.
    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl Call {
    /// Counts a call that cannot fail.
    pub(super) fn count(self) {
        self.plan().count_and_check();
    }

    /// Counts the call. True: it is to fail.
    pub(super) fn count_and_inject(self) -> bool {
        let planned = self.plan().count_and_check();
        ANY.count_and_check() || planned
    }

    /// The function's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Commit => "commit",
            Self::MapAt => "map_at",
            Self::ReserveAt => "reserve_at",
            Self::Purge => "purge",
            Self::Release => "release",
            Self::Protect => "protect",
            Self::Resize => "resize",
            Self::MoveTo => "move_to",
            Self::OnThreadExit => "on_thread_exit",
            Self::ArmThreadExit => "arm_thread_exit",
            Self::OnFork => "on_fork",
            Self::StartThread => "start_thread",
            Self::Collapse => "collapse",
            Self::ReadFile => "read_file",
            Self::AdviseHuge => "advise_huge",
            Self::Random => "random",
            Self::YieldNow => "yield_now",
            Self::FutexWait => "futex_wait",
            Self::FutexWake => "futex_wake",
        }
    }

    /// Its count and its failures.
    fn plan(self) -> &'static Plan {
        &PLANS[self as usize]
    }
}

/// Has the `n`-th call of that kind from now fail (1, or 0, is the next one),
/// and those that follow it, `count` calls in all. Replaces what was set for
/// that kind before, and has no effect on a kind that never fails.
pub fn fail_nth(call: Call, n: u64, count: u64) {
    call.plan().schedule(n, count);
}

/// As [`fail_nth`], counting the calls of all kinds that can fail together.
pub fn fail_any_nth(n: u64, count: u64) {
    ANY.schedule(n, count);
}

/// Has `map_at` and `reserve_at` report `error` where they fail on demand;
/// [`MapError::NoMemory`] unless set.
pub fn set_map_error(error: MapError) {
    MAP_TAKEN.store(error == MapError::Taken, Ordering::Relaxed);
}

/// Has no more calls fail, and frees the error of [`set_map_error`]. The
/// counts of [`calls`] stay.
pub fn clear_failures() {
    PLANS.iter().for_each(Plan::clear);
    ANY.clear();
    set_map_error(MapError::NoMemory);
}

/// How many calls of that kind there were, failures among them.
pub fn calls(call: Call) -> u64 {
    call.plan().made()
}

/// What `map_at` and `reserve_at` report where they fail on demand.
pub(super) fn map_error() -> MapError {
    if MAP_TAKEN.load(Ordering::Relaxed) { MapError::Taken } else { MapError::NoMemory }
}
