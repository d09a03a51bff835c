//! Recording samples, and forgetting those whose blocks are freed.
//!
//! A sample needs memory for its stack and two tables. Where there is none, it is dropped, and
//! counted. The lock is not held while memory is allocated, and nothing here waits for a lock
//! of the program's or of the loader's.

use crate::base::directory::{self, Address};
use crate::base::lock::{Lock, LockGuard};
use crate::base::ordering;
use crate::base::sync::AtomicUsize;
use crate::profile::capture::{Capture, Unwinder};
use crate::profile::labels::{self, Label};
use crate::profile::live::Live;
use crate::profile::rate::{self, Weight};
use crate::profile::stacks::{self, Candidate, Stack};
use crate::sys::{self, Registers};

/// \[PROFILE-LOCKED\] Guards the capture, and what is entered into the tables.
static LOCK: Lock = Lock::new();

static CAPTURE: Capture = Capture::new();

/// The sampled blocks in use: 65,536 at most.
static LIVE: Live<Sample, 8192, 8> = Live::new();

/// Samples that there was no room for.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Where the profile is, for readers outside of the process.
pub(crate) const fn places() -> directory::Profile {
    stacks::places(Address::of(&raw const DROPPED))
}

/// A sampled block.
#[derive(Clone, Copy)]
struct Sample {
    stack: &'static Stack,
    weight: Weight,
}

/// Records a block of `size` bytes, which is not handed out yet, and who it belongs to.
#[cold]
#[inline(never)]
pub(crate) fn record(block: *mut u8, size: usize, rate: usize, label: &'static Label) {
    let registers = sys::registers();
    let weight = rate::weight(size, rate);
    match enter(block, weight, label, registers) {
        Some(()) => sys::probe_alloc(block, size, weight.bytes),
        None => count_dropped(),
    }
}

/// Writes the stack that this is called at, the innermost function first. Returns how many
/// functions it has: none, where what a signal handler interrupts is following one.
pub(crate) fn stack_here(frames: &mut [usize]) -> usize {
    let registers = sys::registers();
    let Some(_held) = LOCK.lock() else { return 0 };
    // SAFETY: [PROFILE-LOCKED]
    unsafe { CAPTURE.stack(registers, frames) }
}

/// Whether a sample is likely to find room.
pub(crate) fn has_room() -> bool {
    !LIVE.is_nearly_full()
}

/// Counts a sample that is dropped.
pub(crate) fn count_dropped() {
    DROPPED.fetch_add(1, ordering::profile_dropped());
}

fn enter(
    block: *mut u8,
    weight: Weight,
    label: &'static Label,
    registers: Registers,
) -> Option<()> {
    let candidate = Candidate::new(label, |frames| {
        let _held = LOCK.lock()?;
        // SAFETY: [PROFILE-LOCKED]
        Some(unsafe { CAPTURE.stack(registers, frames) })
    })?;
    let stack = known(candidate);
    let _held = LOCK.lock()?;
    LIVE.insert(block.addr(), Sample { stack, weight }).then(|| stack.add(weight))
}

/// The stack of the table that is equal to this one, which goes there if there is none. Where
/// there is no room, it is the one without frames of the same label.
fn known(mut candidate: Candidate) -> &'static Stack {
    let mut found = stacks::find(candidate.stack());
    if let Err(None) = found {
        candidate = candidate.without_frames();
        found = stacks::find(candidate.stack());
    }
    if let Err(Some(_)) = found {
        return publish(candidate.shrink());
    }
    candidate.free();
    found.unwrap_or(stacks::others())
}

#[cold]
fn publish(candidate: Candidate) -> &'static Stack {
    let stack = candidate.stack();
    let held = LOCK.lock();
    let found = stacks::find(stack);
    if let (Some(_), Err(Some(place))) = (&held, &found) {
        stacks::publish(*place, stack);
        return stack;
    }
    drop::<Option<LockGuard<'_>>>(held);
    candidate.free();
    found.unwrap_or(stacks::others())
}

/// Enters a label into the table, unless another thread did meanwhile. Where there is no room for
/// it, it is the one of others.
#[cold]
#[inline(never)]
pub(crate) fn add_label(key: &str, value: &str) -> &'static Label {
    let Some(candidate) = labels::Candidate::new(key, value) else { return &labels::OTHERS };
    let held = LOCK.lock();
    let found = labels::find(key, value);
    if let (Some(_), Err(Some(place))) = (&held, &found) {
        labels::publish(*place, candidate.label());
        return candidate.label();
    }
    drop::<Option<LockGuard<'_>>>(held);
    candidate.free();
    found.unwrap_or(&labels::OTHERS)
}

/// A page run or a huge block is about to be freed: if it was sampled, it is not in use any more.
#[inline]
pub(crate) fn forget(block: *mut u8) {
    if !LIVE.is_empty()
        && let Some(sample) = take(block)
    {
        sample.stack.subtract(sample.weight);
    }
}

/// Takes the sample of a block out of the table, before another block may be there.
#[cold]
fn take(block: *mut u8) -> Option<Sample> {
    let sample = LIVE.remove(block.addr())?;
    sys::probe_free(block);
    Some(sample)
}

/// Resizes a page run or a huge block of `size` bytes by `resize`, which returns where it is
/// afterwards: it is as if it was freed. If it cannot be resized, it stays as it was.
#[inline]
pub(crate) fn while_resized(
    block: *mut u8,
    size: usize,
    resize: impl FnOnce() -> Option<*mut u8>,
) -> Option<*mut u8> {
    let sample = if LIVE.is_empty() { None } else { take(block) };
    let resized = resize();
    if let Some(sample) = sample {
        settle(block, size, sample, resized.is_some());
    }
    resized
}

#[cold]
fn settle(block: *mut u8, size: usize, sample: Sample, was_resized: bool) {
    let entered = !was_resized && {
        let held = LOCK.lock();
        held.is_some() && LIVE.insert(block.addr(), sample)
    };
    if entered {
        // Whoever follows the probes was told that it was freed.
        sys::probe_alloc(block, size, sample.weight.bytes);
    } else {
        sample.stack.subtract(sample.weight);
    }
}

/// Sets what follows stacks from now on; `None`: frame pointers. Returns whether it did: then the
/// one before is in use no more.
pub(crate) fn set_unwinder(unwinder: Option<Unwinder>) -> bool {
    let Some(_held) = LOCK.lock() else { return false };
    // SAFETY: [PROFILE-LOCKED]
    unsafe { CAPTURE.set_unwinder(unwinder) };
    true
}

/// Samples that there was no room for.
pub(crate) fn dropped() -> usize {
    DROPPED.load(ordering::profile_dropped())
}

/// In the child of a fork: the tables are consistent after every single store.
pub(crate) fn after_fork() {
    if LOCK.is_orphaned() {
        LOCK.force_unlock();
    }
}
