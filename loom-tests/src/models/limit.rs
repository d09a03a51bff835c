//! Limits: what is charged against them while other threads charge, and while memory is purged.

use crate::model::{Model, outcome};
use crate::pages::committed::{COMMITTED, Committed};
use crate::world::spawn;

/// Two threads charge memory. One of them is refused at the hard limit, and above the soft one
/// somebody checks, whoever resets the flag. The soft limit is set meanwhile.
pub(super) static LIMIT: Model = Model {
    name: "limit",
    preemptions: None,
    executions: 1_000,
    outcomes: &["one is refused, and it is found"],
    body: limit,
};

/// A thread tells the program of the limit, while another purges so much that it may be told
/// again.
pub(super) static TOLD: Model = Model {
    name: "limit_told",
    preemptions: None,
    executions: 10,
    outcomes: &["it is told again"],
    body: told,
};

const SOFT: usize = 16;
const HARD: usize = 20;

/// A slow path that charges, and checks at its end. Returns whether it was refused, and whether
/// it found too much charged.
fn slow_path(committed: &Committed, bytes: usize) -> (bool, bool) {
    let refused = committed.charge(bytes).is_err();
    assert!(committed.bytes() <= HARD, "more than the hard limit is charged");
    (refused, committed.may_be_over() && committed.check_over())
}

fn limit() {
    let committed = &COMMITTED;
    committed.set_hard_limit(HARD);
    committed.charge(14).unwrap();
    let other = spawn(|| slow_path(committed, 4));
    committed.set_limit(SOFT);
    let (refused, found) = slow_path(committed, 4);
    let (other_refused, other_found) = other.join().unwrap();
    assert!(refused != other_refused, "one of them fits");
    assert_eq!(committed.bytes(), 18);
    assert!(found || other_found, "nobody found that it is too much");
    outcome("one is refused, and it is found");
}

fn told() {
    let committed = &COMMITTED;
    committed.set_limit(SOFT);
    committed.charge(SOFT + 2).unwrap();
    let purges = spawn(|| committed.discharge(8));
    assert!(committed.mark_told(), "it is told for the first time");
    purges.join().unwrap();
    assert!(!committed.is_told(), "it is not told again, though it was below the limit");
    committed.charge(8).unwrap();
    assert!(committed.may_be_over() && committed.check_over());
    assert!(committed.mark_told());
    assert!(!committed.mark_told(), "it is told twice");
    outcome("it is told again");
}
