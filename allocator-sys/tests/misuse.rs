//! Each kind of misuse that the fake detects, in a process of its own.

mod probe;

use allocator_sys::fake;
use std::os::unix::process::ExitStatusExt;

/// Environment variable with the index of the misuse that a process has to
/// commit.
const CASE: &str = "STRATA_TEST_MISUSE";

/// A misuse of three committed pages at the given address, and the expected
/// message.
type Case = (fn(*mut u8), &'static str);

/// Wraps unsafe calls as a case.
macro_rules! case {
    ($message:literal, |$at:ident, $page:ident| $misuse:expr) => {
        (
            |$at| {
                let $page = fake::page_size();
                // SAFETY: none: the process ends before the call takes effect.
                let _ = unsafe { $misuse };
            },
            $message,
        )
    };
}

const CASES: &[Case] = &[
    (|_| _ = fake::reserve(0), "reserve(0x0, 0x0): the size is 0"),
    (|_| _ = fake::reserve(100), "the size is not page-aligned"),
    case!("the address is not page-aligned", |at, page| fake::purge(at.wrapping_add(8), page)),
    case!("the range wraps around", |at, page| fake::purge(at, usize::MAX - page + 1)),
    case!("the range is not completely mapped", |at, page| fake::purge(at, 4 * page)),
    case!("the range is not completely mapped", |at, page| fake::purge(
        at.wrapping_sub(page),
        2 * page
    )),
    case!("the range is not completely mapped", |at, page| fake::commit(
        at.wrapping_add(3 * page),
        page
    )),
    case!("the range is not completely mapped", |at, page| fake::protect(at, 4 * page)),
    case!("the range is not completely mapped", |at, page| fake::release(at, 4 * page)),
    case!("the range is not completely mapped", |at, page| {
        fake::release(at.wrapping_add(page), page);
        fake::release(at.wrapping_add(page), page)
    }),
    case!("part of the range is already owned", |at, page| fake::map_at(
        at.wrapping_sub(page),
        2 * page
    )),
    case!("part of the range is already owned", |at, page| fake::reserve_at(
        at.wrapping_add(page),
        page
    )),
    case!("the address is null", |at, page| fake::map_at(at.wrapping_sub(at as usize), page)),
    case!("the range is not completely committed", |at, page| fake::resize(at, 4 * page, page)),
    case!("the range is not completely committed", |at, page| {
        fake::protect(at, page);
        fake::resize(at, 3 * page, page)
    }),
    case!("the range is not completely committed", |at, page| {
        fake::release(at, page);
        fake::move_to(at, page, fake::reserve(page).unwrap().as_ptr(), page)
    }),
    case!("the target is not completely reserved", |at, page| {
        let target = fake::reserve(page).unwrap().as_ptr();
        fake::move_to(at, page, target, 1 << 40)
    }),
    case!("the target overlaps the source", |at, page| fake::move_to(
        at,
        2 * page,
        at.wrapping_add(page),
        page
    )),
];

/// Commits the misuse given in the environment, if any.
#[test]
fn the_misuse() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    let page = fake::page_size();
    let at = fake::reserve(5 * page).unwrap().as_ptr();
    let middle = at.wrapping_add(page);
    // SAFETY: parts of the reserved range.
    unsafe {
        assert!(fake::release(at, page) && fake::release(at.wrapping_add(4 * page), page));
        assert!(fake::commit(middle, 3 * page));
    }
    CASES[case.parse::<usize>().unwrap()].0(middle);
}

#[test]
fn misuses_are_named_and_end_the_process() {
    for (index, (_, message)) in CASES.iter().enumerate() {
        let mut command = probe::this_program();
        command.args(["--exact", "the_misuse", "--nocapture", "--test-threads=1"]);
        let output = command.env(CASE, index.to_string()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{index}: {text}");
        assert!(text.contains("allocator-sys fake: misuse: "), "{index}: {text}");
        assert!(text.contains(message), "{index}: {text}");
    }
}
