//! Features of the fake alone: failures on demand, call counts and overrides.

mod probe;

use allocator_sys::fake::{self, Call, State};
use allocator_sys::{self as real, FileError, HugePages, MapError, TaskBody, ThreadWord};
use core::ffi::{CStr, c_void};
use core::ops::ControlFlow;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;
use probe::{fill, free_addresses, holds, is_mapped, is_readable};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The state of the fake belongs to the process: tests run one at a time, each
/// from a clean state.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    fake::clear_failures();
    fake::set_page_size(None);
    guard
}

/// Newly mapped memory, filled with 5.
fn filled(pages: usize) -> *mut u8 {
    let (at, size) = (free_addresses(pages), pages * probe::page());
    // SAFETY: whole pages, mapped before they are written.
    unsafe {
        assert_eq!(fake::map_at(at, size), Ok(()));
        fill(at, size, 5);
    }
    at
}

/// Releases a range.
fn drop_range(at: *mut u8, pages: usize) {
    // SAFETY: the tests release what they mapped, once.
    assert!(unsafe { fake::release(at, pages * probe::page()) });
}

unsafe extern "C" fn nothing() {}

unsafe extern "C" fn ended(_: *mut c_void) {}

extern "C" fn body(_: bool) {}

/// Asserts that the listed functions have the same signature in both modules.
macro_rules! same {
    ($($name:ident: $signature:ty;)*) => {
        $(let _: [$signature; 2] = [real::$name, fake::$name];)*
    };
}

#[test]
fn the_fake_has_the_same_signatures() {
    same! {
        page_size: fn() -> usize;
        reserve: fn(usize) -> Option<NonNull<u8>>;
        commit: unsafe fn(*mut u8, usize) -> bool;
        map_at: unsafe fn(*mut u8, usize) -> Result<(), MapError>;
        map_advised_at: unsafe fn(*mut u8, usize, bool) -> Result<(), MapError>;
        reserve_at: unsafe fn(*mut u8, usize) -> Result<(), MapError>;
        purge: unsafe fn(*mut u8, usize) -> bool;
        release: unsafe fn(*mut u8, usize) -> bool;
        protect: unsafe fn(*mut u8, usize) -> bool;
        resize: unsafe fn(*mut u8, usize, usize) -> bool;
        move_to: unsafe fn(*mut u8, usize, *mut u8, usize) -> bool;
        advise_huge: unsafe fn(*mut u8, usize, bool);
        collapse: unsafe fn(*mut u8, usize) -> bool;
        check_kernel: unsafe fn(*mut u8);
        address_limit: fn() -> Option<usize>;
        mapping_limit: fn() -> usize;
        huge_pages: fn() -> HugePages;
        read_file: fn(&CStr, &mut [u8]) -> Result<usize, FileError>;
        read_lines: fn(&CStr, &mut [u8], fn(&[u8]) -> ControlFlow<()>) -> Result<(), FileError>;
        cpu_count: fn() -> usize;
        current_cpu: fn() -> usize;
        prefetch: fn(*const u8);
        monotonic_ms: fn() -> u64;
        futex_wait: fn(&AtomicU32, u32);
        futex_wait_for: fn(&AtomicU32, u32, u32);
        futex_wake: fn(&AtomicU32, u32);
        on_thread_exit: fn(unsafe extern "C" fn(*mut c_void)) -> bool;
        arm_thread_exit: fn(*mut c_void) -> bool;
        forget_thread_exit: fn();
        can_be_unloaded: fn() -> bool;
        on_exit: fn(unsafe extern "C" fn(*mut c_void)) -> bool;
        on_fork: fn(unsafe extern "C" fn()) -> bool;
        thread_token: fn() -> u32;
        write_stderr: fn(&[u8]);
        abort: fn() -> !;
        start_task: fn(TaskBody, ThreadWord) -> bool;
    }
}

#[test]
fn a_failed_call_changes_nothing() {
    let _alone = alone();
    let page = probe::page();
    let (at, free) = (filled(2), free_addresses(2));
    let (mapped, ranges) = (fake::mapped_bytes(), fake::ranges());
    fake::fail_any_nth(1, u64::MAX);
    // SAFETY: mapped above; nothing else is accessed.
    unsafe {
        assert_eq!(fake::reserve(page), None);
        assert_eq!(fake::map_at(free, page), Err(MapError::NoMemory));
        assert_eq!(fake::reserve_at(free, page), Err(MapError::NoMemory));
        assert!(!fake::purge(at, 2 * page));
        assert!(!fake::protect(at, page));
        assert!(!fake::resize(at, 2 * page, page));
        assert!(!fake::release(at, 2 * page));
    }
    assert!(!is_mapped(free));
    assert_eq!((fake::mapped_bytes(), fake::ranges()), (mapped, ranges));
    // SAFETY: mapped above, and every call failed.
    assert!(unsafe { holds(at, 2 * page, 5) });
    assert!(!fake::on_thread_exit(ended) && !fake::arm_thread_exit(core::ptr::null_mut()));
    assert!(
        !fake::on_fork(nothing) && !fake::start_task(body, ThreadWord { offset: -8, value: 0 })
    );
    fake::clear_failures();
    drop_range(at, 2);
}

#[test]
fn a_failed_commit_leaves_the_range_reserved() {
    let _alone = alone();
    let page = probe::page();
    let at = fake::reserve(page).unwrap().as_ptr();
    fake::fail_nth(Call::Commit, 1, 1);
    // SAFETY: reserved above.
    unsafe {
        assert!(!fake::commit(at, page));
        assert_eq!(fake::state_of(at), Some(State::Reserved));
        assert!(!is_readable(at));
        assert!(fake::commit(at, page));
    }
    drop_range(at, 1);
}

#[test]
fn a_failed_move_leaves_both_ranges() {
    let _alone = alone();
    let page = probe::page();
    let (at, target) = (filled(1), free_addresses(2));
    fake::fail_nth(Call::MoveTo, 1, 1);
    // SAFETY: mapped above, or reserved here.
    unsafe {
        assert_eq!(fake::reserve_at(target, 2 * page), Ok(()));
        assert!(!fake::move_to(at, page, target, 2 * page));
        assert!(holds(at, page, 5) && !is_readable(target));
        assert_eq!(fake::state_of(target), Some(State::Reserved));
        assert!(fake::move_to(at, page, target, 2 * page));
    }
    assert_eq!(fake::state_of(at), None);
    drop_range(target, 2);
}

#[test]
fn the_chosen_calls_fail_and_no_others() {
    let _alone = alone();
    let at = filled(1);
    // SAFETY: mapped above.
    let purge = || unsafe { fake::purge(at, probe::page()) };
    let calls = fake::calls(Call::Purge);
    fake::fail_nth(Call::Purge, 2, 2);
    assert_eq!([purge(), purge(), purge(), purge()], [true, false, false, true]);
    assert_eq!(fake::calls(Call::Purge), calls + 4);
    fake::fail_nth(Call::Purge, 0, 1);
    fake::fail_nth(Call::Release, 2, 1);
    assert_eq!([purge(), purge()], [false, true]);
    fake::fail_nth(Call::Purge, 1, u64::MAX);
    fake::clear_failures();
    assert!(purge());
    drop_range(at, 1);
}

#[test]
fn calls_of_all_kinds_are_counted_together() {
    let _alone = alone();
    let page = probe::page();
    fake::fail_any_nth(3, 1);
    let at = fake::reserve(page).unwrap().as_ptr();
    // SAFETY: reserved above.
    unsafe {
        fake::advise_huge(at, page, false);
        fake::futex_wake(&AtomicU32::new(0), 1);
        assert!(fake::commit(at, page));
        assert!(!fake::release(at, page));
        assert!(fake::release(at, page));
    }
}

#[test]
fn the_error_of_failed_mappings_can_be_chosen() {
    let _alone = alone();
    let (at, page) = (free_addresses(1), probe::page());
    fake::set_map_error(MapError::Taken);
    fake::fail_nth(Call::MapAt, 1, 1);
    // SAFETY: whole pages.
    assert_eq!(unsafe { fake::map_at(at, page) }, Err(MapError::Taken));
    fake::clear_failures();
    fake::fail_nth(Call::ReserveAt, 1, 1);
    // SAFETY: as above.
    let refused = unsafe { fake::reserve_at(at, page) };
    assert_eq!(refused, Err(MapError::NoMemory));
}

#[test]
fn sums_and_states_follow_the_calls() {
    let _alone = alone();
    let page = probe::page();
    let sums = || [fake::mapped_bytes(), fake::committed_bytes(), fake::purged_bytes()];
    let before = sums();
    let grown = |pages: [usize; 3]| {
        let now = sums();
        (0..3).all(|sum| now[sum] == before[sum] + pages[sum] * page)
    };
    let at = fake::reserve(8 * page).unwrap().as_ptr();
    assert!(grown([8, 0, 0]));
    // SAFETY: reserved above; no memory is accessed.
    unsafe {
        assert!(fake::commit(at, 4 * page) && grown([8, 4, 0]));
        assert!(fake::purge(at, 2 * page) && grown([8, 2, 2]));
        assert!(fake::protect(at.wrapping_add(2 * page), page) && grown([8, 1, 2]));
    }
    let states = [0, 2, 3, 7, 8].map(|index| fake::state_of(at.wrapping_add(index * page)));
    let expected = [State::Purged, State::Protected, State::Committed, State::Reserved];
    assert_eq!(states[..4], expected.map(Some));
    // SAFETY: as above.
    unsafe {
        assert!(fake::purge(at, 8 * page) && grown([8, 0, 3]));
        assert!(fake::commit(at, 8 * page) && grown([8, 8, 0]));
        assert!(fake::resize(at, 8 * page, 6 * page) && grown([6, 6, 0]));
    }
    drop_range(at, 6);
    assert!(grown([0, 0, 0]));
}

#[test]
fn overrides_apply_until_removed() {
    let _alone = alone();
    fake::set_cpu_count(Some(96));
    fake::set_current_cpu(Some(0));
    fake::set_address_limit(Some(1 << 30));
    fake::set_monotonic_ms(Some(0));
    assert_eq!((fake::cpu_count(), fake::current_cpu()), (96, 0));
    assert_eq!((fake::address_limit(), fake::monotonic_ms()), (Some(1 << 30), 0));
    fake::set_cpu_count(None);
    fake::set_current_cpu(None);
    fake::set_address_limit(None);
    fake::set_monotonic_ms(None);
    assert_eq!(fake::cpu_count(), real::cpu_count());
    assert_eq!(fake::address_limit(), real::address_limit());
    assert!(fake::monotonic_ms() > 0);
}

#[test]
fn a_larger_page_size_can_be_set() {
    let _alone = alone();
    let page = 64 << 10;
    fake::set_page_size(Some(page));
    assert_eq!(fake::page_size(), page);
    for _ in 0..8 {
        let at = fake::reserve(3 * page).unwrap().as_ptr();
        assert!((at as usize).is_multiple_of(page));
        assert!(is_mapped(at) && is_mapped(at.wrapping_add(3 * page - 1)));
        // SAFETY: reserved above.
        assert!(unsafe { fake::release(at, 3 * page) });
        assert_eq!(fake::state_of(at), None);
    }
    fake::set_page_size(None);
}

#[test]
fn many_threads_map_and_release_at_once() {
    let _alone = alone();
    let (before, page) = (fake::mapped_bytes(), probe::page());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for pages in 1..200 {
                    let at = fake::reserve(pages * page).unwrap().as_ptr();
                    // SAFETY: reserved above.
                    unsafe {
                        assert!(fake::commit(at, page));
                        fill(at, page, 1);
                    }
                    drop_range(at, pages);
                }
            });
        }
    });
    assert_eq!(fake::mapped_bytes(), before);
}

#[test]
fn nothing_is_mapped_above_the_address_bits() {
    let _alone = alone();
    fake::set_address_bits(Some(39));
    let page = probe::page();
    let reserved: Vec<*mut u8> =
        (1..=3).map(|pages| fake::reserve(pages * page).expect("addresses").as_ptr()).collect();
    assert!(reserved.is_sorted_by(|one, next| one > next), "{reserved:?}");
    assert!(reserved.iter().all(|at| at.addr() < 1 << 39), "{reserved:?}");
    reserved.iter().zip(1..).for_each(|(at, pages)| drop_range(*at, pages));
    let last = core::ptr::without_provenance_mut::<u8>((1 << 39) - page);
    // SAFETY: whole pages; what was mapped is dropped.
    unsafe {
        assert_eq!(fake::reserve_at(last, 2 * page), Err(MapError::NoMemory));
        assert_eq!(fake::map_at(last.wrapping_add(page), page), Err(MapError::NoMemory));
        assert_eq!(fake::map_at(last, page), Ok(()));
        assert!(!fake::resize(last, page, 2 * page));
    }
    drop_range(last, 1);
    fake::set_address_bits(None);
}
