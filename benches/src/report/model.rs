//! A run as it is printed, and written as JSON and read back: suites, their
//! rows, the figures of these, and samples by allocator and round.

use std::collections::BTreeMap;

use benches::missing::Missing;
use benches::preloaded::OURS;
use benches::stats::{self, Comparison, Estimate, Rounds, Verdict, median};
use serde::{Deserialize, Serialize};

/// Which values of a figure are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// Small ones.
    Less,
    /// Large ones.
    More,
    /// None: the figure is only shown.
    Neither,
}

/// One kind of figure of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    /// Smaller values are compared as this one: they differ by chance, or by
    /// less than the readings can tell.
    pub(crate) least: f64,
    /// The only peer to compare with, instead of the best.
    pub(crate) peer: Option<String>,
    /// The ratio up to which ours is not lost.
    pub(crate) bound: f64,
    /// The most that our median should be.
    pub(crate) target: Option<f64>,
    /// Whether the tables for the terminal leave it out.
    pub(crate) detail: bool,
}

impl Figure {
    fn new(name: &str, unit: &str, better: Better, least: f64) -> Figure {
        Figure {
            name: name.to_owned(),
            unit: unit.to_owned(),
            better,
            least,
            peer: None,
            bound: 1.0,
            target: None,
            detail: false,
        }
    }

    /// A figure of which less is better.
    pub(crate) fn less(name: &str, unit: &str, least: f64) -> Figure {
        Figure::new(name, unit, Better::Less, least)
    }

    /// A figure of which more is better.
    pub(crate) fn more(name: &str, unit: &str, least: f64) -> Figure {
        Figure::new(name, unit, Better::More, least)
    }

    /// A figure that is only shown.
    pub(crate) fn shown(name: &str, unit: &str) -> Figure {
        Figure::new(name, unit, Better::Neither, 0.0)
    }

    /// The same, but left out of the tables for the terminal.
    pub(crate) fn detail(self) -> Figure {
        Figure { detail: true, ..self }
    }

    /// Its name with its unit.
    pub(crate) fn label(&self) -> String {
        if self.unit.is_empty() {
            self.name.clone()
        } else {
            format!("{}, {}", self.name, self.unit)
        }
    }

    /// A value such that less is better, and none too small to compare.
    pub(crate) fn comparable(&self, value: f64) -> f64 {
        let value = value.max(self.least).max(f64::MIN_POSITIVE);
        if self.better == Better::More { 1.0 / value } else { value }
    }
}

/// Ours compared with the best peer: below 1 is better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// The best peers of the odd and of the even rounds; usually the same.
    pub(crate) peers: Vec<String>,
    #[serde(flatten)]
    pub(crate) estimate: Estimate,
}

/// A figure with its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FigureReport {
    #[serde(flatten)]
    pub(crate) figure: Figure,
    /// By allocator and round; none where it did not happen.
    pub(crate) samples: BTreeMap<String, Vec<Option<f64>>>,
    pub(crate) ratio: Option<Ratio>,
}

/// With fewer rounds than these, nothing is won or lost: an interval over three
/// values says little.
pub(crate) const EVIDENCE: usize = 4;

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The whole interval is above the bound, or only a peer has the figure.
    Lost,
    /// The whole interval is below 1.
    Won,
    /// Neither.
    Open,
}

impl Outcome {
    /// As it is written.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Outcome::Lost => "LOST",
            Outcome::Won => "won",
            Outcome::Open => "",
        }
    }
}

impl FigureReport {
    /// Compares ours with the peers.
    pub(crate) fn new(figure: Figure, samples: BTreeMap<String, Vec<Option<f64>>>) -> Self {
        let mut report = FigureReport { figure, samples, ratio: None };
        let (peers, ratios) = report.paired();
        let estimate = stats::estimate(&[&ratios]);
        report.ratio = estimate.map(|estimate| Ratio { peers, estimate });
        report
    }

    /// What happened, of one allocator.
    pub(crate) fn values(&self, allocator: &str) -> Vec<f64> {
        self.samples.get(allocator).into_iter().flatten().copied().flatten().collect()
    }

    /// Its median; none if it never happened.
    pub(crate) fn median(&self, allocator: &str) -> Option<f64> {
        let values = self.values(allocator);
        (!values.is_empty()).then(|| median(&values))
    }

    /// The peers of the comparison, and ours over theirs by round.
    pub(crate) fn paired(&self) -> (Vec<String>, Vec<f64>) {
        if self.figure.better == Better::Neither {
            return (Vec::new(), Vec::new());
        }
        let comparable = |values: &Vec<Option<f64>>| -> Rounds {
            values.iter().map(|value| value.map(|value| self.figure.comparable(value))).collect()
        };
        let admitted = |name: &str| self.figure.peer.as_deref().is_none_or(|peer| peer == name);
        let (names, rounds): (Vec<_>, Vec<_>) = self
            .samples
            .iter()
            .filter(|(name, _)| *name != OURS && admitted(name))
            .map(|(name, values)| (name.clone(), comparable(values)))
            .unzip();
        let ours = self.samples.get(OURS).map(comparable);
        let rounds: Vec<&Rounds> = rounds.iter().collect();
        let Comparison { peers, ratios } =
            ours.map_or(Comparison::default(), |ours| stats::against(&ours, &rounds));
        (peers.into_iter().map(|n| names[n].clone()).collect(), ratios)
    }

    /// The number of rounds.
    pub(crate) fn rounds(&self) -> usize {
        self.samples.values().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether it never happened with ours, but with a peer. Failures are not
    /// among the samples.
    fn missed(&self) -> bool {
        let happened = |name: &str| !self.values(name).is_empty();
        self.figure.better != Better::Neither
            && self.samples.contains_key(OURS)
            && !happened(OURS)
            && self.samples.keys().any(|name| happened(name))
    }

    /// What the comparison comes to.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.rounds() < EVIDENCE {
            return Outcome::Open;
        }
        match &self.ratio {
            _ if self.missed() => Outcome::Lost,
            Some(ratio) if ratio.estimate.verdict(self.figure.bound) == Verdict::Lost => {
                Outcome::Lost
            }
            Some(ratio) if ratio.estimate.high < 1.0 => Outcome::Won,
            _ => Outcome::Open,
        }
    }

    /// Whether our median is above the target.
    pub(crate) fn above(&self) -> bool {
        self.figure.target.zip(self.median(OURS)).is_some_and(|(target, ours)| ours > target)
    }
}

/// A row with its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RowReport {
    pub(crate) name: String,
    pub(crate) what: String,
    /// The rows whose ratios are joined.
    pub(crate) group: String,
    pub(crate) figures: Vec<FigureReport>,
    /// Why an allocator was excluded.
    pub(crate) errors: BTreeMap<String, String>,
}

/// An allocator, as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// A suite with its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SuiteReport {
    pub(crate) name: String,
    pub(crate) what: String,
    /// Scale, rounds and so on.
    pub(crate) settings: BTreeMap<String, String>,
    /// In the order of the tables.
    pub(crate) allocators: Vec<Named>,
    pub(crate) rows: Vec<RowReport>,
    /// The bounds of the geometric means, by group.
    pub(crate) mean_bounds: BTreeMap<String, f64>,
    pub(crate) missing: Vec<Missing>,
    /// What the suite has to say, beside its figures.
    pub(crate) notes: Vec<String>,
}

/// The geometric mean of a figure's ratios over the rows of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mean {
    pub(crate) group: String,
    pub(crate) figure: String,
    /// The only peer that was compared with.
    pub(crate) peer: Option<String>,
    /// Rows with a ratio, and all.
    pub(crate) rows: (usize, usize),
    pub(crate) estimate: Estimate,
    pub(crate) bound: Option<f64>,
    /// The rows that are lost.
    pub(crate) lost: Vec<String>,
}

impl SuiteReport {
    /// Joins the rows of each group that have a figure in common.
    pub(crate) fn means(&self) -> Vec<Mean> {
        let mut seen: Vec<(&str, &Figure)> = Vec::new();
        for row in &self.rows {
            for FigureReport { figure, .. } in &row.figures {
                let known = |(group, other): &(&str, &Figure)| {
                    *group == row.group && other.name == figure.name
                };
                if figure.better != Better::Neither && !figure.detail && !seen.iter().any(known) {
                    seen.push((&row.group, figure));
                }
            }
        }
        seen.into_iter().filter_map(|(group, figure)| self.mean(group, figure)).collect()
    }

    fn mean(&self, group: &str, figure: &Figure) -> Option<Mean> {
        let of: Vec<(&RowReport, &FigureReport)> = self
            .rows
            .iter()
            .filter(|row| row.group == group)
            .filter_map(|row| {
                Some((row, row.figures.iter().find(|it| it.figure.name == figure.name)?))
            })
            .collect();
        let ratios: Vec<Vec<f64>> = of.iter().map(|(_, figure)| figure.paired().1).collect();
        let ratios: Vec<&[f64]> =
            ratios.iter().map(Vec::as_slice).filter(|ratios| !ratios.is_empty()).collect();
        if ratios.len() < 2 {
            return None;
        }
        let lost = of.iter().filter(|(_, figure)| figure.outcome() == Outcome::Lost);
        Some(Mean {
            group: group.to_owned(),
            figure: figure.name.clone(),
            peer: figure.peer.clone(),
            rows: (ratios.len(), of.len()),
            estimate: stats::estimate(&ratios)?,
            bound: self.mean_bounds.get(group).copied(),
            lost: lost.map(|(row, _)| row.name.clone()).collect(),
        })
    }

    /// Failures: the row, the allocator, and the reason.
    pub(crate) fn failures(&self) -> impl Iterator<Item = String> {
        self.rows.iter().flat_map(|row| {
            row.errors.iter().map(|(name, error)| format!("{} on {name}: {error}", row.name))
        })
    }
}

/// A complete run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Processor, memory, kernel.
    pub(crate) machine: String,
    /// `git describe`, if there is a repository.
    pub(crate) commit: Option<String>,
    pub(crate) suites: Vec<SuiteReport>,
}

impl Run {
    /// Whether something that was asked for has no figures.
    pub(crate) fn is_incomplete(&self) -> bool {
        let bad = |suite: &SuiteReport| {
            !suite.missing.is_empty() || suite.failures().next().is_some() || suite.rows.is_empty()
        };
        self.suites.is_empty() || self.suites.iter().any(bad)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A figure with samples; those that are not finite did not happen.
    pub(crate) fn figure(figure: Figure, samples: &[(&str, &[f64])]) -> FigureReport {
        let values = |values: &[f64]| -> Vec<Option<f64>> {
            values.iter().map(|value| value.is_finite().then_some(*value)).collect()
        };
        let samples = samples.iter().map(|(name, of)| ((*name).to_owned(), values(of)));
        FigureReport::new(figure, samples.collect())
    }

    fn row(name: &str, group: &str, figures: Vec<FigureReport>) -> RowReport {
        RowReport {
            name: name.into(),
            what: format!("what {name} does"),
            group: group.into(),
            figures,
            errors: BTreeMap::new(),
        }
    }

    /// Two rows on ours, two peers, and one that failed on a row.
    pub(crate) fn example() -> Run {
        let time = |ours: [f64; 4]| {
            let samples: [(&str, &[f64]); 3] =
                [(OURS, &ours), ("jemalloc", &[2.0; 4]), ("other", &[1.0; 4])];
            figure(Figure::less("time", "s", 0.001), &samples)
        };
        let memory = Figure {
            peer: Some("jemalloc".into()),
            target: Some(2.0),
            ..Figure::less("peak", "MiB", 1.0)
        };
        let memory = || {
            figure(
                memory.clone(),
                &[(OURS, &[3.0; 4]), ("jemalloc", &[2.0; 4]), ("other", &[9.0; 4])],
            )
        };
        let mut fast = row("fast", "", vec![time([0.8; 4]), memory()]);
        fast.errors.insert("broken".into(), "died <there>".into());
        let slow = row("slow", "", vec![time([1.2, 1.21, 1.19, 1.2]), memory()]);
        let named = |name: &str| Named { name: name.into(), version: format!("{name} 1") };
        let suite = SuiteReport {
            name: "suite".into(),
            what: "what the suite measures".into(),
            settings: BTreeMap::from([("rounds".into(), "4".into())]),
            allocators: [OURS, "jemalloc", "other", "broken"].map(named).to_vec(),
            rows: vec![slow, fast],
            mean_bounds: BTreeMap::from([(String::new(), 0.85)]),
            missing: vec![Missing { name: "gone".into(), error: "apt-get it".into() }],
            notes: vec!["a note".into()],
        };
        Run { machine: "a machine".into(), commit: Some("abc".into()), suites: vec![suite] }
    }

    #[test]
    fn each_figure_is_compared_with_the_best_peer_or_with_its_own() {
        let run = example();
        let [slow, fast] = &run.suites[0].rows[..] else { panic!("two rows") };
        let [time, memory] = &slow.figures[..] else { panic!("two figures") };
        assert_eq!(time.ratio.as_ref().unwrap().peers, ["other"]);
        assert_eq!(time.outcome(), Outcome::Lost);
        assert_eq!(memory.ratio.as_ref().unwrap().peers, ["jemalloc"]);
        assert!((memory.ratio.as_ref().unwrap().estimate.value - 1.5).abs() < 1e-9);
        assert!(memory.above() && !time.above());
        assert_eq!(fast.figures[0].outcome(), Outcome::Won);
        assert_eq!(fast.figures[0].median("jemalloc"), Some(2.0));
        assert_eq!(fast.figures[0].median("broken"), None);
    }

    #[test]
    fn more_can_be_better_and_a_bound_can_be_wider() {
        let rate = |bound| {
            let rate = Figure { bound, ..Figure::more("rate", "", 1.0) };
            figure(rate, &[(OURS, &[100.0; 4]), ("other", &[110.0; 4]), ("slow", &[50.0; 4])])
        };
        let narrow = rate(1.0);
        assert_eq!(narrow.ratio.as_ref().unwrap().peers, ["other"]);
        assert!((narrow.ratio.as_ref().unwrap().estimate.value - 1.1).abs() < 1e-9);
        assert_eq!((narrow.outcome(), rate(1.2).outcome()), (Outcome::Lost, Outcome::Open));
        let shown = figure(Figure::shown("live", "MiB"), &[(OURS, &[9.0; 4]), ("o", &[1.0; 4])]);
        assert_eq!((shown.ratio.clone(), shown.outcome()), (None, Outcome::Open));
    }

    #[test]
    fn small_values_are_compared_as_the_least() {
        let least = Figure::less("s until within", "s", 0.05);
        let report = figure(least, &[(OURS, &[0.0, 0.01]), ("peer", &[0.02, 0.0])]);
        assert!((report.ratio.unwrap().estimate.value - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_did_not_happen_is_not_compared() {
        let of = |ours: &[f64], peer: &[f64]| {
            figure(Figure::less("x", "", 0.05), &[(OURS, ours), ("peer", peer)])
        };
        let none = f64::NAN;
        let mixed = of(&[none, 1.0], &[1.0, none]);
        assert_eq!((mixed.ratio.clone(), mixed.outcome()), (None, Outcome::Open));
        assert_eq!(mixed.values("peer"), [1.0]);
        assert_eq!(of(&[none; 4], &[1.0, none, none, none]).outcome(), Outcome::Lost);
        assert_eq!(of(&[none; 4], &[none; 4]).outcome(), Outcome::Open);
    }

    #[test]
    fn few_rounds_are_no_evidence() {
        let of = |rounds: usize| {
            let (ours, peer) = (vec![2.0; rounds], vec![1.0; rounds]);
            figure(Figure::less("x", "", 0.05), &[(OURS, &ours), ("peer", &peer)])
        };
        assert!((of(1).ratio.unwrap().estimate.value - 2.0).abs() < 1e-9);
        let outcomes = [1, 3, 4].map(|rounds| of(rounds).outcome());
        assert_eq!(outcomes, [Outcome::Open, Outcome::Open, Outcome::Lost]);
    }

    #[test]
    fn means_are_over_the_rows_that_have_a_ratio() {
        let mut suite = example().suites.remove(0);
        let time = |suite: &SuiteReport| {
            suite.means().into_iter().find(|mean| mean.figure == "time").unwrap()
        };
        let mean = time(&suite);
        assert!((mean.estimate.value - (1.2_f64 * 0.8).sqrt()).abs() < 1e-9);
        assert_eq!((mean.rows, mean.bound), ((2, 2), Some(0.85)));
        assert_eq!(mean.lost, ["slow"]);
        let lonely = figure(Figure::less("time", "s", 0.1), &[(OURS, &[1.0; 4])]);
        suite.rows.push(row("lonely", "", vec![lonely.clone()]));
        assert_eq!(time(&suite).rows, (2, 3));
        // Another group is joined by itself, and one row is no group.
        suite.rows.push(row("else", "threads", vec![lonely]));
        assert_eq!(suite.means().len(), 2);
    }

    #[test]
    fn a_run_is_read_back_as_it_was_written() {
        let run = example();
        let text = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
        assert!(run.is_incomplete());
        assert_eq!(run.suites[0].failures().collect::<Vec<_>>(), ["fast on broken: died <there>"]);
    }
}
