//! Whether memory is short in the container: whether the process's control group, or one
//! above it, is near its limit, or tasks wait for memory. Also how many processors the
//! container may use.

use crate::base::ordering;
use crate::base::own_stack;
use crate::base::sync::{AtomicBool, AtomicU8, AtomicUsize};
use crate::pages::control_group::{Group, Groups, NO_LIMIT, Told, system_waiting};
use crate::sys::FileError;

/// Memory counts as short from this percentage of a limit on.
const SHORT: usize = 90;
/// Below this percentage it is no longer short.
const PLENTY: usize = 85;
/// Percent of the last ten seconds in which some task waited for memory: the same two
/// thresholds.
const WAITS: usize = 10;
const WAITS_NO_MORE: usize = 5;

/// The controllers whose groups have limits on memory and on the time of processors.
const MEMORY: &[u8] = b"memory";
const PROCESSORS: &[u8] = b"cpu";

/// Whether memory was short at the last reading.
static SHORTAGE: AtomicBool = AtomicBool::new(false);

/// Files that were found absent, and are not read again: a set of the bits below.
static ABSENT: AtomicU8 = AtomicU8::new(0);

/// The memory limits, at all levels.
const LIMITS: u8 = 1;
/// How long tasks of the group wait for memory.
const GROUP_WAITS: u8 = 2;
/// How long tasks of the whole system wait for memory.
const SYSTEM_WAITS: u8 = 4;

/// Whether memory was short at the last reading.
#[inline]
pub(crate) fn is_pressed() -> bool {
    SHORTAGE.load(ordering::memory_short())
}

/// The tightest memory limit at the start, in bytes; 0: there was none.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Reads the memory limit, once, at set-up: later, only the helper opens files.
#[cold]
#[inline(never)]
pub(crate) fn read_limit() {
    let least = || Groups::of_this(MEMORY)?.controlled().map_or(Ok(NO_LIMIT), Group::least_limit);
    let least = own_stack::run(least).unwrap_or(NO_LIMIT);
    LIMIT.store(if least == NO_LIMIT { 0 } else { least }, ordering::cgroup_limit());
}

/// Returns whether memory is short, by the allocator's own bytes alone.
pub(crate) fn estimate(bytes: usize) -> bool {
    let limit = LIMIT.load(ordering::cgroup_limit());
    let percent = if is_pressed() { PLENTY } else { SHORT };
    let short = limit != 0 && bytes / percent >= limit / 100;
    if short != is_pressed() {
        SHORTAGE.store(short, ordering::memory_short());
    }
    short
}

/// Reads the files. Returns whether memory is short.
#[cold]
#[inline(never)]
pub(crate) fn update() -> bool {
    let before = is_pressed();
    // Where a file cannot be opened just now, the last reading stands.
    let after = own_stack::run(|| measure(before)).unwrap_or(before);
    if after != before {
        SHORTAGE.store(after, ordering::memory_short());
    }
    after
}

/// Whether memory is short. The thresholds depend on whether it was `before`.
fn measure(before: bool) -> Result<bool, FileError> {
    const GROUP: u8 = LIMITS | GROUP_WAITS;
    let absent = ABSENT.load(ordering::cgroup_absent());
    let groups = if absent & GROUP == GROUP { Groups::NONE } else { Groups::of_this(MEMORY)? };
    let used = ask(LIMITS, || groups.controlled().map_or(Ok(None), Group::shortage))?;
    // Version 1 has no such file, but the process may have a group of version 2 besides.
    let of_group = ask(GROUP_WAITS, || groups.version_2().map_or(Ok(None), Group::waiting))?;
    let waits = match of_group {
        None => ask(SYSTEM_WAITS, system_waiting)?,
        told => told,
    };
    let (used, waits) = (used.unwrap_or(0), waits.unwrap_or(0));
    let (short, too_long) = if before { (PLENTY, WAITS_NO_MORE) } else { (SHORT, WAITS) };
    Ok(used >= short || waits >= too_long)
}

/// Asks `question`, unless `what` is known to be absent; records it if it is now.
fn ask(what: u8, question: impl FnOnce() -> Told<usize>) -> Told<usize> {
    if ABSENT.load(ordering::cgroup_absent()) & what != 0 {
        return Ok(None);
    }
    let told = question()?;
    if told.is_none() {
        ABSENT.fetch_or(what, ordering::cgroup_absent());
    }
    Ok(told)
}

/// Number of processors whose time the container may use, rounded up. `None`: there is
/// no limit.
#[cold]
pub(crate) fn cpus() -> Option<usize> {
    own_stack::run(least_cpus)
}

fn least_cpus() -> Option<usize> {
    Groups::of_this(PROCESSORS).ok()?.controlled()?.least_cpus().ok()?
}
