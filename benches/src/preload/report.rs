//! The figures of a run, as printed and as written to JSON.

use std::collections::BTreeMap;

use benches::measured::Measured;
use benches::missing::Missing;
use benches::preloaded::{Allocator, MEMORY, OURS};
use benches::stats::{self, Comparison, Estimate, Rounds, Verdict, median};
use serde::Serialize;

use crate::jobs::Row;

/// Rows above this ratio to the best peer's time are marked.
const MARKED: f64 = 1.1;

/// A run, with the figure that is used as its time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// One allocator in one row.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) allocator: &'static str,
    /// By round; none where a round failed or was skipped.
    pub(crate) samples: Vec<Option<Sample>>,
    /// Why it was excluded, or why its figures are invalid.
    pub(crate) error: Option<String>,
}

impl Series {
    /// One figure, by round.
    fn rounds(&self, figure: impl Fn(&Sample) -> f64) -> Rounds {
        self.samples.iter().map(|sample| sample.as_ref().map(&figure)).collect()
    }

    /// The median of one figure; `NaN` for none.
    pub(crate) fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(&self.rounds(figure).into_iter().flatten().collect::<Vec<_>>())
    }
}

pub(crate) fn seconds(sample: &Sample) -> f64 {
    sample.seconds
}

pub(crate) fn processor(sample: &Sample) -> f64 {
    sample.measured.cpu_s
}

pub(crate) fn peak(sample: &Sample) -> f64 {
    sample.measured.peak_kib as f64
}

/// `ours / theirs` of one figure, for each round that both have.
fn paired(ours: &Series, theirs: &Series, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
    let (ours, theirs) = (ours.rounds(&figure), theirs.rounds(&figure));
    ours.into_iter().zip(theirs).filter_map(|(our, their)| Some(our? / their?)).collect()
}

/// One row with all its allocators.
#[derive(Debug, Serialize)]
pub(crate) struct RowReport {
    pub(crate) row: &'static str,
    pub(crate) what: &'static str,
    pub(crate) series: Vec<Series>,
    /// The best peers of the odd and of the even rounds; usually the same.
    pub(crate) peers: Vec<&'static str>,
    #[serde(skip)]
    ratios: Vec<f64>,
    /// Our time over the best peer's.
    pub(crate) ratio: Option<Estimate>,
    #[serde(skip)]
    processor_ratios: Vec<f64>,
    /// Our CPU time over that of the peer that needs the least.
    pub(crate) processor: Option<Estimate>,
    #[serde(skip)]
    memory_ratios: Vec<f64>,
    /// Our peak memory over jemalloc's.
    pub(crate) memory: Option<Estimate>,
}

impl RowReport {
    /// Compares ours with the best of the others, and its memory with
    /// jemalloc's. Runs with a different output are excluded.
    pub(crate) fn new(row: Row, mut series: Vec<Series>) -> RowReport {
        dissent(&mut series);
        let ours = series.iter().find(|s| s.allocator == OURS);
        let others: Vec<&Series> = series.iter().filter(|s| s.allocator != OURS).collect();
        let best = |figure: fn(&Sample) -> f64| {
            let rounds: Vec<Rounds> = others.iter().map(|s| s.rounds(figure)).collect();
            let rounds: Vec<&Rounds> = rounds.iter().collect();
            ours.map_or(Comparison::default(), |o| stats::compare(&o.rounds(figure), &rounds))
        };
        let Comparison { peers, ratios } = best(seconds);
        let processor_ratios = best(processor).ratios;
        let memory = others.iter().find(|s| s.allocator == MEMORY);
        let memory_ratios =
            ours.zip(memory).map_or(Vec::new(), |(ours, memory)| paired(ours, memory, peak));
        RowReport {
            row: row.name,
            what: row.what,
            peers: peers.iter().map(|n| others[*n].allocator).collect(),
            ratio: stats::estimate(&[&ratios]),
            ratios,
            processor: stats::estimate(&[&processor_ratios]),
            processor_ratios,
            memory: stats::estimate(&[&memory_ratios]),
            memory_ratios,
            series,
        }
    }

    fn series(&self, allocator: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.allocator == allocator)
    }

    /// Our time over this peer's: the median over the rounds.
    pub(crate) fn against(&self, peer: &str) -> Option<f64> {
        let ratios = paired(self.series(OURS)?, self.series(peer)?, seconds);
        (peer != OURS && !ratios.is_empty()).then(|| median(&ratios))
    }

    /// Whether the whole interval is above 1.
    pub(crate) fn lost(&self) -> bool {
        self.ratio.is_some_and(|ratio| ratio.verdict(1.0) == Verdict::Lost)
    }

    /// Whether the ratio is above the mark.
    pub(crate) fn marked(&self) -> bool {
        self.ratio.is_some_and(|ratio| ratio.value > MARKED)
    }
}

/// Every allocator does the same work, so the output must be the same: a series
/// whose output differs from that of most runs becomes an error without
/// samples.
fn dissent(series: &mut [Series]) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in series.iter().flat_map(|series| series.samples.iter().flatten()) {
        *seen.entry(&sample.measured.output).or_default() += 1;
    }
    let Some(most) = seen.iter().max_by_key(|(_, count)| **count) else {
        return;
    };
    let most = (*most.0).to_owned();
    for series in series {
        let outputs = series.samples.iter().flatten().map(|sample| &sample.measured.output);
        if let Some(other) = outputs.into_iter().find(|output| **output != most) {
            series.error = Some(format!("its output is {other:?}, not {most:?}"));
            series.samples.fill(None);
        }
    }
}

/// A complete run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Processor, memory, kernel.
    pub(crate) machine: String,
    pub(crate) scale: f64,
    pub(crate) rounds: usize,
    pub(crate) allocators: Vec<Allocator>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) rows: Vec<RowReport>,
    pub(crate) means: Means,
}

/// Geometric means over the rows.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Means {
    /// Our time over the best peer's.
    pub(crate) time: Option<Estimate>,
    /// Our CPU time over that of the peer that needs the least.
    pub(crate) processor: Option<Estimate>,
    /// Our peak memory over jemalloc's.
    pub(crate) memory: Option<Estimate>,
}

impl Means {
    /// Over the rows that have a ratio.
    pub(crate) fn of(rows: &[RowReport]) -> Means {
        let join = |ratios: fn(&RowReport) -> &[f64]| {
            let all: Vec<&[f64]> = rows.iter().map(ratios).filter(|r| !r.is_empty()).collect();
            stats::estimate(&all)
        };
        Means {
            time: join(|row| &row.ratios),
            processor: join(|row| &row.processor_ratios),
            memory: join(|row| &row.memory_ratios),
        }
    }
}

impl Report {
    /// Failures and differing outputs: the row, the allocator, and the reason.
    pub(crate) fn failures(&self) -> impl Iterator<Item = String> {
        self.rows.iter().flat_map(|row| {
            row.series.iter().filter_map(|series| {
                let error = series.error.as_ref()?;
                Some(format!("{} on {}: {error}", row.row, series.allocator))
            })
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn sample(seconds: f64, peak_kib: u64, output: &str) -> Sample {
        let measured = Measured {
            wall_s: seconds,
            cpu_s: seconds / 2.0,
            peak_kib,
            faults: 0,
            output: output.to_owned(),
        };
        Sample { seconds, measured }
    }

    fn series(allocator: &'static str, times: [f64; 4], peak_kib: u64) -> Series {
        let samples = times.map(|s| s.is_finite().then(|| sample(s, peak_kib, "42"))).to_vec();
        Series { allocator, samples, error: None }
    }

    /// Three allocators, with ours taking `times`.
    pub(crate) fn example(name: &'static str, times: [f64; 4]) -> RowReport {
        let row = Row { name, what: "" };
        RowReport::new(
            row,
            vec![
                series(OURS, times, 3000),
                series(MEMORY, [2.0; 4], 2000),
                series("other", [1.0; 4], 9000),
            ],
        )
    }

    #[test]
    fn time_is_compared_with_the_best_peer_and_memory_with_jemalloc() {
        let row = example("x", [1.05, 1.04, 1.06, 1.05]);
        assert_eq!(row.peers, ["other"]);
        assert!(row.lost() && !row.marked());
        assert!((row.memory.unwrap().value - 1.5).abs() < 1e-9);
        assert!((row.against(MEMORY).unwrap() - 0.525).abs() < 1e-9);
        assert_eq!(row.against(OURS), None);
        let open = example("x", [1.3, 0.9, 1.2, 1.3]);
        assert!(!open.lost() && open.marked());
        let won = example("x", [0.9; 4]);
        assert!(!won.lost() && !won.marked());
    }

    #[test]
    fn means_are_over_the_rows_that_have_a_ratio() {
        let rows = [example("a", [0.5; 4]), example("b", [2.0; 4]), example("c", [f64::NAN; 4])];
        let means = Means::of(&rows);
        assert!((means.time.unwrap().value - 1.0).abs() < 1e-9);
        assert!((means.processor.unwrap().value - 1.0).abs() < 1e-9);
        assert!((means.memory.unwrap().value - 1.5).abs() < 1e-9);
        assert_eq!(Means::of(&rows[2..]), Means { time: None, processor: None, memory: None });
    }

    #[test]
    fn who_comes_to_another_result_is_out() {
        let wrong = vec![Some(sample(0.1, 1, "41")), None];
        let right = || vec![Some(sample(1.0, 1, "42")); 2];
        let of = |allocator, samples| Series { allocator, samples, error: None };
        let row = Row { name: "x", what: "" };
        let row =
            RowReport::new(row, vec![of(OURS, right()), of("quick", wrong), of(MEMORY, right())]);
        assert_eq!(row.peers, [MEMORY]);
        assert!(row.series[1].error.as_ref().unwrap().contains("41"));
        assert!(row.series[0].error.is_none() && row.series[2].error.is_none());
    }
}
