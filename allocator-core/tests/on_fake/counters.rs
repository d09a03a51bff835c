//! The counters of memory that is in use and of memory that is free, and the bounds that follow
//! from them. Nothing is allocated: the counters are set.

use crate::common;
use crate::pages::committed::COMMITTED;
use crate::pages::helped;
use crate::pages::usage::{self, Recount};

const MIB: usize = 1 << 20;

pub(crate) fn child(case: &str) {
    match case {
        "sums" => add_up(),
        "low" => low_water(),
        "bounds" => bounds(),
        "loans" => loans(),
        "due" => due(),
        "told" => told(),
        _ => panic!("{case}?"),
    }
}

#[test]
fn free_memory_is_counted_and_bounded() {
    for case in ["sums", "low", "bounds", "loans", "due", "told"] {
        common::succeeds(&format!("2 counters {case}"));
    }
}

/// 360 MiB are committed, of which 60 are free, and 40 free blocks in spans in use. So 260 MiB
/// are wanted.
fn set() {
    usage::set(&Recount {
        spans: 200 * MIB,
        large: 100 * MIB,
        dirty: 60 * MIB,
        holes: 10 * MIB,
        out: 150 * MIB,
    });
    usage::search_again();
}

/// What is counted is what was told.
fn add_up() {
    set();
    assert_eq!((COMMITTED.bytes(), usage::dirty()), (360 * MIB, 60 * MIB));
    assert_eq!((usage::loose(), usage::large()), (40 * MIB, 100 * MIB));

    usage::gave_large(30 * MIB, 20 * MIB);
    assert_eq!((COMMITTED.bytes(), usage::dirty()), (350 * MIB, 80 * MIB));
    assert_eq!(usage::large(), 70 * MIB);

    let purged = usage::purged();
    usage::cleaned(5 * MIB);
    assert_eq!((COMMITTED.bytes(), usage::dirty()), (345 * MIB, 75 * MIB));
    usage::unmapped(8 * MIB, 2 * MIB);
    assert_eq!((COMMITTED.bytes(), usage::dirty()), (339 * MIB, 69 * MIB));
    usage::made_holes(7 * MIB);
    assert_eq!(usage::loose(), 33 * MIB);
    assert_eq!(usage::purged() - purged, 20 * MIB);

    usage::went_out(3 * MIB);
    assert_eq!(usage::loose(), 30 * MIB);
    usage::came_back(13 * MIB);
    assert_eq!(usage::loose(), 43 * MIB);
    // One counter may be late.
    usage::went_out(50 * MIB);
    assert_eq!(usage::loose(), 0);
}

/// The least that was free since the last look.
fn low_water() {
    set();
    assert_eq!(usage::take_low_water(), 60 * MIB);
    usage::cleaned(20 * MIB);
    usage::gave_large(50 * MIB, 50 * MIB);
    usage::cleaned(10 * MIB);
    assert_eq!(usage::take_low_water(), 40 * MIB);
    assert_eq!(usage::take_low_water(), 80 * MIB);
}

/// With a helper an eighth of what is wanted may be free, without one a quarter; but at least
/// 4 and 32 MiB.
fn bounds() {
    helped::set_helped(true);
    set();
    let bound = 260 * MIB / 8;
    assert_eq!(usage::excess(), 100 * MIB - bound);
    assert_eq!(usage::above_bound(50 * MIB), 50 * MIB - bound);
    assert_eq!(usage::above_bound(bound), 0);
    assert_eq!(usage::unwanted_loose(), 40 * MIB);
    assert_eq!(usage::unwanted_loose_in_use(), 35 * MIB);
    assert!(usage::is_too_much());
    // What was searched in vain is not searched again, before more comes back.
    usage::searched();
    assert_eq!((usage::unwanted_loose(), usage::unwanted_loose_in_use()), (0, 0));
    assert_eq!(usage::excess(), 60 * MIB - bound);
    usage::went_out(15 * MIB);
    usage::came_back(5 * MIB);
    usage::came_back(5 * MIB);
    assert_eq!(usage::unwanted_loose(), 5 * MIB);
    usage::search_again();
    usage::came_back(5 * MIB);
    usage::cleaned(30 * MIB);
    assert_eq!(usage::unwanted_loose(), 70 * MIB - bound);
    assert_eq!(usage::unwanted_loose_in_use(), 5 * MIB);

    usage::set(&Recount { dirty: 20 * MIB, ..Recount::default() });
    usage::search_again();
    assert_eq!(usage::excess(), 16 * MIB);
    assert_eq!(usage::unwanted_loose_in_use(), 0);
    usage::set(&Recount { spans: 20 * MIB, out: 1, ..Recount::default() });
    assert_eq!(usage::unwanted_loose_in_use(), 4 * MIB - 1);

    helped::set_helped(false);
    set();
    assert_eq!(usage::excess(), 100 * MIB - 260 * MIB / 4);
    assert_eq!(usage::unwanted_loose(), 35 * MIB);
    usage::set(&Recount { dirty: 60 * MIB, ..Recount::default() });
    usage::search_again();
    assert_eq!(usage::excess(), 28 * MIB);
    assert_eq!(usage::unwanted_loose_in_use(), 0);
}

/// Threads may borrow what is not lent: one alone two thirds of it, and in all seven eighths of
/// the bound and 3.5 MiB.
fn loans() {
    helped::set_helped(true);
    set();
    let most = 260 * MIB / 64 * 7 + 7 * MIB / 2;
    let borrow = || {
        let mut lent = 0;
        while usage::lend(MIB / 16, lent) {
            lent += MIB / 16;
        }
        lent
    };
    let first = borrow();
    assert!(first.abs_diff(most / 3 * 2) <= MIB / 8, "{first} of {most}");
    let second = borrow();
    assert!(second.abs_diff((most - first) / 3 * 2) <= MIB / 8, "{second} of {most}");
    assert!(!usage::is_lent_too_much());
    // What is lent beyond 3.5 MiB may not be free besides.
    let bound = 260 * MIB / 8 - (first + second - 7 * MIB / 2);
    assert_eq!(usage::excess(), 100 * MIB - bound);
    usage::repay(second);
    assert_eq!(borrow(), second);
    usage::set(&Recount { spans: 100 * MIB, ..Recount::default() });
    assert!(usage::is_lent_too_much());
    usage::repay(first + second);
    assert!(!usage::is_lent_too_much());
}

/// Without a helper, a purge is due when an eighth of the bound more is free, above it and since
/// the last one; so is a search of spans in use, and less often if the last were in vain.
fn due() {
    helped::set_helped(false);
    let set = |dirty: usize, loose: usize| {
        let spans = 100 * MIB;
        usage::set(&Recount { spans, large: 200 * MIB, dirty, holes: 0, out: spans - loose });
        usage::search_again();
    };
    // 272 MiB are wanted, so 68 MiB may be free, and the step is 8.5 MiB.
    let loose = 28 * MIB;
    set(0, loose);
    usage::purged_alone();
    usage::searched_alone(true);
    set(77 * MIB - loose, loose);
    assert!(usage::is_search_due() && usage::is_too_much());
    set(76 * MIB - loose, loose);
    assert!(!usage::is_search_due() && !usage::is_too_much());
    set(77 * MIB, loose);
    assert!(usage::is_too_much());
    usage::purged_alone();
    usage::searched_alone(true);
    assert!(!usage::is_too_much());
    set(85 * MIB, loose);
    assert!(!usage::is_search_due() && !usage::is_too_much());
    set(86 * MIB, loose);
    assert!(usage::is_search_due() && usage::is_too_much());
    // Two searches in vain: four steps.
    set(77 * MIB, loose);
    usage::searched_alone(false);
    usage::searched_alone(false);
    set(110 * MIB, loose);
    assert!(!usage::is_search_due());
    set(112 * MIB, loose);
    assert!(usage::is_search_due());
    // Far less is free meanwhile: the steps are counted from there.
    set(0, loose);
    assert!(!usage::is_search_due());
    set(73 * MIB, loose);
    assert!(!usage::is_search_due());
    set(75 * MIB, loose);
    assert!(usage::is_search_due());
    // One that was worth its time ends the waiting.
    usage::searched_alone(true);
    set(83 * MIB, loose);
    assert!(!usage::is_search_due());
    set(84 * MIB, loose);
    assert!(usage::is_search_due());
}

/// Whoever frees far too much says so, until somebody looks.
fn told() {
    helped::set_helped(true);
    usage::set(&Recount { large: 100 * MIB, dirty: 12 * MIB, ..Recount::default() });
    assert!(!usage::recheck_excess() && !usage::in_excess());
    usage::gave_large(MIB / 4, MIB / 4);
    assert!(!usage::in_excess());
    usage::gave_large(MIB, MIB);
    assert!(usage::in_excess());
    assert!(usage::recheck_excess() && usage::in_excess());
    usage::cleaned(2 * MIB);
    assert!(usage::in_excess());
    assert!(!usage::recheck_excess() && !usage::in_excess());
    usage::set_excess();
    assert!(usage::in_excess());
}
