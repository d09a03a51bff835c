//! Call counts and failure injection.

use crate::linux::MapError;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A function of the contract whose calls are counted.
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
    /// `start_task`: fails with `false`.
    StartTask,
    /// `collapse`: fails with `false`.
    Collapse,
    /// `read_file` and `read_lines`: fail with `NoRoom`.
    ReadFile,
    /// `advise_huge`: never fails.
    AdviseHuge,
    /// `check_kernel`: never fails.
    CheckKernel,
    /// `futex_wait` and `futex_wait_for`: never fail.
    FutexWait,
    /// `futex_wake`: never fails.
    FutexWake,
}

/// Number of kinds of calls.
const CALLS: usize = Call::FutexWake as usize + 1;

/// The call count of one kind and its planned failures.
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
    /// No calls so far, no failures planned.
    const fn new() -> Self {
        Self { made: AtomicU64::new(0), first: AtomicU64::new(0), end: AtomicU64::new(0) }
    }

    /// Counts one call. Returns true if that call is planned to fail.
    fn count_and_check(&self) -> bool {
        let call = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let first = self.first.load(Ordering::Relaxed);
        (first..self.end.load(Ordering::Relaxed)).contains(&call)
    }

    /// Makes `count` calls fail, starting with the `n`-th from now.
    fn schedule(&self, n: u64, count: u64) {
        let first = self.made().saturating_add(n.max(1));
        self.end.store(first.saturating_add(count), Ordering::Relaxed);
        self.first.store(first, Ordering::Relaxed);
    }

    /// Cancels the planned failures.
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

    /// Counts the call. Returns true if it has to fail.
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
            Self::StartTask => "start_task",
            Self::Collapse => "collapse",
            Self::ReadFile => "read_file",
            Self::AdviseHuge => "advise_huge",
            Self::CheckKernel => "check_kernel",
            Self::FutexWait => "futex_wait",
            Self::FutexWake => "futex_wake",
        }
    }

    /// The plan of this kind of call.
    fn plan(self) -> &'static Plan {
        &PLANS[self as usize]
    }
}

/// Makes `count` calls of one kind fail, starting with the `n`-th from now (1
/// or 0 is the next call). Replaces an earlier plan for that kind. Has no
/// effect on a kind that never fails.
pub fn fail_nth(call: Call, n: u64, count: u64) {
    call.plan().schedule(n, count);
}

/// Same as [`fail_nth`], counting all calls that can fail, whatever their kind.
pub fn fail_any_nth(n: u64, count: u64) {
    ANY.schedule(n, count);
}

/// Sets the error that `map_at` and `reserve_at` return when they fail on
/// demand. The default is [`MapError::NoMemory`].
pub fn set_map_error(error: MapError) {
    MAP_TAKEN.store(error == MapError::Taken, Ordering::Relaxed);
}

/// Cancels all planned failures and resets the error set by [`set_map_error`].
/// The counts of [`calls`] are kept.
pub fn clear_failures() {
    PLANS.iter().for_each(Plan::clear);
    ANY.clear();
    set_map_error(MapError::NoMemory);
}

/// Number of calls of that kind so far, including failed ones.
pub fn calls(call: Call) -> u64 {
    call.plan().made()
}

/// The error that `map_at` and `reserve_at` return when they fail on demand.
pub(super) fn map_error() -> MapError {
    if MAP_TAKEN.load(Ordering::Relaxed) { MapError::Taken } else { MapError::NoMemory }
}
