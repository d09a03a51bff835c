//! The memory calls, each checked against the table of owned ranges.

use super::address_bits;
use super::answer::page_size;
use super::failure::{Call, map_error};
use super::lock::{SpinGuard, SpinLock};
use super::misuse::abort_on_misuse;
use super::table::{Full, State, Table};
use crate::linux::{self, MapError};
use core::ptr::NonNull;

/// The owned ranges. The lock is held across the real system call, so that the
/// table and the system agree.
static TABLE: SpinLock<Table> = SpinLock::new(Table::new());

/// The range that a call was given.
#[derive(Clone, Copy)]
struct Span {
    call: Call,
    start: usize,
    size: usize,
}

impl Span {
    /// Checks that the range consists of whole pages within the address space;
    /// aborts otherwise.
    fn checked(call: Call, addr: *mut u8, size: usize) -> Self {
        let start = addr as usize;
        let span = Self { call, start, size };
        let page = page_size();
        span.require(size != 0, "the size is 0");
        span.require(size.is_multiple_of(page), "the size is not page-aligned");
        span.require(start.is_multiple_of(page), "the address is not page-aligned");
        span.require(start.checked_add(size).is_some(), "the range wraps around");
        span
    }

    /// The first address after the range.
    fn end(self) -> usize {
        self.start + self.size
    }

    /// Aborts unless `kept`: the contract holds.
    fn require(self, kept: bool, how: &str) {
        if !kept {
            abort_on_misuse(self.call, self.start, self.size, how);
        }
    }

    /// Aborts unless all of the range is owned and in a state for which `fits`
    /// holds.
    fn require_all(self, table: &Table, fits: impl Fn(State) -> bool, how: &str) {
        self.require(table.all(self.start, self.end(), fits), how);
    }

    /// Aborts if part of the range is owned and in a state for which `breaks`
    /// holds.
    fn require_none(self, table: &Table, breaks: impl Fn(State) -> bool, how: &str) {
        self.require(!table.any(self.start, self.end(), breaks), how);
    }

    /// Aborts unless all of the range is owned.
    fn require_mapped(self, table: &Table) {
        self.require_all(table, |_| true, "the range is not completely mapped");
    }

    /// Aborts unless all of the range is readable and writable.
    fn require_accessible(self, table: &Table) {
        self.require_all(table, is_accessible, "the range is not completely committed");
    }

    /// Records a new state for all of the range.
    fn set(self, table: &mut Table, state: State) {
        self.require_room(table.set(self.start, self.end(), state));
    }

    /// Removes the range from the table.
    fn clear(self, table: &mut Table) {
        self.require_room(table.clear(self.start, self.end()));
    }

    /// Records a new state for each part of the range.
    fn update(self, table: &mut Table, next: impl Fn(State) -> State) {
        self.require_room(table.update(self.start, self.end(), next));
    }

    /// Aborts if the table was full. This is not misuse by the caller, but
    /// nothing could be checked from here on.
    fn require_room(self, update: Result<(), Full>) {
        self.require(update.is_ok(), "too many ranges for the fake");
    }
}

/// Same as [`crate::reserve`].
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

/// Same as [`crate::commit`].
///
/// # Safety
///
/// See [`crate::commit`].
pub unsafe fn commit(addr: *mut u8, size: usize) -> bool {
    let mut table = lock_table();
    let span = Span::checked(Call::Commit, addr, size);
    span.require_mapped(&table);
    // SAFETY: the range is owned.
    let done = !span.call.count_and_inject() && unsafe { linux::commit(addr, size) };
    if done {
        span.set(&mut table, State::Committed);
    }
    done
}

/// Same as [`crate::map_at`].
///
/// # Errors
///
/// See [`crate::map_at`].
///
/// # Safety
///
/// See [`crate::map_at`].
pub unsafe fn map_at(addr: *mut u8, size: usize) -> Result<(), MapError> {
    // SAFETY: no existing mapping is replaced.
    let map = || unsafe { linux::map_at(addr, size) };
    map_new(Call::MapAt, addr, size, map, State::Committed)
}

/// Same as [`crate::map_advised_at`]. It counts as [`map_at`], and as an advice.
///
/// # Errors
///
/// See [`crate::map_advised_at`].
///
/// # Safety
///
/// See [`crate::map_advised_at`].
pub unsafe fn map_advised_at(addr: *mut u8, size: usize, huge: bool) -> Result<(), MapError> {
    let map = || {
        Call::AdviseHuge.count_and_inject();
        // SAFETY: no existing mapping is replaced.
        unsafe { linux::map_advised_at(addr, size, huge) }
    };
    map_new(Call::MapAt, addr, size, map, State::Committed)
}

/// Same as [`crate::reserve_at`].
///
/// # Errors
///
/// See [`crate::reserve_at`].
///
/// # Safety
///
/// See [`crate::reserve_at`].
pub unsafe fn reserve_at(addr: *mut u8, size: usize) -> Result<(), MapError> {
    // SAFETY: no existing mapping is replaced.
    let map = || unsafe { linux::reserve_at(addr, size) };
    map_new(Call::ReserveAt, addr, size, map, State::Reserved)
}

/// Same as [`crate::purge`].
///
/// # Safety
///
/// See [`crate::purge`].
pub unsafe fn purge(addr: *mut u8, size: usize) -> bool {
    let mut table = lock_table();
    let span = Span::checked(Call::Purge, addr, size);
    span.require_mapped(&table);
    // SAFETY: the range is owned, and the caller does not need its contents.
    let done = !span.call.count_and_inject() && unsafe { linux::purge(addr, size) };
    if done {
        span.update(&mut table, after_purge);
    }
    done
}

/// Same as [`crate::release`].
///
/// # Safety
///
/// See [`crate::release`].
pub unsafe fn release(addr: *mut u8, size: usize) -> bool {
    let mut table = lock_table();
    let span = Span::checked(Call::Release, addr, size);
    span.require_mapped(&table);
    // SAFETY: the range is owned, and the caller does not use it again.
    let done = !span.call.count_and_inject() && unsafe { linux::release(addr, size) };
    if done {
        span.clear(&mut table);
    }
    done
}

/// Same as [`crate::protect`].
///
/// # Safety
///
/// See [`crate::protect`].
pub unsafe fn protect(addr: *mut u8, size: usize) -> bool {
    let mut table = lock_table();
    let span = Span::checked(Call::Protect, addr, size);
    span.require_mapped(&table);
    // SAFETY: the range is owned, and the caller does not access it.
    let done = !span.call.count_and_inject() && unsafe { linux::protect(addr, size) };
    if done {
        span.update(&mut table, after_protect);
    }
    done
}

/// Same as [`crate::resize`].
///
/// # Safety
///
/// See [`crate::resize`].
pub unsafe fn resize(addr: *mut u8, old: usize, new: usize) -> bool {
    let mut table = lock_table();
    let before = Span::checked(Call::Resize, addr, old);
    let after = Span::checked(Call::Resize, addr, new);
    before.require_accessible(&table);
    let refused = before.call.count_and_inject() || address_bits::ends_outside(after.end());
    // SAFETY: the range is owned, and no other mapping is replaced.
    let done = !refused && unsafe { linux::resize(addr, old, new) };
    if done {
        note_resized(&mut table, before, after);
    }
    done
}

/// Same as [`crate::move_to`].
///
/// # Safety
///
/// See [`crate::move_to`].
pub unsafe fn move_to(addr: *mut u8, old: usize, target: *mut u8, new: usize) -> bool {
    let mut table = lock_table();
    let source = Span::checked(Call::MoveTo, addr, old);
    let target = Span::checked(Call::MoveTo, target, new);
    source.require_accessible(&table);
    target.require(are_apart(source, target), "the target overlaps the source");
    target.require_all(
        &table,
        |state| state == State::Reserved,
        "the target is not completely reserved",
    );
    let done = !source.call.count_and_inject() && move_range(source, target);
    if done {
        source.clear(&mut table);
        target.set(&mut table, State::Committed);
    }
    done
}

/// Same as [`crate::advise_huge`].
///
/// # Safety
///
/// See [`crate::advise_huge`].
pub unsafe fn advise_huge(addr: *mut u8, size: usize, yes: bool) {
    let _table = lock_table();
    let span = Span::checked(Call::AdviseHuge, addr, size);
    span.call.count();
    // SAFETY: the contents are unchanged, whoever owns the range.
    unsafe { linux::advise_huge(addr, size, yes) };
}

/// Same as [`crate::collapse`].
///
/// # Safety
///
/// See [`crate::collapse`].
pub unsafe fn collapse(addr: *mut u8, size: usize) -> bool {
    let _table = lock_table();
    let span = Span::checked(Call::Collapse, addr, size);
    if span.call.count_and_inject() {
        return false;
    }
    // SAFETY: the contents are unchanged, whoever owns the range.
    unsafe { linux::collapse(addr, size) }
}

/// Same as [`crate::check_kernel`], of the real kernel.
///
/// # Safety
///
/// See [`crate::check_kernel`].
pub unsafe fn check_kernel(addr: *mut u8) {
    let table = lock_table();
    let span = Span::checked(Call::CheckKernel, addr, page_size());
    span.require_accessible(&table);
    span.call.count();
    // SAFETY: the page is owned and committed, and the caller does not need its
    // contents.
    unsafe { linux::check_kernel(addr) };
}

/// Same as [`crate::resident`]. If the page size is overridden, a page counts
/// as resident if any part of it is.
pub fn resident(addr: *mut u8, size: usize, pages: &mut [u8]) -> bool {
    /// Number of system pages in the largest possible page.
    const MOST: usize = 16;
    let page = page_size();
    let Some(pages) = pages.get_mut(..size.div_ceil(page)) else { return false };
    for (index, resident) in pages.iter_mut().enumerate() {
        let mut parts = [0; MOST];
        if !linux::resident(addr.wrapping_add(index * page), page, &mut parts) {
            return false;
        }
        *resident = u8::from(parts.contains(&1));
    }
    true
}

/// Bytes that are mapped: those of `reserve`, `map_at`, `reserve_at` and of
/// growth, minus what was released.
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

/// Number of separate ranges, where adjacent ranges in different states count
/// as separate. A measure of how many mappings the kernel needs.
pub fn ranges() -> usize {
    lock_table().len()
}

/// The state of the page at `addr`, or `None` if it is not owned.
pub fn state_of(addr: *const u8) -> Option<State> {
    lock_table().state(addr as usize)
}

/// Locks the table before a `fork`, so that the child finds it consistent.
pub(super) extern "C" fn before_fork() {
    TABLE.acquire();
}

/// Unlocks the table after the `fork`, in the parent or the child.
pub(super) extern "C" fn after_fork() {
    TABLE.unlock();
}

/// Locks the table.
fn lock_table() -> SpinGuard<'static, Table> {
    TABLE.lock()
}

/// Whether pages in this state are readable and writable.
fn is_accessible(state: State) -> bool {
    matches!(state, State::Committed | State::Purged)
}

/// The state after `purge`.
fn after_purge(state: State) -> State {
    if is_accessible(state) { State::Purged } else { State::Reserved }
}

/// The state after `protect`. A reserved page stays reserved, as it has no
/// contents to keep.
fn after_protect(state: State) -> State {
    if state == State::Reserved { State::Reserved } else { State::Protected }
}

/// Whether two ranges do not overlap.
fn are_apart(one: Span, other: Span) -> bool {
    one.end() <= other.start || other.end() <= one.start
}

/// Creates a new mapping by calling `map`, and records its state.
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
    span.require_none(&table, |_| true, "part of the range is already owned");
    if call.count_and_inject() {
        return Err(map_error());
    }
    if address_bits::ends_outside(span.end()) {
        return Err(MapError::NoMemory);
    }
    map()?;
    span.set(&mut table, state);
    Ok(())
}

/// Moves the source range onto the target.
fn move_range(source: Span, target: Span) -> bool {
    let (from, to) = (source.start as *mut u8, target.start as *mut u8);
    // SAFETY: both ranges are owned, and the caller does not use the source
    // again.
    unsafe { linux::move_to(from, source.size, to, target.size) }
}

/// Records the part that a range gained or lost at its end.
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

/// Reserves addresses, aligned to the page size even if that is overridden.
fn reserve_aligned(size: usize) -> Option<NonNull<u8>> {
    let slack = page_size().saturating_sub(linux::page_size());
    let found = address_bits::reserve(size.checked_add(slack)?)?;
    let front = found.as_ptr().align_offset(page_size());
    let start = found.as_ptr().wrapping_add(front);
    drop_slack(found.as_ptr(), front);
    drop_slack(start.wrapping_add(size), slack - front);
    NonNull::new(start)
}

/// Releases addresses that were not handed out.
fn drop_slack(addr: *mut u8, size: usize) {
    if size != 0 {
        // SAFETY: just reserved, and not known to anyone else.
        unsafe { linux::release(addr, size) };
    }
}
