//! The measured figures and their evaluation.

use std::path::PathBuf;

use crate::orchestrator::cli::{OURS, Settings};
use crate::orchestrator::stats::{Spread, paired_ratio};

/// Results of one visit to one allocator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) round: u32,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) cpu_s_per_million: f64,
    pub(crate) start_rss_bytes: f64,
    pub(crate) peak_rss_bytes: f64,
    pub(crate) idle_rss_bytes: f64,
    pub(crate) live_bytes: f64,
}

/// How a figure is formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Micros,
    Seconds,
    Bytes,
}

/// One of the figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// Its key in the JSON file.
    pub(crate) key: &'static str,
    /// Its heading.
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    /// Which direction is better; `None` for figures that are not compared.
    pub(crate) higher_is_better: Option<bool>,
    pub(crate) of: fn(&Sample) -> f64,
}

/// All figures, in the order in which they are shown.
pub(crate) const METRICS: [Metric; 9] = [
    metric("requests_per_s", "requests/s", Unit::PerSecond, Some(true), |s| s.requests_per_s),
    metric("p50_us", "p50", Unit::Micros, Some(false), |s| s.p50_us),
    metric("p99_us", "p99", Unit::Micros, Some(false), |s| s.p99_us),
    metric("p999_us", "p99.9", Unit::Micros, Some(false), |s| s.p999_us),
    metric("cpu_s_per_million", "CPU s per million", Unit::Seconds, Some(false), |s| {
        s.cpu_s_per_million
    }),
    metric("peak_rss_bytes", "peak RSS", Unit::Bytes, Some(false), |s| s.peak_rss_bytes),
    metric("idle_rss_bytes", "idle RSS", Unit::Bytes, Some(false), |s| s.idle_rss_bytes),
    metric("start_rss_bytes", "RSS before", Unit::Bytes, None, |s| s.start_rss_bytes),
    metric("live_bytes", "live in cache", Unit::Bytes, None, |s| s.live_bytes),
];

const fn metric(
    key: &'static str,
    title: &'static str,
    unit: Unit,
    higher_is_better: Option<bool>,
    of: fn(&Sample) -> f64,
) -> Metric {
    Metric { key, title, unit, higher_is_better, of }
}

/// An allocator in the comparison.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    /// As reported by its server.
    pub(crate) version: Option<String>,
    /// The server program, once built.
    pub(crate) program: Option<PathBuf>,
    pub(crate) samples: Vec<Sample>,
    /// Why it was excluded, if it was.
    pub(crate) error: Option<String>,
}

impl Contender {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: None,
            program: None,
            samples: Vec::new(),
            error: None,
        }
    }

    /// The spread of `metric` over the rounds.
    pub(crate) fn spread(&self, metric: &Metric) -> Option<Spread> {
        Spread::of(self.samples.iter().map(metric.of))
    }

    fn by_round(&self, metric: &Metric) -> Vec<(u32, f64)> {
        self.samples.iter().map(|sample| (sample.round, (metric.of)(sample))).collect()
    }
}

/// How the server allocates, according to its counting build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    pub(crate) allocations_per_request: f64,
    pub(crate) reallocations_per_request: f64,
    /// The share of the allocated blocks that another thread frees.
    pub(crate) remote_share: f64,
}

/// The complete report.
pub(crate) struct Report {
    pub(crate) contenders: Vec<Contender>,
    pub(crate) settings: Settings,
    pub(crate) machine: String,
    pub(crate) footprint: Option<Footprint>,
}

impl Report {
    /// The allocators that were measured.
    pub(crate) fn measured(&self) -> impl Iterator<Item = &Contender> {
        self.contenders.iter().filter(|contender| !contender.samples.is_empty())
    }

    /// The peer with the best median; never Strata itself.
    pub(crate) fn best_peer(&self, metric: &Metric) -> Option<&Contender> {
        let higher = metric.higher_is_better?;
        let peers = self.measured().filter(|contender| contender.name != OURS);
        let medians = peers.filter_map(|peer| Some((peer, peer.spread(metric)?.median)));
        let best = medians.reduce(|best, next| {
            let better = if higher { next.1 > best.1 } else { next.1 < best.1 };
            if better { next } else { best }
        });
        best.map(|(peer, _)| peer)
    }

    /// `contender` over the best peer, round by round.
    pub(crate) fn ratio(&self, contender: &Contender, metric: &Metric) -> Option<Spread> {
        let best = self.best_peer(metric)?;
        paired_ratio(&contender.by_round(metric), &best.by_round(metric))
    }

    /// A sentence on how the figures were obtained.
    pub(crate) fn conditions(&self) -> String {
        let Settings { rounds, connections, cache_mib, measure, idle, .. } = &self.settings;
        format!(
            "{rounds} rounds, each a fresh process per allocator; {connections} keep-alive \
             connections in a closed loop for {:.1} s on a full cache of {cache_mib} MiB; idle RSS \
             {} s after the load stopped, connections open{}",
            measure.as_secs_f64(),
            idle.as_secs(),
            if self.settings.quick { "; quick run, expect a wide spread" } else { "" }
        )
    }
}

/// Formats a figure.
pub(crate) fn write(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond => format!("{value:.0}"),
        Unit::Micros if value >= 10_000.0 => format!("{:.1} ms", value / 1000.0),
        Unit::Micros if value >= 1000.0 => format!("{:.2} ms", value / 1000.0),
        Unit::Micros => format!("{value:.0} µs"),
        Unit::Seconds => format!("{value:.1}"),
        Unit::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;

    /// Strata, two peers and one that does not build.
    pub(crate) fn example() -> Report {
        let contender = |name: &str, rates: &[f64], idle: f64| Contender {
            version: Some(format!("{name} 1")),
            samples: rates
                .iter()
                .zip(1..)
                .map(|(rate, round)| Sample {
                    round,
                    requests_per_s: *rate,
                    p50_us: 2e6 / rate,
                    p99_us: 5e6 / rate,
                    p999_us: 9e6 / rate,
                    cpu_s_per_million: 1e6 / rate,
                    start_rss_bytes: 4e6,
                    peak_rss_bytes: idle * 1.2,
                    idle_rss_bytes: idle,
                    live_bytes: 3e7,
                })
                .collect(),
            ..Contender::new(name)
        };
        Report {
            contenders: vec![
                contender("strata", &[1100.0, 2200.0, 1650.0], 5e7),
                contender("fast", &[1000.0, 2000.0, 1500.0], 8e7),
                contender("small", &[500.0, 900.0, 700.0], 4e7),
                Contender {
                    error: Some("did not build: no <compiler>".into()),
                    ..Contender::new("broken")
                },
            ],
            settings: Settings {
                quick: false,
                rounds: 3,
                connections: 32,
                cache_mib: 32,
                fill: 10,
                measure: Duration::from_secs(4),
                idle: Duration::from_secs(10),
            },
            machine: "a machine".into(),
            footprint: Some(Footprint {
                allocations_per_request: 345.6,
                reallocations_per_request: 7.0,
                remote_share: 0.5,
            }),
        }
    }

    fn by_key(key: &str) -> &'static Metric {
        METRICS.iter().find(|metric| metric.key == key).unwrap()
    }

    #[test]
    fn the_best_peer_depends_on_the_figure_and_is_never_strata() {
        let report = example();
        let best = |key| report.best_peer(by_key(key)).map(|peer| peer.name.as_str());
        assert_eq!(best("requests_per_s"), Some("fast"));
        assert_eq!(best("p99_us"), Some("fast"));
        assert_eq!(best("idle_rss_bytes"), Some("small"));
        assert_eq!(best("live_bytes"), None);
    }

    #[test]
    fn ratios_are_taken_to_the_best_peer_round_by_round() {
        let report = example();
        let ratio = report.ratio(&report.contenders[0], by_key("requests_per_s")).unwrap();
        assert!((ratio.min - 1.1).abs() < 1e-9 && (ratio.max - 1.1).abs() < 1e-9);
        let idle = report.ratio(&report.contenders[0], by_key("idle_rss_bytes")).unwrap();
        assert!((idle.median - 1.25).abs() < 1e-9);
        assert!(report.ratio(&report.contenders[3], by_key("p99_us")).is_none());
    }

    #[test]
    fn figures_are_written_in_fitting_units() {
        assert_eq!(write(1234.6, Unit::PerSecond), "1235");
        assert_eq!(write(950.0, Unit::Micros), "950 µs");
        assert_eq!(write(2345.0, Unit::Micros), "2.35 ms");
        assert_eq!(write(23450.0, Unit::Micros), "23.4 ms");
        assert_eq!(write(1.5 * 1048576.0, Unit::Bytes), "1.5 MiB");
    }
}
