//! More requests that measure at a time than the service takes are told so, and hold nothing up.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use common::{ask, serve};
use strata_alloc::Strata;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// As many as may measure at a time, and as are answered at a time.
const MEASURE: usize = 4;
const MOST: usize = 8;

#[test]
fn too_many_at_a_time_are_told_so() {
    let server = serve(Router::new());
    let begun = Instant::now();
    thread::scope(|scope| {
        let slow = || ask(server, "GET", "/heap?seconds=3&format=folded", "").status;
        let slow: Vec<_> = (0..MOST).map(|_| scope.spawn(slow)).collect();
        thread::sleep(Duration::from_secs(1));
        let received = ask(server, "GET", "/explain", "");
        assert_eq!(received.status, 200, "{received:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "it has waited");
        let told: Vec<_> = slow.into_iter().map(|slow| slow.join().unwrap()).collect();
        let count = |status| told.iter().filter(|told| **told == status).count();
        assert_eq!([count(200), count(503)], [MEASURE, MOST - MEASURE], "{told:?}");
    });
    assert_eq!(ask(server, "GET", "/explain", "").status, 200);
    assert_eq!(Strata::profile_rate(), None, "the last has switched the profile off");
}
