//! A closed network of queues: threads compute on their own, then each asks for what all share.
//! Solved by mean value analysis (Reiser and Lavenberg, 1980), which is exact for it.

/// What threads share, one at a time: a line of the cache, or what a lock protects.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Station {
    pub(super) name: String,
    /// Visits in an operation.
    pub(super) visits: f64,
    /// Nanoseconds that a visit keeps others waiting, beside the transfer of the line.
    pub(super) hold_ns: f64,
    /// So many are alike, and each thread goes to one of them.
    pub(super) copies: f64,
}

/// An operation of one thread, when so many run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Predicted {
    pub(super) ns: f64,
    /// The part of the time that the busiest station is in use, and its name.
    pub(super) busiest: Option<(String, f64)>,
}

/// Whether a line was written by another since this thread last did: visits of `others` come at
/// any time, as often as its own.
fn away(others: f64) -> f64 {
    1.0 - (-others.max(0.0)).exp()
}

/// Predicts the time of an operation that takes `alone_ns` on one thread, visits included.
pub(super) fn predict(
    threads: usize,
    alone_ns: f64,
    transfer_ns: f64,
    stations: &[Station],
) -> Predicted {
    let demand = |station: &Station| {
        let others = threads as f64 / station.copies - 1.0;
        station.visits * (away(others) * transfer_ns + station.hold_ns)
    };
    let demands: Vec<f64> = stations.iter().map(demand).collect();
    let held: f64 = stations.iter().map(|station| station.visits * station.hold_ns).sum();
    let own = (alone_ns - held).max(0.0);
    let mut waiting = vec![0.0; stations.len()];
    let (mut ns, mut per_ns) = (alone_ns, 0.0);
    for now in 1..=threads {
        // What a thread finds in front of it is what is there without it.
        let stay = |n: usize| demands[n] * (1.0 + waiting[n]);
        let stays: Vec<f64> = (0..stations.len()).map(stay).collect();
        ns = own + stays.iter().sum::<f64>();
        per_ns = now as f64 / ns;
        for (n, stay) in stays.iter().enumerate() {
            waiting[n] = per_ns * stay / stations[n].copies;
        }
    }
    let busy = |n: usize| per_ns * demands[n] / stations[n].copies;
    let busiest = (0..stations.len()).max_by(|a, b| busy(*a).total_cmp(&busy(*b)));
    Predicted { ns, busiest: busiest.map(|n| (stations[n].name.clone(), busy(n))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(visits: f64, hold_ns: f64, copies: f64) -> Station {
        Station { name: "x".into(), visits, hold_ns, copies }
    }

    fn ns(threads: usize, alone: f64, transfer: f64, stations: &[Station]) -> f64 {
        predict(threads, alone, transfer, stations).ns
    }

    #[test]
    fn what_shares_nothing_takes_the_same_on_any_number() {
        assert_eq!(ns(1, 100.0, 50.0, &[]), 100.0);
        assert_eq!(ns(128, 100.0, 50.0, &[]), 100.0);
        // One thread finds every line where it left it.
        assert_eq!(ns(1, 100.0, 50.0, &[station(2.0, 0.0, 1.0)]), 100.0);
        assert_eq!(ns(1, 100.0, 50.0, &[station(1.0, 20.0, 1.0)]), 100.0);
    }

    #[test]
    fn a_station_bounds_what_all_do_together() {
        // Each operation holds it for 20 ns, so 100 threads take 2,000 ns for one each.
        let many = predict(100, 100.0, 0.0, &[station(1.0, 20.0, 1.0)]);
        assert!((2_000.0..2_020.0).contains(&many.ns), "{many:?}");
        assert!(many.busiest.unwrap().1 > 0.99);
        // Two of them: half of the threads are at each.
        let two = ns(100, 100.0, 0.0, &[station(1.0, 20.0, 2.0)]);
        assert!((1_000.0..1_100.0).contains(&two), "{two}");
    }

    #[test]
    fn two_threads_wait_as_the_analysis_has_it() {
        // With no time of its own a thread is always there, and waits for the other.
        assert!((ns(2, 20.0, 0.0, &[station(1.0, 20.0, 1.0)]) - 40.0).abs() < 1e-9);
        // 80 ns alone and 20 held: the other is there a fifth of the time.
        let two = ns(2, 100.0, 0.0, &[station(1.0, 20.0, 1.0)]);
        assert!((two - 104.0).abs() < 1e-9, "{two}");
    }

    #[test]
    fn lines_move_more_often_the_more_threads_write_them() {
        let line = [station(1.0, 0.0, 1.0)];
        let two = ns(2, 1_000.0, 100.0, &line);
        assert!((two - 1_063.2).abs() < 5.0, "{two}");
        assert!(ns(8, 1_000.0, 100.0, &line) > two);
    }
}
