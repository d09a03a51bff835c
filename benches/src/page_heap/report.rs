//! The figures of a run, as printed and as written to JSON.

use benches::missing::Missing;
use benches::pages::{Figure, Row};
use benches::preloaded::{Allocator, OURS};
use benches::stats::{self, Comparison, Estimate, Rounds, Verdict, best_peer, median};
use serde::Serialize;

/// The figures of one run; none for what did not happen.
pub(crate) type Sample = Vec<Option<f64>>;

/// One allocator in one row.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) allocator: &'static str,
    /// By round; none where a round failed or was skipped.
    pub(crate) samples: Vec<Option<Sample>>,
    /// Why it was excluded.
    pub(crate) error: Option<String>,
}

impl Series {
    /// Figure `n`, by round.
    fn rounds(&self, n: usize) -> Rounds {
        self.samples.iter().map(|sample| sample.as_ref().and_then(|sample| sample[n])).collect()
    }

    /// The rounds that succeeded.
    pub(crate) fn runs(&self) -> usize {
        self.samples.iter().flatten().count()
    }
}

/// One figure of one allocator.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Reading {
    /// Over the rounds in which it happened; none if there are no such rounds.
    pub(crate) median: Option<f64>,
    /// The number of these rounds.
    pub(crate) times: usize,
}

/// One figure with all allocators.
#[derive(Debug, Serialize)]
pub(crate) struct FigureReport {
    pub(crate) name: &'static str,
    /// In the order of the series.
    pub(crate) readings: Vec<Reading>,
    /// The best peers of the odd and of the even rounds; usually the same.
    pub(crate) peers: Vec<&'static str>,
    /// Ours over the best peer's.
    pub(crate) ratio: Option<Estimate>,
    /// Whether it never happened with ours, but with a peer.
    pub(crate) missed: bool,
}

impl FigureReport {
    fn new(figure: &Figure, n: usize, series: &[Series]) -> FigureReport {
        let reading = |series: &Series| {
            let happened: Vec<f64> = series.rounds(n).into_iter().flatten().collect();
            let median = (!happened.is_empty()).then(|| median(&happened));
            Reading { median, times: happened.len() }
        };
        // What is too small to compare counts as the least that is not.
        let comparable = |series: &Series| -> Rounds {
            series.rounds(n).iter().map(|value| value.map(|v| v.max(figure.least))).collect()
        };
        let ours = series.iter().find(|series| series.allocator == OURS).map(comparable);
        let others: Vec<&Series> = series.iter().filter(|s| s.allocator != OURS).collect();
        let rounds: Vec<Rounds> = others.iter().map(|series| comparable(series)).collect();
        let rounds: Vec<&Rounds> = rounds.iter().collect();
        let Comparison { peers, ratios } =
            ours.map_or(Comparison::default(), |ours| against(&ours, &rounds));
        let happened = |series: &&Series| series.rounds(n).iter().any(Option::is_some);
        let never = |series: &&Series| series.runs() > 0 && !happened(series);
        let missed = series.iter().filter(|series| series.allocator == OURS).any(|s| never(&s))
            && others.iter().any(happened);
        FigureReport {
            name: figure.name,
            missed,
            readings: series.iter().map(reading).collect(),
            peers: peers.iter().map(|n| others[*n].allocator).collect(),
            ratio: stats::estimate(&[&ratios]),
        }
    }

    /// Whether the whole interval is above 1, or only a peer has the figure.
    pub(crate) fn lost(&self) -> bool {
        self.missed || self.ratio.is_some_and(|ratio| ratio.verdict(1.0) == Verdict::Lost)
    }
}

/// Compares with the best peer. With one round there is no other round to
/// choose it by.
fn against(ours: &Rounds, peers: &[&Rounds]) -> Comparison {
    let (&[our], Some(best)) = (ours.as_slice(), best_peer(peers, |_| true)) else {
        return stats::compare(ours, peers);
    };
    let ratio = our.zip(peers[best][0]).map(|(our, their)| our / their);
    Comparison { peers: vec![best], ratios: ratio.into_iter().collect() }
}

/// One row with all its allocators.
#[derive(Debug, Serialize)]
pub(crate) struct RowReport {
    pub(crate) row: &'static str,
    pub(crate) what: &'static str,
    pub(crate) figures: Vec<FigureReport>,
    pub(crate) series: Vec<Series>,
}

impl RowReport {
    /// Compares ours with the best of the others, figure by figure.
    pub(crate) fn new(row: &Row, series: Vec<Series>) -> RowReport {
        let figures = row.figures.iter().enumerate();
        let figures = figures.map(|(n, figure)| FigureReport::new(figure, n, &series)).collect();
        RowReport { row: row.name, what: row.what, figures, series }
    }
}

/// A complete run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Processor, memory, kernel.
    pub(crate) machine: String,
    pub(crate) scale: f64,
    pub(crate) watch_s: f64,
    pub(crate) rounds: usize,
    pub(crate) allocators: Vec<Allocator>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) rows: Vec<RowReport>,
}

impl Report {
    /// Failures: the row, the allocator, and the reason.
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
    use benches::pages::find;

    use super::*;

    /// The row `stranded`, of which only the first figure differs: ours and a
    /// peer's, by round. A third allocator failed.
    pub(crate) fn example(ours: &[Option<f64>], peer: &[Option<f64>]) -> RowReport {
        let sample = |first: &Option<f64>| Some(vec![*first, Some(0.1), Some(3.0), Some(30.0)]);
        let series = |allocator, values: &[Option<f64>], error| Series {
            allocator,
            samples: values.iter().map(sample).collect(),
            error,
        };
        let mut failed = series("failed", ours, Some(String::from("died")));
        failed.samples.fill(None);
        let series = vec![series(OURS, ours, None), series("peer", peer, None), failed];
        RowReport::new(find("stranded").unwrap(), series)
    }

    #[test]
    fn each_figure_is_compared_with_the_best_peer() {
        let row = example(&[Some(2.0); 4], &[Some(1.0); 4]);
        let figure = &row.figures[0];
        assert_eq!(figure.peers, ["peer"]);
        assert_eq!(figure.readings[0], Reading { median: Some(2.0), times: 4 });
        assert_eq!(figure.readings[2], Reading { median: None, times: 0 });
        assert!((figure.ratio.unwrap().value - 2.0).abs() < 1e-9 && figure.lost());
        assert!(!row.figures[1].lost() && row.figures.len() == 4);
    }

    #[test]
    fn small_values_are_compared_as_the_least() {
        let row = example(&[Some(0.0), Some(0.01)], &[Some(0.02), Some(0.0)]);
        let ratio = row.figures[0].ratio.unwrap();
        assert!((ratio.value - 1.0).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn one_round_is_compared_with_the_best_of_that_round() {
        let row = example(&[Some(2.0)], &[Some(1.0)]);
        assert!((row.figures[0].ratio.unwrap().value - 2.0).abs() < 1e-9);
    }

    #[test]
    fn what_did_not_happen_is_not_compared() {
        let row = example(&[None, Some(1.0)], &[Some(1.0), None]);
        assert_eq!(row.figures[0].ratio, None);
        assert_eq!(row.figures[0].readings[1], Reading { median: Some(1.0), times: 1 });
        assert_eq!(row.series[0].runs(), 2);
        assert!(!row.figures[0].lost());
        assert!(example(&[None; 2], &[Some(1.0), None]).figures[0].lost());
        assert!(!example(&[None; 2], &[None; 2]).figures[0].lost());
    }
}
