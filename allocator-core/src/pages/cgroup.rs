//! Whether memory is short in the container: whether the process's control group, or one
//! above it, is near its limit, or tasks wait for memory. Also how many processors the
//! container may use.

use crate::base::directory::{self, Address};
use crate::base::ordering;
use crate::base::own_stack;
use crate::base::sync::{AtomicU8, AtomicUsize};
use crate::pages::control_group::{Group, Groups, NO_LIMIT, Told, system_waiting};
use crate::sys::FileError;

/// How much memory there is in the container, or the system, for
/// [`Strata::on_pressure`](crate::Strata::on_pressure).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Supply {
    /// As much as anybody wants.
    Plenty,
    /// Less, from 90 % of the tightest limit on: free memory that nobody uses goes back.
    Short,
    /// Hardly any, from 97 % on or while tasks wait for memory: all that is free goes back.
    Scarce,
}

/// Memory counts as short, and as scarce, from these percentages of a limit on.
const BEGINS: [usize; 2] = [90, 97];
/// Below these it no longer does.
const ENDS: [usize; 2] = [85, 94];
/// Percent of the last ten seconds in which some task waited for memory: from the first on it
/// counts as scarce, below the second no longer.
const WAITS: [usize; 2] = [10, 5];

/// The controllers whose groups have limits on memory and on the time of processors.
const MEMORY: &[u8] = b"memory";
const PROCESSORS: &[u8] = b"cpu";

/// How much memory there was at the last reading: a [`Supply`].
static SUPPLY: AtomicU8 = AtomicU8::new(Supply::Plenty as u8);

/// Percent of the tightest limit that was used at the last reading, and of the ten seconds before
/// in which some task waited for memory.
static USED: AtomicUsize = AtomicUsize::new(0);
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Files that were found absent, and are not read again: a set of the bits below.
static ABSENT: AtomicU8 = AtomicU8::new(0);

/// The memory limits, at all levels.
const LIMITS: u8 = 1;
/// How long tasks of the group wait for memory.
const GROUP_WAITS: u8 = 2;
/// How long tasks of the whole system wait for memory.
const SYSTEM_WAITS: u8 = 4;

/// Whether memory was short at the last reading, or scarce.
#[inline]
pub(crate) fn is_short() -> bool {
    SUPPLY.load(ordering::memory_supply()) != Supply::Plenty as u8
}

/// Whether memory was scarce at the last reading.
pub(crate) fn is_scarce() -> bool {
    SUPPLY.load(ordering::memory_supply()) == Supply::Scarce as u8
}

/// How much memory there was at the last reading.
#[inline]
pub(crate) fn now() -> Supply {
    match SUPPLY.load(ordering::memory_supply()) {
        0 => Supply::Plenty,
        1 => Supply::Short,
        _ => Supply::Scarce,
    }
}

/// Sets how much memory there is. Returns whether it is short.
fn set_supply(supply: Supply) -> bool {
    if SUPPLY.load(ordering::memory_supply()) != supply as u8 {
        SUPPLY.store(supply as u8, ordering::memory_supply());
    }
    supply != Supply::Plenty
}

/// How much memory there is, if these percentages of a limit are used, and of the last time
/// some task waited.
fn supply(used: usize, waits: usize) -> Supply {
    let begun = [is_short(), is_scarce()];
    let from = |level: usize| if begun[level] { ENDS[level] } else { BEGINS[level] };
    if used >= from(1) || waits >= WAITS[usize::from(begun[1])] {
        Supply::Scarce
    } else if used >= from(0) {
        Supply::Short
    } else {
        Supply::Plenty
    }
}

/// The tightest memory limit at the start, in bytes; 0: there was none.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Where the readings are, for readers outside of the process.
pub(crate) const fn places() -> directory::Container {
    directory::Container {
        limit: Address::of(&raw const LIMIT),
        used: Address::of(&raw const USED),
        waiting: Address::of(&raw const WAITING),
        supply: Address::of(&raw const SUPPLY),
    }
}

/// Reads the memory limit, once, at set-up: later, only the helper opens files, and a thread of
/// the program that asks for a look.
#[cold]
#[inline(never)]
pub(crate) fn read_limit() {
    let least = || Groups::of_this(MEMORY)?.controlled().map_or(Ok(NO_LIMIT), Group::least_limit);
    let least = own_stack::run(least).unwrap_or(NO_LIMIT);
    LIMIT.store(if least == NO_LIMIT { 0 } else { least }, ordering::cgroup_limit());
}

/// Returns whether memory is short, by the allocator's own bytes and what was last read of the
/// container, if anything was.
pub(crate) fn estimate(bytes: usize) -> bool {
    let limit = limit();
    let used = if limit == 0 { 0 } else { bytes / (limit / 100).max(1) };
    let [read, waiting] = reading();
    set_supply(supply(used.max(read), waiting))
}

/// How many more bytes there may be than `bytes` before the next reading, which is due after
/// `step` where there is no limit: one falls where memory begins to be short, and then one
/// after each sixty-fourth of the limit.
pub(crate) fn step_from(bytes: usize, step: usize) -> usize {
    let limit = limit();
    // Above the limit, most of it takes no memory.
    if limit == 0 || bytes > limit || bytes + step <= limit / 100 * BEGINS[0] {
        return step;
    }
    step.min((limit / 100 * BEGINS[0]).saturating_sub(bytes).max(limit / 64))
}

/// Reads the files. Returns whether memory is short.
#[cold]
#[inline(never)]
pub(crate) fn update() -> bool {
    match own_stack::run(measure) {
        Ok([used, waits]) => {
            USED.store(used, ordering::cgroup_reading());
            WAITING.store(waits, ordering::cgroup_reading());
            set_supply(supply(used, waits))
        }
        // Where a file cannot be opened just now, the last reading stands.
        Err(_) => is_short(),
    }
}

/// Percent of a limit that are used, and of the last time in which some task waited.
fn measure() -> Result<[usize; 2], FileError> {
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
    Ok([used.unwrap_or(0), waits.unwrap_or(0)])
}

/// Percent of the tightest limit that was used at the last reading, and of the ten seconds before
/// in which some task waited for memory.
pub(crate) fn reading() -> [usize; 2] {
    [&USED, &WAITING].map(|percent| percent.load(ordering::cgroup_reading()))
}

/// The tightest memory limit at the start, in bytes; 0: there was none.
pub(crate) fn limit() -> usize {
    LIMIT.load(ordering::cgroup_limit())
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
