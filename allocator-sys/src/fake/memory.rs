//! The calls on memory, each held against the table.

use super::answer::page_size;
use super::failure::{Call, map_error};
use super::lock::{SpinGuard, SpinLock};
use super::misuse::abort_on_misuse;
use super::table::{Full, State, Table};
use crate::linux::{self, MapError};
use core::ptr::NonNull;

/// What is ours. Held across the system's own call, so that the two agree.
static TABLE: SpinLock<Table> = SpinLock::new(Table::new());

/// A range that a call is about.
#[derive(Clone, Copy)]
struct Span {
    call: Call,
    start: usize,
    size: usize,
}

impl Span {
    /// A range of whole pages within the address space, or the process ends.
    fn checked(call: Call, addr: *mut u8, size: usize) -> Self {
        let start = addr as usize;
        let span = Self { call, start, size };
        let page = page_size();
        span.require(size != 0, "the size is 0");
        span.require(size.is_multiple_of(page), "the size is no page multiple");
        span.require(start.is_multiple_of(page), "the address is no page multiple");
        span.require(start.checked_add(size).is_some(), "the range wraps around");
        span
    }

    /// The address behind it.
    fn end(self) -> usize {
        self.start + self.size
    }

    /// Ends the process unless the contract was `kept`.
    fn require(self, kept: bool, how: &str) {
        if !kept {
            abort_on_misuse(self.call, self.start, self.size, how);
        }
    }

    /// All of it is ours and in a state that `fits`, or the process ends.
    fn require_all(self, table: &Table, fits: impl Fn(State) -> bool, how: &str) {
        self.require(table.all(self.start, self.end(), fits), how);
    }

    /// None of it is ours in a state that `breaks`, or the process ends.
    fn require_none(self, table: &Table, breaks: impl Fn(State) -> bool, how: &str) {
        self.require(!table.any(self.start, self.end(), breaks), how);
    }

    /// All of it is ours, or the process ends.
    fn require_mapped(self, table: &Table) {
        self.require_all(table, |_| true, "not all of it is mapped");
    }

    /// All of it can be read and written, or the process ends.
    fn require_accessible(self, table: &Table) {
        self.require_all(table, is_accessible, "not all of it is committed");
    }

    /// Notes a new state of all of it.
    fn set(self, table: &mut Table, state: State) {
        self.require_room(table.set(self.start, self.end(), state));
    }

    /// Notes that it is no longer ours.
    fn clear(self, table: &mut Table) {
        self.require_room(table.clear(self.start, self.end()));
    }

    /// Notes a new state of each part of it.
    fn update(self, table: &mut Table, next: impl Fn(State) -> State) {
        self.require_room(table.update(self.start, self.end(), next));
    }

    /// Ends the process when the table had no room. No misuse of the caller,
    /// but nothing could be checked any more.
    fn require_room(self, update: Result<(), Full>) {
        self.require(update.is_ok(), "more ranges than the fake can keep");
    }
}

/// As [`crate::reserve`].
pub fn reserve(size: usize) -> Option<NonNull<u8>> {
    let mut table = lock_table();
    let wanted = Span::checked(Call::Reserve, core::ptr::null_mut(), size);
    if wanted.call.count_and_inject() {
        return None;
    }
    let found = reserve_aligned(size)?;
    let span = Span::checked(wanted.call, found.as_ptr(), size);
    span.set(&mut table, State::Reserved);
    Some(found)
}

/// As [`crate::commit`].
///
/// # Safety
///
/// As there.
pub unsafe fn commit(addr: *mut u8, size: usize) -> bool {
    let mut table = lock_table();
    let span = Span::checked(Call::Commit, addr, size);
    span.require_mapped(&table);
    // SAFETY: the range is ours.
    let done = !span.call.count_and_inject() && unsafe { linux::commit(addr, size) };
    if done {
        span.set(&mut table, State::Committed);
    }
    done
}

/// As [`crate::map_at`].
///
/// # Errors
///
/// As there.
///
/// # Safety
///
/// As there.
pub unsafe fn map_at(addr: *mut u8, size: usize) -> Result<(), MapError> {
    // SAFETY: nothing is replaced.
    let map = || unsafe { linux::map_at(addr, size) };
    map_new(Call::MapAt, addr, size, map, State::Committed)
}

/// As [`crate::reserve_at`].
///
/// # Errors
///
/// As there.
///
/// # Safety
///
/// As there.
pub unsafe fn reserve_at(addr: *mut u8, size: usize) -> Result<(), MapError> {
    // SAFETY: nothing is replaced.
    let map = || unsafe { linux::reserve_at(addr, size) };
    map_new(Call::ReserveAt, addr, size, map, State::Reserved)
}

/// As [`crate::purge`].
///
/// # Safety
///
/// As there.
pub unsafe fn purge(addr: *mut u8, size: usize) -> bool {
    let mut table = lock_table();
    let span = Span::checked(Call::Purge, addr, size);
    span.require_mapped(&table);
    // SAFETY: the range is ours, and the caller needs no contents.
    let done = !span.call.count_and_inject() && unsafe { linux::purge(addr, size) };
    if done {
        span.update(&mut table, after_purge);
    }
    done
}

/// As [`crate::release`].
///
/// # Safety
///
/// As there.
pub unsafe fn release(addr: *mut u8, size: usize) -> bool {
    let mut table = lock_table();
    let span = Span::checked(Call::Release, addr, size);
    span.require_mapped(&table);
    // SAFETY: the range is ours, and the caller is done with it.
    let done = !span.call.count_and_inject() && unsafe { linux::release(addr, size) };
    if done {
        span.clear(&mut table);
    }
    done
}

/// As [`crate::protect`].
///
/// # Safety
///
/// As there.
pub unsafe fn protect(addr: *mut u8, size: usize) -> bool {
    let mut table = lock_table();
    let span = Span::checked(Call::Protect, addr, size);
    span.require_mapped(&table);
    // SAFETY: the range is ours, and the caller does not touch it.
    let done = !span.call.count_and_inject() && unsafe { linux::protect(addr, size) };
    if done {
        span.update(&mut table, after_protect);
    }
    done
}

/// As [`crate::resize`].
///
/// # Safety
///
/// As there.
pub unsafe fn resize(addr: *mut u8, old: usize, new: usize) -> bool {
    let mut table = lock_table();
    let before = Span::checked(Call::Resize, addr, old);
    let after = Span::checked(Call::Resize, addr, new);
    before.require_accessible(&table);
    // SAFETY: the range is ours, and nothing else is replaced.
    let done = !before.call.count_and_inject() && unsafe { linux::resize(addr, old, new) };
    if done {
        note_resized(&mut table, before, after);
    }
    done
}

/// As [`crate::move_to`].
///
/// # Safety
///
/// As there.
pub unsafe fn move_to(addr: *mut u8, old: usize, target: *mut u8, new: usize) -> bool {
    let mut table = lock_table();
    let source = Span::checked(Call::MoveTo, addr, old);
    let target = Span::checked(Call::MoveTo, target, new);
    source.require_accessible(&table);
    target.require(are_apart(source, target), "onto itself");
    target.require_all(
        &table,
        |state| state == State::Reserved,
        "not all of the target is reserved",
    );
    let done = !source.call.count_and_inject() && move_range(source, target);
    if done {
        source.clear(&mut table);
        target.set(&mut table, State::Committed);
    }
    done
}

/// As [`crate::advise_huge`].
///
/// # Safety
///
/// As there.
pub unsafe fn advise_huge(addr: *mut u8, size: usize, yes: bool) {
    let table = lock_table();
    let span = Span::checked(Call::AdviseHuge, addr, size);
    span.require_mapped(&table);
    span.call.count();
    // SAFETY: the range is ours.
    unsafe { linux::advise_huge(addr, size, yes) };
}

/// As [`crate::collapse`].
///
/// # Safety
///
/// As there.
pub unsafe fn collapse(addr: *mut u8, size: usize) -> bool {
    let table = lock_table();
    let span = Span::checked(Call::Collapse, addr, size);
    span.require_mapped(&table);
    if span.call.count_and_inject() {
        return false;
    }
    // SAFETY: the range is ours.
    unsafe { linux::collapse(addr, size) }
}

/// As [`crate::resident`]. A page that was said to be larger than the system's
/// is in memory where any part of it is.
pub fn resident(addr: *mut u8, size: usize, pages: &mut [u8]) -> bool {
    /// Pages of the system's in the largest page there is.
    const MOST: usize = 16;
    let page = page_size();
    let Some(pages) = pages.get_mut(..size.div_ceil(page)) else { return false };
    for (index, told) in pages.iter_mut().enumerate() {
        let mut parts = [0; MOST];
        if !linux::resident(addr.wrapping_add(index * page), page, &mut parts) {
            return false;
        }
        *told = u8::from(parts.contains(&1));
    }
    true
}

/// Bytes that are mapped: those of `reserve`, `map_at`, `reserve_at` and of
/// growth, without those that were released.
pub fn mapped_bytes() -> usize {
    lock_table().bytes(|_| true)
}

/// Bytes that are [`State::Committed`].
pub fn committed_bytes() -> usize {
    lock_table().bytes(|state| state == State::Committed)
}

/// Bytes that are [`State::Purged`].
pub fn purged_bytes() -> usize {
    lock_table().bytes(|state| state == State::Purged)
}

/// Ranges that are apart from each other or in different states: a measure
/// of how the system's own table has to be split up.
pub fn ranges() -> usize {
    lock_table().len()
}

/// The state of the page at `addr`; `None`: not ours.
pub fn state_of(addr: *const u8) -> Option<State> {
    lock_table().state(addr as usize)
}

/// Holds the table across a `fork`, so that the child finds it whole.
pub(super) extern "C" fn before_fork() {
    TABLE.acquire();
}

/// Frees the table again, on either side.
pub(super) extern "C" fn after_fork() {
    TABLE.unlock();
}

/// The table.
fn lock_table() -> SpinGuard<'static, Table> {
    TABLE.lock()
}

/// Can pages in this state be read and written?
fn is_accessible(state: State) -> bool {
    matches!(state, State::Committed | State::Purged)
}

/// The state after a purge.
fn after_purge(state: State) -> State {
    if is_accessible(state) { State::Purged } else { State::Reserved }
}

/// The state after a protection: where there are no contents, there are none
/// to keep.
fn after_protect(state: State) -> State {
    if state == State::Reserved { State::Reserved } else { State::Protected }
}

/// Have two ranges no byte in common?
fn are_apart(one: Span, other: Span) -> bool {
    one.end() <= other.start || other.end() <= one.start
}

/// Maps something new by `map`, and notes its state.
fn map_new(
    call: Call,
    addr: *mut u8,
    size: usize,
    map: impl FnOnce() -> Result<(), MapError>,
    state: State,
) -> Result<(), MapError> {
    let mut table = lock_table();
    let span = Span::checked(call, addr, size);
    span.require(!addr.is_null(), "the address is null");
    span.require_none(&table, |_| true, "some of it is ours already");
    if call.count_and_inject() {
        return Err(map_error());
    }
    map()?;
    span.set(&mut table, state);
    Ok(())
}

/// Moves the one range onto the other.
fn move_range(source: Span, target: Span) -> bool {
    let (from, to) = (source.start as *mut u8, target.start as *mut u8);
    // SAFETY: both ranges are ours, and the caller is done with the source.
    unsafe { linux::move_to(from, source.size, to, target.size) }
}

/// Notes the part that a range gained or lost at its end.
fn note_resized(table: &mut Table, before: Span, after: Span) {
    let tail = Span {
        start: before.end().min(after.end()),
        size: before.size.abs_diff(after.size),
        ..after
    };
    if after.size > before.size {
        tail.set(table, State::Committed);
    } else if after.size < before.size {
        tail.clear(table);
    }
}

/// Takes addresses, aligned to pages even where those were said to be larger
/// than they are.
fn reserve_aligned(size: usize) -> Option<NonNull<u8>> {
    let slack = page_size().saturating_sub(linux::page_size());
    let found = linux::reserve(size.checked_add(slack)?)?;
    let front = found.as_ptr().align_offset(page_size());
    let start = found.as_ptr().wrapping_add(front);
    drop_slack(found.as_ptr(), front);
    drop_slack(start.wrapping_add(size), slack - front);
    NonNull::new(start)
}

/// Gives addresses back that nobody knows.
fn drop_slack(addr: *mut u8, size: usize) {
    if size != 0 {
        // SAFETY: just reserved, and known to nobody.
        unsafe { linux::release(addr, size) };
    }
}
