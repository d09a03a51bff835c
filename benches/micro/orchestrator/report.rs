//! The figures of a run, as printed and as written to JSON.

use benches::stats::{self, Comparison, Estimate, Rounds, Verdict};
use serde::Serialize;

use crate::programs::Sample;
use crate::rows::{Row, Set};

/// The allocator that the others are compared with.
pub(crate) const OURS: &str = "strata";

/// Bounds of the ratio to the best peer: of a set's geometric mean, and of each
/// of its rows.
fn bounds(set: Set) -> (f64, f64) {
    match set {
        Set::OneThread => (0.85, 1.05),
        Set::Threads => (0.95, 1.2),
    }
}

/// One allocator in one row.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    /// Its name.
    pub(crate) allocator: String,
    /// By round; none where a round failed or was skipped.
    pub(crate) samples: Vec<Option<Sample>>,
    /// Why it was excluded.
    pub(crate) error: Option<String>,
}

impl Series {
    fn rounds(&self) -> Rounds {
        self.samples.iter().map(|s| s.map(|s| s.ns)).collect()
    }

    /// The values of one field.
    pub(crate) fn values(&self, field: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().flatten().map(field).collect()
    }
}

/// An estimate with its bound.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    /// The ratio.
    #[serde(flatten)]
    pub(crate) estimate: Estimate,
    /// The highest acceptable ratio.
    pub(crate) bound: f64,
    /// The interval compared with the bound.
    pub(crate) verdict: Verdict,
}

impl Judged {
    fn new(estimate: Estimate, bound: f64) -> Judged {
        Judged { estimate, bound, verdict: estimate.verdict(bound) }
    }
}

/// One row with all its allocators.
#[derive(Debug, Serialize)]
pub(crate) struct RowReport {
    /// Its name.
    pub(crate) row: &'static str,
    /// Description of one operation.
    pub(crate) operation: &'static str,
    #[serde(skip)]
    set: Set,
    /// In the order of the command line.
    pub(crate) series: Vec<Series>,
    /// The best peers of the odd and of the even rounds; usually the same.
    pub(crate) peers: Vec<String>,
    #[serde(skip)]
    ratios: Vec<f64>,
    /// Our time over the best peer's.
    pub(crate) ratio: Option<Judged>,
}

impl RowReport {
    /// Compares ours with the best of the others.
    pub(crate) fn new(row: &Row, series: Vec<Series>) -> RowReport {
        let (ours, peers): (Vec<&Series>, Vec<&Series>) =
            series.iter().partition(|s| s.allocator == OURS);
        let rounds: Vec<Rounds> = peers.iter().map(|s| s.rounds()).collect();
        let rounds: Vec<&Rounds> = rounds.iter().collect();
        let Comparison { peers: best, ratios } = match ours[..] {
            [ours] => stats::compare(&ours.rounds(), &rounds),
            _ => Comparison::default(),
        };
        let bound = bounds(row.set).1;
        RowReport {
            row: row.name,
            operation: row.operation,
            set: row.set,
            peers: best.iter().map(|n| peers[*n].allocator.clone()).collect(),
            ratio: stats::estimate(&[&ratios]).map(|e| Judged::new(e, bound)),
            ratios,
            series,
        }
    }
}

/// The rows of one set combined.
#[derive(Debug, Serialize)]
pub(crate) struct SetReport {
    /// Its name.
    pub(crate) set: &'static str,
    /// Number of rows with a ratio.
    pub(crate) rows: usize,
    /// Number of rows requested.
    pub(crate) of: usize,
    /// Rows above their bound.
    pub(crate) lost: Vec<&'static str>,
    /// The geometric mean over the rows.
    pub(crate) ratio: Judged,
}

/// An allocator that could not be built.
#[derive(Debug, Serialize)]
pub(crate) struct Unbuilt {
    /// Its name.
    pub(crate) allocator: String,
    /// The reason.
    pub(crate) error: String,
}

/// A complete run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Processor, memory, kernel.
    pub(crate) machine: String,
    /// The cargo profile of the programs.
    pub(crate) profile: String,
    /// The scale passed to the programs.
    pub(crate) scale: f64,
    /// Number of rounds.
    pub(crate) rounds: usize,
    /// Requested allocators that could not be built.
    pub(crate) unbuilt: Vec<Unbuilt>,
    /// The rows.
    pub(crate) rows: Vec<RowReport>,
    /// The sets that have a ratio.
    pub(crate) sets: Vec<SetReport>,
}

/// Combines the rows of each set.
pub(crate) fn sets(rows: &[RowReport]) -> Vec<SetReport> {
    let join = |set: Set| {
        let asked: Vec<&RowReport> = rows.iter().filter(|row| row.set == set).collect();
        let ratios: Vec<&[f64]> = asked
            .iter()
            .map(|row| row.ratios.as_slice())
            .filter(|ratios| !ratios.is_empty())
            .collect();
        let lost = |row: &&&RowReport| {
            let ratio = row.ratio.as_ref();
            ratio.is_some_and(|ratio| ratio.verdict == Verdict::Lost)
        };
        Some(SetReport {
            set: set.label(),
            rows: ratios.len(),
            of: asked.len(),
            lost: asked.iter().filter(lost).map(|row| row.row).collect(),
            ratio: Judged::new(stats::estimate(&ratios)?, bounds(set).0),
        })
    };
    [Set::OneThread, Set::Threads].into_iter().filter_map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    fn series(allocator: &str, ns: &[f64]) -> Series {
        let sample = |ns: &f64| {
            ns.is_finite().then_some(Sample { ns: *ns, first_ns: *ns, rss_kib: 1, peak_kib: 1 })
        };
        Series {
            allocator: allocator.into(),
            samples: ns.iter().map(sample).collect(),
            error: None,
        }
    }

    fn row(name: &str, ours: &[f64], crashed: bool) -> RowReport {
        let peer = if crashed { f64::NAN } else { 10.0 };
        RowReport::new(
            rows::find(name).unwrap(),
            vec![series("glibc", &[20.0; 4]), series(OURS, ours), series("mimalloc", &[peer; 4])],
        )
    }

    #[test]
    fn a_row_is_judged_against_the_best_peer_that_ran() {
        let good = row("pair", &[10.4, 10.2, 10.3, 10.1], false);
        assert_eq!(good.peers, ["mimalloc"]);
        assert_eq!(good.ratio.unwrap().verdict, Verdict::Met);
        let lost = row("pair", &[10.7, 10.6, 10.8, 10.9], false);
        assert_eq!(lost.ratio.unwrap().verdict, Verdict::Lost);
        // The bound of the rows with threads is wider.
        let threads = row("larson", &[10.7, 10.6, 10.8, 10.9], false);
        assert_eq!(threads.ratio.unwrap().verdict, Verdict::Met);
        let alone = row("pair", &[10.7, 10.6, 10.8, 10.9], true);
        assert_eq!(alone.peers, ["glibc"]);
        assert!(alone.ratio.unwrap().estimate.value < 0.6);
    }

    #[test]
    fn a_set_is_the_geometric_mean_of_its_rows_and_counts_the_missing() {
        let rows = [
            row("pair", &[5.0; 4], false),
            row("strings", &[20.0; 4], false),
            row("btree", &[f64::NAN; 4], false),
            row("larson", &[9.0; 4], false),
        ];
        let sets = sets(&rows);
        assert_eq!(sets.len(), 2);
        assert_eq!((sets[0].rows, sets[0].of), (2, 3));
        assert!((sets[0].ratio.estimate.value - 1.0).abs() < 1e-9);
        assert_eq!(sets[0].ratio.bound, 0.85);
        assert_eq!(sets[0].ratio.verdict, Verdict::Lost);
        assert_eq!(sets[0].lost, ["strings"]);
        assert_eq!(sets[1].ratio.bound, 0.95);
        assert_eq!(sets[1].ratio.verdict, Verdict::Met);
    }
}
