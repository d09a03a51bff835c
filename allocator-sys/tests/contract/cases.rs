// Included once per implementation, which is called `sys`.

use crate::probe::{
    self, Foreign, errno_kept, fill, free_addresses, holds, is_mapped, is_readable, is_writable,
};
use std::collections::HashSet;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};
use sys::{FileError, MapError};

/// Newly mapped memory at a free address.
fn fresh(pages: usize) -> *mut u8 {
    let at = free_addresses(pages);
    // SAFETY: whole pages.
    assert_eq!(unsafe { sys::map_at(at, pages * probe::page()) }, Ok(()));
    at
}

/// Releases a range.
fn drop_range(at: *mut u8, pages: usize) {
    // SAFETY: the tests release what they mapped, once.
    assert!(unsafe { sys::release(at, pages * probe::page()) });
}

#[test]
fn the_page_size_is_the_systems() {
    let size = errno_kept(sys::page_size);
    assert_eq!(size, probe::page());
    assert!([4096, 16384, 65536].contains(&size));
}

#[test]
fn reserved_addresses_cannot_be_touched() {
    let page = probe::page();
    let at = errno_kept(|| sys::reserve(4 * page)).unwrap().as_ptr();
    assert!((at as usize).is_multiple_of(page));
    for index in 0..4 {
        let at = at.wrapping_add(index * page);
        assert!(is_mapped(at) && !is_readable(at) && !is_writable(at));
    }
    drop_range(at, 4);
}

#[test]
fn more_addresses_than_there_are_cannot_be_reserved() {
    let size = usize::MAX / 2 / probe::page() * probe::page();
    assert_eq!(errno_kept(|| sys::reserve(size)), None);
}

#[test]
fn committed_memory_is_zero_and_its_own() {
    let page = probe::page();
    let at = sys::reserve(4 * page).unwrap().as_ptr();
    let middle = at.wrapping_add(page);
    // SAFETY: part of the reserved range, accessed after the commit.
    unsafe {
        assert!(errno_kept(|| sys::commit(middle, 2 * page)));
        assert!(holds(middle, 2 * page, 0));
        fill(middle, 2 * page, 0xa5);
        assert!(holds(middle, 2 * page, 0xa5));
    }
    assert!(!is_readable(at) && !is_readable(at.wrapping_add(3 * page)));
    drop_range(at, 4);
}

#[test]
fn memory_is_mapped_exactly_there_and_zero() {
    let page = probe::page();
    let at = free_addresses(3);
    // SAFETY: whole pages, accessed after mapping.
    unsafe {
        assert_eq!(errno_kept(|| sys::map_at(at, 3 * page)), Ok(()));
        assert!(holds(at, 3 * page, 0));
        fill(at, 3 * page, 1);
    }
    drop_range(at, 3);
    assert!(!is_mapped(at));
}

#[test]
fn advised_memory_is_mapped_exactly_there_and_zero() {
    let page = probe::page();
    let at = free_addresses(3);
    // SAFETY: whole pages, accessed after mapping.
    unsafe {
        assert_eq!(errno_kept(|| sys::map_advised_at(at, 3 * page, false)), Ok(()));
        assert!(holds(at, 3 * page, 0));
        fill(at, 3 * page, 1);
    }
    drop_range(at, 3);
    assert!(!is_mapped(at));
}

#[test]
fn what_is_mapped_already_is_not_replaced() {
    let page = probe::page();
    let foreign = Foreign::map(2 * page);
    // SAFETY: whole pages; the test owns the foreign mapping.
    unsafe {
        fill(foreign.at, 2 * page, 7);
        for (at, pages) in [(foreign.at, 2), (foreign.at.wrapping_add(page), 1)] {
            let size = pages * page;
            assert_eq!(errno_kept(|| sys::map_at(at, size)), Err(MapError::Taken));
            let advised = errno_kept(|| sys::map_advised_at(at, size, true));
            assert_eq!(advised, Err(MapError::Taken));
            assert_eq!(
                errno_kept(|| sys::reserve_at(at, size)),
                Err(MapError::Taken)
            );
        }
        assert!(holds(foreign.at, 2 * page, 7));
    }
    assert!(is_writable(foreign.at));
}

#[test]
fn a_range_that_is_taken_in_part_is_left_free() {
    let page = probe::page();
    let at = free_addresses(2);
    let _foreign = Foreign::map_there(at.wrapping_add(page), page);
    // SAFETY: whole pages.
    unsafe {
        assert_eq!(sys::map_at(at, 2 * page), Err(MapError::Taken));
        assert_eq!(sys::reserve_at(at, 2 * page), Err(MapError::Taken));
    }
    assert!(!is_mapped(at));
}

#[test]
fn beyond_the_address_space_there_is_no_memory() {
    let page = probe::page();
    let at = (usize::MAX - 4 * page + 1) as *mut u8;
    // SAFETY: whole pages, which the system refuses.
    unsafe {
        assert_eq!(
            errno_kept(|| sys::map_at(at, page)),
            Err(MapError::NoMemory)
        );
        assert_eq!(
            errno_kept(|| sys::reserve_at(at, page)),
            Err(MapError::NoMemory)
        );
    }
}

#[test]
fn addresses_are_reserved_exactly_there() {
    let page = probe::page();
    let at = free_addresses(2);
    // SAFETY: whole pages, accessed after the commit.
    unsafe {
        assert_eq!(errno_kept(|| sys::reserve_at(at, 2 * page)), Ok(()));
        assert!(is_mapped(at) && !is_readable(at));
        assert!(sys::commit(at, 2 * page));
        assert!(holds(at, 2 * page, 0));
    }
    drop_range(at, 2);
}

#[test]
fn purged_memory_is_zero_and_its_neighbours_stay() {
    let page = probe::page();
    let at = fresh(3);
    let middle = at.wrapping_add(page);
    // SAFETY: mapped above.
    unsafe {
        fill(at, 3 * page, 9);
        assert!(errno_kept(|| sys::purge(middle, page)));
        assert!(holds(middle, page, 0));
        assert!(holds(at, page, 9) && holds(middle.wrapping_add(page), page, 9));
        fill(middle, page, 3);
    }
    drop_range(at, 3);
}

#[test]
fn purged_memory_is_committed_again_as_zero() {
    let page = probe::page();
    let at = fresh(2);
    // SAFETY: mapped above.
    unsafe {
        fill(at, 2 * page, 9);
        assert!(sys::purge(at, 2 * page));
        assert!(sys::commit(at, 2 * page));
        assert!(holds(at, 2 * page, 0));
        fill(at, 2 * page, 9);
        assert!(sys::protect(at, 2 * page) && sys::purge(at, 2 * page));
        assert!(!is_readable(at));
        assert!(sys::commit(at, 2 * page));
        assert!(holds(at, 2 * page, 0));
    }
    drop_range(at, 2);
}

#[test]
fn locked_memory_is_not_purged() {
    let page = probe::page();
    let at = fresh(1);
    // SAFETY: mapped above.
    unsafe {
        fill(at, page, 9);
        if libc::mlock(at.cast(), page) == 0 {
            assert!(!errno_kept(|| sys::purge(at, page)));
            assert!(holds(at, page, 9));
        }
    }
    drop_range(at, 1);
}

#[test]
fn a_page_on_which_the_kernel_was_checked_is_zero() {
    let page = probe::page();
    let at = fresh(2);
    // SAFETY: mapped above.
    unsafe {
        fill(at, 2 * page, 9);
        errno_kept(|| sys::check_kernel(at));
        assert!(holds(at, page, 0) && holds(at.wrapping_add(page), page, 9));
        fill(at, page, 3);
        assert!(sys::purge(at, page), "this kernel does as it answers");
    }
    drop_range(at, 2);
}

#[test]
fn released_addresses_are_free() {
    let page = probe::page();
    let at = fresh(3);
    let middle = at.wrapping_add(page);
    // SAFETY: mapped above, and not used again.
    assert!(errno_kept(|| unsafe { sys::release(middle, page) }));
    assert!(is_readable(at) && !is_mapped(middle) && is_readable(at.wrapping_add(2 * page)));
    drop_range(at, 1);
    drop_range(at.wrapping_add(2 * page), 1);
}

#[test]
fn protected_memory_keeps_its_contents() {
    let page = probe::page();
    let at = fresh(2);
    // SAFETY: mapped above; the protected page is not accessed.
    unsafe {
        fill(at, 2 * page, 5);
        assert!(errno_kept(|| sys::protect(at, page)));
        assert!(!is_readable(at) && is_readable(at.wrapping_add(page)));
        assert!(sys::commit(at, page));
        assert!(holds(at, 2 * page, 5));
    }
    drop_range(at, 2);
}

#[test]
fn memory_grows_where_it_is() {
    let page = probe::page();
    let at = free_addresses(4);
    // SAFETY: mapped before it is accessed.
    unsafe {
        assert_eq!(sys::map_at(at, page), Ok(()));
        fill(at, page, 5);
        assert!(errno_kept(|| sys::resize(at, page, 4 * page)));
        assert!(holds(at, page, 5) && holds(at.wrapping_add(page), 3 * page, 0));
    }
    drop_range(at, 4);
}

#[test]
fn memory_shrinks_where_it_is() {
    let page = probe::page();
    let at = fresh(4);
    // SAFETY: mapped above; the removed part is not used again.
    unsafe {
        fill(at, 4 * page, 5);
        assert!(errno_kept(|| sys::resize(at, 4 * page, page)));
        assert!(holds(at, page, 5));
    }
    assert!(!is_mapped(at.wrapping_add(page)) && !is_mapped(at.wrapping_add(3 * page)));
    drop_range(at, 1);
}

#[test]
fn memory_does_not_grow_over_what_follows() {
    let page = probe::page();
    let at = fresh(2);
    let next = at.wrapping_add(2 * page);
    // SAFETY: mapped above.
    unsafe {
        assert_eq!(sys::map_at(next, page), Ok(()));
        fill(at, 2 * page, 5);
        fill(next, page, 6);
        assert!(!errno_kept(|| sys::resize(at, 2 * page, 3 * page)));
        assert!(holds(at, 2 * page, 5) && holds(next, page, 6));
    }
    drop_range(at, 3);
}

#[test]
fn memory_moves_and_grows_shrinks_or_stays() {
    let page = probe::page();
    for (old, new) in [(2, 5), (2, 2), (5, 2)] {
        let at = fresh(old);
        let target = free_addresses(new);
        let kept = old.min(new) * page;
        // SAFETY: mapped and reserved before they are accessed.
        unsafe {
            fill(at, old * page, 5);
            assert_eq!(sys::reserve_at(target, new * page), Ok(()));
            assert!(errno_kept(|| sys::move_to(
                at,
                old * page,
                target,
                new * page
            )));
            assert!(holds(target, kept, 5));
            assert!(holds(target.wrapping_add(kept), new * page - kept, 0));
            fill(target, new * page, 6);
        }
        assert!((0..old).all(|index| !is_mapped(at.wrapping_add(index * page))));
        drop_range(target, new);
    }
}

#[test]
fn moved_memory_moves_and_grows_again() {
    let page = probe::page();
    let at = fresh(1);
    let (second, third) = (free_addresses(3), free_addresses(4));
    // SAFETY: mapped and reserved before they are accessed.
    unsafe {
        fill(at, page, 5);
        assert_eq!(sys::reserve_at(second, 2 * page), Ok(()));
        assert!(sys::move_to(at, page, second, 2 * page));
        assert!(sys::resize(second, 2 * page, 3 * page));
        assert_eq!(sys::reserve_at(third, 4 * page), Ok(()));
        assert!(sys::move_to(second, 3 * page, third, 4 * page));
        assert!(holds(third, page, 5) && holds(third.wrapping_add(page), 3 * page, 0));
    }
    drop_range(third, 4);
}

#[test]
fn a_refused_move_changes_nothing() {
    let page = probe::page();
    let size = 1 << 44;
    let at = fresh(2);
    let target = sys::reserve(size).unwrap().as_ptr();
    // SAFETY: mapped and reserved above. No machine has that much memory, so
    // the growth is refused, unless the system overcommits without limit.
    unsafe {
        fill(at, 2 * page, 5);
        if !errno_kept(|| sys::move_to(at, 2 * page, target, size)) {
            assert!(holds(at, 2 * page, 5));
            assert!(is_mapped(target) && !is_readable(target));
            assert!(is_mapped(target.wrapping_add(size - page)));
            drop_range(at, 2);
        }
    }
    drop_range(target, size / page);
}

#[test]
fn advice_about_huge_pages_keeps_the_contents() {
    let page = probe::page();
    let at = fresh(2);
    // SAFETY: mapped above.
    unsafe {
        fill(at, 2 * page, 5);
        errno_kept(|| sys::advise_huge(at, 2 * page, true));
        errno_kept(|| sys::advise_huge(at, page, false));
        assert!(holds(at, 2 * page, 5));
    }
    drop_range(at, 2);
}

#[test]
fn pages_that_were_written_are_in_memory() {
    let page = probe::page();
    let at = fresh(5);
    // SAFETY: mapped above. Huge pages are disabled, as they would become
    // resident as a whole.
    unsafe {
        sys::advise_huge(at, 5 * page, false);
        fill(at.wrapping_add(page), 2 * page, 5);
        fill(at.wrapping_add(4 * page), 1, 5);
    }
    let mut pages = [9; 6];
    assert!(errno_kept(|| sys::resident(at, 5 * page, &mut pages)));
    assert_eq!(pages, [0, 1, 1, 0, 1, 9]);
    assert!(!errno_kept(|| sys::resident(at, 5 * page, &mut pages[..4])), "too short");
    // SAFETY: mapped above.
    assert!(unsafe { sys::purge(at, 4 * page) });
    assert!(sys::resident(at, 5 * page, &mut pages));
    assert_eq!(pages, [0, 0, 0, 0, 1, 9]);
    drop_range(at, 5);
    assert!(!errno_kept(|| sys::resident(at, 5 * page, &mut pages)), "nothing is mapped");
}

#[test]
fn rss_grows_with_written_memory() {
    const PAGES: usize = 4096;
    let page = probe::page();
    let before = errno_kept(sys::rss).unwrap();
    assert!(before.all > before.anonymous && before.anonymous > 0);
    let at = fresh(PAGES);
    // SAFETY: mapped above.
    unsafe { fill(at, PAGES * page, 1) };
    let after = sys::rss().unwrap();
    // Other tests run at the same time.
    let came = after.anonymous as isize - before.anonymous as isize;
    assert!(came.abs_diff((PAGES * page) as isize) < PAGES * page / 2, "{before:?} {after:?}");
    drop_range(at, PAGES);
}

#[test]
fn a_small_file_is_read_as_far_as_there_is_room() {
    let mut text = [0; 4096];
    let len = errno_kept(|| sys::read_file(c"/proc/self/comm", &mut text)).unwrap();
    assert_eq!(text[..len], *std::fs::read("/proc/self/comm").unwrap());
    let mut little = [0; 3];
    assert_eq!(sys::read_file(c"/proc/self/comm", &mut little), Ok(3));
    assert_eq!(little, text[..3]);
    assert_eq!(sys::read_file(c"/proc/self/comm", &mut []), Ok(0));
    let absent = errno_kept(|| sys::read_file(c"/proc/self/no/such/file", &mut text));
    assert_eq!(absent, Err(FileError::Absent));
    // A directory can be opened but not read.
    assert_eq!(errno_kept(|| sys::read_file(c"/proc/self", &mut text)), Ok(0));
}

#[test]
fn a_file_is_read_line_by_line() {
    let mut lines = Vec::new();
    let read = |lines: &mut Vec<Vec<u8>>, most| {
        errno_kept(|| {
            sys::read_lines(c"/proc/self/limits", &mut [0; 256], |line| {
                lines.push(line.to_vec());
                if lines.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        })
    };
    assert_eq!(read(&mut lines, usize::MAX), Ok(()));
    let whole = std::fs::read("/proc/self/limits").unwrap();
    assert_eq!([lines.join(&b'\n'), vec![b'\n']].concat(), whole);
    lines.clear();
    assert_eq!((read(&mut lines, 2), lines.len()), (Ok(()), 2));
    let absent = errno_kept(|| {
        sys::read_lines(c"/proc/self/no/such/file", &mut [0; 9], |_| ControlFlow::Continue(()))
    });
    assert_eq!(absent, Err(FileError::Absent));
}

#[test]
fn the_limit_on_addresses_is_the_systems() {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: writes the limit.
    let soft = unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, limit.as_mut_ptr()), 0);
        limit.assume_init().rlim_cur
    };
    let reported = errno_kept(sys::address_limit).map_or(libc::RLIM_INFINITY, |bytes| bytes as u64);
    assert_eq!(reported, soft);
}

#[test]
fn the_cpus_are_those_that_the_process_may_use() {
    let count = errno_kept(sys::cpu_count);
    // SAFETY: takes a number.
    let all = usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) }).unwrap();
    assert!((1..=all).contains(&count));
    assert_eq!(count, probe::allowed_cpus().len());
}

#[test]
fn a_bound_thread_runs_on_its_cpu() {
    let bound = || {
        for cpu in probe::allowed_cpus() {
            probe::bind_to(cpu);
            assert_eq!(errno_kept(sys::current_cpu), cpu);
        }
    };
    std::thread::spawn(bound).join().unwrap();
}

#[test]
fn time_goes_on() {
    let before = errno_kept(sys::monotonic_ms);
    std::thread::sleep(Duration::from_millis(50));
    let passed = sys::monotonic_ms() - before;
    assert!((20..60_000).contains(&passed), "{passed}");
}

#[test]
fn yielding_returns() {
}

#[test]
fn a_word_that_differs_is_not_waited_for() {
    let word = AtomicU32::new(1);
    errno_kept(|| sys::futex_wait(&word, 0));
    errno_kept(|| sys::futex_wait_for(&word, 0, u32::MAX));
}

#[test]
fn a_limited_wait_ends() {
    let word = AtomicU32::new(0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(20) {
        errno_kept(|| sys::futex_wait_for(&word, 0, 25));
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_waiting_thread_is_woken() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waiter = std::thread::spawn(|| {
        while WORD.load(Ordering::SeqCst) == 0 {
            sys::futex_wait(&WORD, 0);
        }
    });
    std::thread::sleep(Duration::from_millis(20));
    WORD.store(1, Ordering::SeqCst);
    errno_kept(|| sys::futex_wake(&WORD, u32::MAX));
    waiter.join().unwrap();
}

#[test]
fn the_exit_of_an_armed_thread_is_reported_once() {
    static ENDS: AtomicU32 = AtomicU32::new(0);
    assert!(errno_kept(|| sys::on_thread_exit(probe::ended)));
    assert!(errno_kept(|| sys::on_thread_exit(probe::ended)));
    let counter = || ptr::from_ref(&ENDS).cast_mut().cast::<c_void>();
    let arm = move || assert!(errno_kept(|| sys::arm_thread_exit(counter())));
    let disarm = || assert!(sys::arm_thread_exit(ptr::null_mut()));
    std::thread::spawn(|| {}).join().unwrap();
    assert_eq!(ENDS.load(Ordering::SeqCst), 0);
    std::thread::spawn(arm).join().unwrap();
    assert_eq!(ENDS.load(Ordering::SeqCst), 1);
    std::thread::spawn(move || (arm(), arm())).join().unwrap();
    assert_eq!(ENDS.load(Ordering::SeqCst), 2);
    std::thread::spawn(move || (arm(), disarm()))
        .join()
        .unwrap();
    assert_eq!(ENDS.load(Ordering::SeqCst), 2);
    // What was requested is forgotten, and nothing can be requested.
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let late = std::thread::spawn(move || (arm(), receive.recv()));
    std::thread::sleep(Duration::from_millis(20));
    errno_kept(sys::forget_thread_exit);
    drop(send);
    late.join().unwrap().1.unwrap_err();
    assert_eq!(ENDS.load(Ordering::SeqCst), 2);
    assert!(!sys::arm_thread_exit(counter()));
    errno_kept(sys::forget_thread_exit);
    assert!(sys::on_thread_exit(probe::ended));
    std::thread::spawn(arm).join().unwrap();
    assert_eq!(ENDS.load(Ordering::SeqCst), 3);
}

#[test]
fn a_program_is_never_unloaded() {
    assert!(!errno_kept(sys::can_be_unloaded));
}

#[test]
fn the_exit_function_runs_at_exit() {
    unsafe extern "C" fn leave(_: *mut c_void) {
        // SAFETY: ends the child with a status of its own.
        unsafe { libc::_exit(7) };
    }
    let exit = || {
        assert!(errno_kept(|| sys::on_exit(leave)));
        // SAFETY: the child has one thread.
        unsafe { libc::exit(0) };
    };
    assert_eq!(probe::status_of_fork(exit), 7);
}

#[test]
fn the_fork_handler_runs_in_the_child() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn child() {
        CALLS.fetch_add(1, Ordering::SeqCst);
    }
    assert!(errno_kept(|| sys::on_fork(child)));
    let calls = || CALLS.load(Ordering::SeqCst).try_into().unwrap();
    assert_eq!(probe::status_of_fork(calls), 1);
    assert_eq!(CALLS.load(Ordering::SeqCst), 0);
}

#[test]
fn memory_can_be_mapped_in_the_child_of_a_fork() {
    unsafe extern "C" fn child() {}
    assert!(sys::on_fork(child));
    let page = probe::page();
    let mapped = || i32::from(sys::reserve(page).is_some());
    for _ in 0..20 {
        assert_eq!(probe::status_of_fork(mapped), 1);
    }
}

#[test]
fn living_threads_have_different_tokens() {
    let count = 50;
    let (all, tokens) = (Barrier::new(count), Mutex::new(HashSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let token = errno_kept(sys::thread_token);
                assert!((1..1 << 31).contains(&token));
                tokens.lock().unwrap().insert(token);
                all.wait();
                assert_eq!(sys::thread_token(), token);
            });
        }
    });
    assert_eq!(tokens.into_inner().unwrap().len(), count);
}

#[test]
fn a_function_runs_on_another_stack() {
    static STACK: sys::Stack = sys::Stack::new();
    let there = ptr::from_ref(&STACK).addr()..ptr::from_ref(&STACK).wrapping_add(1).addr();
    let words = [1u64, 2, 3].map(std::hint::black_box);
    // SAFETY: this test alone uses the stack.
    let (place, sum) = errno_kept(|| unsafe {
        sys::on_stack(&STACK, || {
            let local = std::hint::black_box(0u8);
            ((&raw const local).addr(), words.iter().sum::<u64>())
        })
    });
    assert!(there.contains(&place), "{place:#x} is not in {there:x?}");
    assert_eq!(sum, 6);
}

#[test]
fn unwinders_find_the_way_back_from_another_stack() {
    static STACK: sys::Stack = sys::Stack::new();
    // SAFETY: this test alone uses the stack.
    let trace = unsafe { sys::on_stack(&STACK, std::backtrace::Backtrace::force_capture) };
    let trace = trace.to_string();
    assert!(trace.contains("unwinders_find_the_way_back"), "{trace}");
}

#[test]
fn memory_is_read_up_to_what_cannot_be_read() {
    let page = probe::page();
    let words = page / size_of::<usize>();
    let at = fresh(2);
    // SAFETY: mapped above.
    unsafe { fill(at, 2 * page, 5) };
    let mut copy = vec![0; 2 * words];
    let whole = errno_kept(|| sys::read_memory(at.addr(), &mut copy));
    assert_eq!(whole, 2 * page);
    assert!(copy.iter().all(|word| *word == usize::from_ne_bytes([5; size_of::<usize>()])));
    drop_range(at.wrapping_add(page), 1);
    let part = errno_kept(|| sys::read_memory(at.addr() + page / 2, &mut copy));
    assert_eq!(part, page / 2, "the next page is not mapped");
    assert_eq!(errno_kept(|| sys::read_memory(at.addr() + page, &mut copy)), 0);
    assert_eq!(sys::read_memory(usize::MAX - 7, &mut copy), 0);
    assert_eq!(sys::read_memory(0, &mut copy), 0);
    drop_range(at, 1);
}

#[test]
fn registers_are_those_of_the_caller() {
    let local = std::hint::black_box(0u8);
    let registers = errno_kept(sys::registers);
    let distance = (&raw const local).addr().abs_diff(registers.stack);
    assert!(distance < 64 << 10, "{registers:x?}");
}

#[test]
fn signals_are_blocked_for_a_while() {
    assert!(!all_signals_blocked());
    assert!(errno_kept(|| sys::without_signals(all_signals_blocked)));
    assert!(!all_signals_blocked());
}


/// Whether the calling thread blocks the signals that programs usually handle.
fn all_signals_blocked() -> bool {
    let mut mask = std::mem::MaybeUninit::uninit();
    let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGCHLD, libc::SIGALRM];
    // SAFETY: writes the mask, then reads it.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), mask.as_mut_ptr());
        signals.iter().all(|signal| libc::sigismember(mask.as_ptr(), *signal) == 1)
    }
}
