//! The figures of a run, as printed and as written to JSON.

use benches::missing::Missing;
use benches::preloaded::OURS;
use benches::probes::{Probe, Target};
use benches::stats::median;
use serde::Serialize;

use crate::contenders::{Contender, Interface};

/// A figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Figure {
    /// None without values.
    fn of(values: &[f64]) -> Option<Figure> {
        let min = values.iter().copied().reduce(f64::min)?;
        let max = values.iter().copied().reduce(f64::max)?;
        Some(Figure { median: median(values), min, max })
    }
}

/// A reading over the rounds, in MiB.
#[derive(Debug, Serialize)]
pub(crate) struct Reading {
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) mib: Figure,
}

/// One allocator in one probe.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) allocator: &'static str,
    /// In the unit of the target.
    pub(crate) figure: Option<Figure>,
    pub(crate) readings: Vec<Reading>,
    /// Why it was excluded.
    pub(crate) error: Option<String>,
}

/// Results of one allocator in one probe.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    pub(crate) allocator: &'static str,
    /// Its readings in KiB, of the rounds that succeeded.
    pub(crate) kib: Vec<Vec<u64>>,
    pub(crate) error: Option<String>,
}

impl Samples {
    fn series(self, probe: &Probe) -> Series {
        let mib = |n: usize| self.kib.iter().map(move |kib| kib[n] as f64 / 1024.0);
        let last = probe.readings.len() - 1;
        let figures: Vec<f64> = match probe.target {
            Target::Mib(_) => mib(last).collect(),
            Target::Percent(_) => mib(last).zip(mib(0)).map(|(l, f)| 100.0 * l / f).collect(),
        };
        let readings = probe.readings.iter().enumerate().filter_map(|(n, name)| {
            Some(Reading { name, mib: Figure::of(&mib(n).collect::<Vec<_>>())? })
        });
        Series {
            allocator: self.allocator,
            figure: Figure::of(&figures),
            readings: readings.collect(),
            error: self.error,
        }
    }
}

/// One probe with all its allocators.
#[derive(Debug, Serialize)]
pub(crate) struct RowReport {
    pub(crate) probe: &'static str,
    pub(crate) what: &'static str,
    /// Unit of the figures and of the target.
    pub(crate) unit: &'static str,
    pub(crate) target: f64,
    /// Ours first.
    pub(crate) series: Vec<Series>,
}

impl RowReport {
    /// From the results of the allocators.
    pub(crate) fn new(probe: &Probe, samples: Vec<Samples>) -> RowReport {
        let (unit, target) = match probe.target {
            Target::Mib(target) => ("MiB", target),
            Target::Percent(target) => ("%", target),
        };
        let series = samples.into_iter().map(|samples| samples.series(probe)).collect();
        RowReport { probe: probe.name, what: probe.what, unit, target, series }
    }

    /// Whether our median is above the target.
    pub(crate) fn above(&self) -> bool {
        let ours = self.series.iter().find(|series| series.allocator == OURS);
        let figure = ours.and_then(|series| series.figure);
        figure.is_some_and(|figure| figure.median > self.target)
    }
}

/// An allocator, with its version if known.
#[derive(Debug, Serialize)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) version: Option<String>,
}

/// All probes with one interface.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) interface: Interface,
    pub(crate) allocators: Vec<Named>,
    pub(crate) rows: Vec<RowReport>,
}

impl Part {
    /// From the results with one interface.
    pub(crate) fn new(
        interface: Interface,
        contenders: &[Contender],
        rows: Vec<RowReport>,
    ) -> Part {
        let named = |c: &Contender| Named { name: c.name, version: c.version.clone() };
        Part { interface, allocators: contenders.iter().map(named).collect(), rows }
    }
}

/// A complete run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Processor, memory, kernel.
    pub(crate) machine: String,
    pub(crate) scale: f64,
    pub(crate) idle_s: f64,
    pub(crate) rounds: usize,
    pub(crate) missing: Vec<Missing>,
    pub(crate) parts: Vec<Part>,
}

impl Report {
    /// Whether the counts are those that the targets apply to.
    pub(crate) fn whole(&self) -> bool {
        self.scale == 1.0
    }

    /// Failures: the probe, the allocator, and the reason.
    pub(crate) fn failures(&self) -> impl Iterator<Item = String> {
        let rows = self.parts.iter().flat_map(|part| &part.rows);
        rows.flat_map(|row| {
            row.series.iter().filter_map(|series| {
                let error = series.error.as_ref()?;
                Some(format!("{} on {}: {error}", row.probe, series.allocator))
            })
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use benches::probes::find;

    use super::*;

    /// A probe on ours, with these readings in KiB, and on an allocator that
    /// failed.
    pub(crate) fn example(probe: &str, kib: &[&[u64]]) -> RowReport {
        let of = |allocator, kib, error| Samples { allocator, kib, error };
        let ours = of(OURS, kib.iter().map(|kib| kib.to_vec()).collect(), None);
        let other = of("other", Vec::new(), Some(String::from("died")));
        RowReport::new(find(probe).unwrap(), vec![ours, other])
    }

    #[test]
    fn a_figure_is_the_last_reading_in_mib_over_the_rounds() {
        let row = example("parked", &[&[2048, 1024], &[4096, 9216], &[2048, 2048]]);
        let figure = row.series[0].figure.unwrap();
        assert_eq!(figure, Figure { median: 2.0, min: 1.0, max: 9.0 });
        assert_eq!(row.series[0].readings[0].name, "peak");
        assert_eq!(row.series[0].readings[0].mib.max, 4.0);
        assert_eq!(row.series[1].figure, None);
        assert!(!row.above());
        assert!(example("parked", &[&[99_000, 9000]]).above());
    }

    #[test]
    fn a_share_is_taken_round_by_round() {
        let row = example("holes", &[&[1000, 200], &[2000, 800]]);
        let figure = row.series[0].figure.unwrap();
        assert_eq!(figure, Figure { median: 30.0, min: 20.0, max: 40.0 });
        assert_eq!(row.unit, "%");
    }
}
