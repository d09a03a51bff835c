//! The numbers in the forms that other programs read: JSON, and the two text formats of
//! Prometheus. One table names every number and says how it is read, so that all forms have the
//! same. What is written goes piece by piece to where the caller wants it: nothing is
//! allocated.
//!
//! ```text
//!  METRICS ──┬─ JSON          {"live_bytes":512,…,"classes":[…],"scopes":[…],"resident":{…}}
//!            ├─ Prometheus    strata_live_bytes 512
//!            └─ OpenMetrics   the same, with units and an end
//! ```

use core::fmt::{self, Display, Formatter, Write as _};

use crate::base::lock::Wait;
use crate::profile::amounts::Amount;
use crate::report::explain::{self, Explanation};
use crate::report::stats::{self, ClassStats, Stats};
use crate::scope::{self, Scope};

/// All numbers of the process in forms that other programs read, from
/// [`Strata::metrics`](crate::Strata::metrics): [`Stats`], and what is resident
/// ([`Explanation`]).
///
/// ```
/// # use allocator_core::Strata;
/// let metrics = Strata::metrics();
/// println!("{}", metrics.prometheus());
/// ```
///
/// Writing allocates nothing, apart from what the receiver does. What is known of scopes is read
/// when it is written. The names of the numbers, and what they mean, stay the same in all versions;
/// more may come. `docs/metrics.md` lists them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    stats: Stats,
    explanation: Option<Explanation>,
}

impl From<Stats> for Metrics {
    /// Metrics without what is resident: reading them makes no system call.
    fn from(stats: Stats) -> Self {
        Metrics { stats, explanation: None }
    }
}

/// Reads all numbers.
pub(crate) fn read() -> Metrics {
    let stats = stats::read();
    let explanation = Some(explain::read_beside(&stats, Wait::Yes));
    Metrics { stats, explanation }
}

impl Metrics {
    /// The content type of [`Metrics::json`].
    pub const JSON_TYPE: &str = "application/json";

    /// The content type of [`Metrics::prometheus`].
    pub const PROMETHEUS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// The content type of [`Metrics::open_metrics`].
    pub const OPEN_METRICS_TYPE: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The statistics.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What is resident, unless it was not read.
    #[must_use]
    pub fn explanation(&self) -> Option<&Explanation> {
        self.explanation.as_ref()
    }

    /// Each number that has no label, for other libraries of metrics. Those with labels are in
    /// [`Stats::classes`], [`Metrics::of_scope`] and [`Explanation::rows`].
    pub fn numbers(&self) -> impl Iterator<Item = Number> {
        METRICS.iter().map(|metric| metric.number((metric.get)(&self.stats)))
    }

    /// The numbers of a scope at this moment, which have its key and its value as labels:
    /// `strata_scope_live_bytes` and `strata_scope_allocated_bytes_total`. Those that have any
    /// are in [`Strata::profile_scopes`](crate::Strata::profile_scopes).
    #[must_use]
    pub fn of_scope(scope: Scope) -> [Number; 2] {
        [0, 1].map(|at| {
            let OfScope { metric, amount } = &OF_SCOPES[at];
            metric.number(Some(amount(scope).bytes as usize))
        })
    }

    /// One JSON object, in one line. A number that there is none of, such as a limit that is
    /// not set, is `null`.
    #[must_use]
    pub fn json(&self) -> impl Display {
        Json(self)
    }

    /// A page in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn prometheus(&self) -> impl Display {
        Page { metrics: self, is_open: false }
    }

    /// A page in the format OpenMetrics, version 1.0.
    #[must_use]
    pub fn open_metrics(&self) -> impl Display {
        Page { metrics: self, is_open: true }
    }
}

/// Whether a number may fall.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Gauge,
    Counter,
}

/// What a [`Number`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Things.
    One,
    /// Bytes.
    Bytes,
    /// A part of a whole, in percent. In texts it is written as a ratio.
    Ratio,
}

/// A number of [`Metrics`], from [`Metrics::numbers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Number {
    /// The name, such as `strata_live_bytes`, or `strata_purges_total` if it only grows.
    pub name: &'static str,
    /// A sentence on what it counts.
    pub help: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Whether it never falls: it is a counter, not a gauge.
    pub only_grows: bool,
    /// Its value. `None`: there is no such number now, such as a limit that is not set.
    pub value: Option<usize>,
}

/// A number with a name.
struct Metric {
    /// Begins with [`PREFIX`]; that of a counter ends with [`TOTAL`].
    name: &'static str,
    kind: Kind,
    unit: Unit,
    help: &'static str,
    /// `None`: there is no such number now.
    get: fn(&Stats) -> Option<usize>,
}

const fn gauge(
    name: &'static str,
    unit: Unit,
    help: &'static str,
    get: fn(&Stats) -> Option<usize>,
) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, help, get }
}

const fn counter(
    name: &'static str,
    unit: Unit,
    help: &'static str,
    get: fn(&Stats) -> Option<usize>,
) -> Metric {
    Metric { name, kind: Kind::Counter, unit, help, get }
}

use Unit::{Bytes, One, Ratio};

static METRICS: [Metric; 28] = [
    gauge("strata_live_bytes", Bytes, "Blocks that the program holds.", |it| Some(it.live_bytes())),
    gauge(
        "strata_large_bytes",
        Bytes,
        "The part of the live bytes in blocks above 32 KiB.",
        |it| Some(it.large_bytes()),
    ),
    gauge("strata_huge_bytes", Bytes, "The part of the live bytes in blocks above 1 MiB.", |it| {
        Some(it.huge_bytes())
    }),
    gauge("strata_huge_blocks", One, "Blocks above 1 MiB that the program holds.", |it| {
        Some(it.huge_blocks())
    }),
    gauge("strata_cached_bytes", Bytes, "Free blocks in thread caches.", |it| {
        Some(it.cached_bytes())
    }),
    gauge("strata_mapped_bytes", Bytes, "Addresses that are mapped for blocks.", |it| {
        Some(it.mapped_bytes())
    }),
    gauge("strata_committed_bytes", Bytes, "Memory for blocks that may be resident.", |it| {
        Some(it.committed_bytes())
    }),
    gauge(
        "strata_committed_peak_bytes",
        Bytes,
        "The most committed bytes since the start.",
        |it| Some(it.peak_committed_bytes()),
    ),
    gauge(
        "strata_free_bytes",
        Bytes,
        "The part of the committed bytes that no block uses.",
        |it| Some(it.free_bytes()),
    ),
    gauge("strata_metadata_bytes", Bytes, "The allocator's own tables and records.", |it| {
        Some(it.metadata_bytes())
    }),
    counter(
        "strata_allocated_blocks_total",
        One,
        "Blocks that left their spans for a thread.",
        |it| Some(it.allocated_blocks()),
    ),
    counter(
        "strata_allocated_bytes_total",
        Bytes,
        "Bytes that left their spans for a thread.",
        |it| Some(it.allocated_bytes()),
    ),
    counter(
        "strata_freed_blocks_total",
        One,
        "Blocks that a thread gave back to their spans.",
        |it| Some(it.freed_blocks()),
    ),
    counter(
        "strata_freed_bytes_total",
        Bytes,
        "Bytes that a thread gave back to their spans.",
        |it| Some(it.freed_bytes()),
    ),
    counter(
        "strata_purged_bytes_total",
        Bytes,
        "Free memory that was returned to the system.",
        |it| Some(it.purged_bytes()),
    ),
    counter("strata_purges_total", One, "Passes that returned free memory to the system.", |it| {
        Some(it.purges())
    }),
    gauge("strata_threads", One, "Threads that have a cache.", |it| Some(it.threads())),
    gauge("strata_threads_peak", One, "The most threads that had a cache at a time.", |it| {
        Some(it.peak_threads())
    }),
    counter("strata_refusals_total", One, "Requests for which there was no memory.", |it| {
        Some(it.refusals())
    }),
    gauge("strata_limit_bytes", Bytes, "The soft limit, on committed bytes.", |it| {
        unless_0(it.limit_bytes())
    }),
    counter(
        "strata_limit_exceeded_total",
        One,
        "Times that the program stayed above the soft limit.",
        |it| Some(it.limit_exceeded()),
    ),
    gauge("strata_hard_limit_bytes", Bytes, "The hard limit, on committed bytes.", |it| {
        unless_0(it.hard_limit_bytes())
    }),
    counter(
        "strata_hard_limit_refusals_total",
        One,
        "Times that the hard limit refused memory.",
        |it| Some(it.hard_limit_refusals()),
    ),
    gauge(
        "strata_container_limit_bytes",
        Bytes,
        "The container's memory limit at the start.",
        |it| unless_0(it.container_limit_bytes()),
    ),
    gauge(
        "strata_container_used_ratio",
        Ratio,
        "Use of the container's limit, at the last look.",
        |it| Some(it.container_used_percent()),
    ),
    gauge("strata_container_waiting_ratio", Ratio, "Time that tasks waited for memory.", |it| {
        Some(it.container_waiting_percent())
    }),
    gauge("strata_memory_short", One, "1 if memory was short at the last look.", |it| {
        Some(it.is_memory_short().into())
    }),
    gauge("strata_memory_scarce", One, "1 if memory was scarce at the last look.", |it| {
        Some(it.is_memory_scarce().into())
    }),
];

/// A number of a scope.
struct OfScope {
    metric: Metric,
    amount: fn(Scope) -> Amount,
}

static OF_SCOPES: [OfScope; 2] = [
    OfScope {
        metric: gauge(
            "strata_scope_live_bytes",
            Bytes,
            "Bytes in use by scope, estimated from samples of the heap profile.",
            |_| None,
        ),
        amount: Scope::in_use,
    },
    OfScope {
        metric: counter(
            "strata_scope_allocated_bytes_total",
            Bytes,
            "Bytes allocated by scope, estimated from samples of the heap profile.",
            |_| None,
        ),
        amount: Scope::allocated,
    },
];

fn unless_0(bytes: usize) -> Option<usize> {
    (bytes != 0).then_some(bytes)
}

const PREFIX: &str = "strata_";
const TOTAL: &str = "_total";

/// The version of the allocator.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Metric {
    /// The number as other libraries are told of it.
    fn number(&self, value: Option<usize>) -> Number {
        let Metric { name, kind, unit, help, .. } = *self;
        Number { name, help, unit, only_grows: kind == Kind::Counter, value }
    }

    /// The name of its family in OpenMetrics, which gives counters the end of their names.
    fn family(&self) -> &'static str {
        self.name.strip_suffix(TOTAL).unwrap_or(self.name)
    }

    /// Its name in JSON.
    fn key(&self) -> &'static str {
        self.name.strip_prefix(PREFIX).unwrap_or(self.name)
    }

    fn write_value(&self, f: &mut Formatter<'_>, value: usize) -> fmt::Result {
        match self.unit {
            Unit::Ratio => write!(f, "{}.{:02}", value / 100, value % 100),
            Unit::One | Unit::Bytes => write!(f, "{value}"),
        }
    }
}

/// A page for Prometheus.
struct Page<'a> {
    metrics: &'a Metrics,
    /// Whether it is in the format OpenMetrics.
    is_open: bool,
}

impl Page<'_> {
    /// What comes before the samples of a family. OpenMetrics names the unit, too.
    fn head(&self, f: &mut Formatter<'_>, metric: &Metric) -> fmt::Result {
        let family = if self.is_open { metric.family() } else { metric.name };
        let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
        writeln!(f, "# TYPE {family} {kind}")?;
        match metric.unit {
            Unit::Bytes if self.is_open => writeln!(f, "# UNIT {family} bytes")?,
            Unit::Ratio if self.is_open => writeln!(f, "# UNIT {family} ratio")?,
            _ => {}
        }
        writeln!(f, "# HELP {family} {}", metric.help)
    }

    /// A family with one sample.
    fn family(&self, f: &mut Formatter<'_>, metric: &Metric) -> fmt::Result {
        let Some(value) = (metric.get)(&self.metrics.stats) else { return Ok(()) };
        self.head(f, metric)?;
        write!(f, "{} ", metric.name)?;
        metric.write_value(f, value)?;
        writeln!(f)
    }

    /// The version.
    fn build(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const NAME: &str = "strata_build_info";
        let family = if self.is_open { "strata_build" } else { NAME };
        let kind = if self.is_open { "info" } else { "gauge" };
        writeln!(f, "# TYPE {family} {kind}")?;
        writeln!(f, "# HELP {family} The version of the allocator.")?;
        writeln!(f, "{NAME}{{version=\"{VERSION}\"}} 1")
    }

    /// A family with a sample for each size class that has blocks.
    fn classes(
        &self,
        f: &mut Formatter<'_>,
        name: &'static str,
        help: &'static str,
        blocks: fn(&ClassStats) -> usize,
    ) -> fmt::Result {
        self.head(f, &gauge(name, One, help, |_| None))?;
        for class in self.metrics.stats.classes().iter().filter(|class| class.is_in_use()) {
            let size = class.block_bytes();
            writeln!(f, "{name}{{block_bytes=\"{size}\"}} {}", blocks(class))?;
        }
        Ok(())
    }

    /// A family with a sample for each scope that there are samples of.
    fn scopes(&self, f: &mut Formatter<'_>, of: &OfScope) -> fmt::Result {
        for (at, scope) in scope::sampled().enumerate() {
            if at == 0 {
                self.head(f, &of.metric)?;
            }
            let (key, value) = (Quoted(scope.key()), Quoted(scope.value()));
            let (name, bytes) = (of.metric.name, (of.amount)(scope).bytes);
            writeln!(f, "{name}{{key={key},value={value}}} {bytes}")?;
        }
        Ok(())
    }

    /// A family with a sample for each row of the explanation.
    fn resident(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const NAME: &str = "strata_resident_bytes";
        let Some(explanation) = &self.metrics.explanation else { return Ok(()) };
        let help = "Physical memory of the process, by what it is held for.";
        self.head(f, &gauge(NAME, Bytes, help, |_| None))?;
        for (row, bytes) in explanation.rows() {
            writeln!(f, "{NAME}{{held_for=\"{row}\"}} {bytes}")?;
        }
        Ok(())
    }
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.build(f)?;
        METRICS.iter().try_for_each(|metric| self.family(f, metric))?;
        let live = "Blocks that the program holds, by size class.";
        self.classes(f, "strata_class_live_blocks", live, ClassStats::live_blocks)?;
        let cached = "Free blocks in thread caches, by size class.";
        self.classes(f, "strata_class_cached_blocks", cached, ClassStats::cached_blocks)?;
        OF_SCOPES.iter().try_for_each(|of| self.scopes(f, of))?;
        self.resident(f)?;
        if self.is_open { writeln!(f, "# EOF") } else { Ok(()) }
    }
}

/// A text in quotes, as JSON and Prometheus write it. It has no control characters.
struct Quoted(&'static str);

impl Display for Quoted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}

/// One JSON object.
struct Json<'a>(&'a Metrics);

impl Json<'_> {
    fn classes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, ",\"classes\":[")?;
        let in_use = self.0.stats.classes().iter().filter(|class| class.is_in_use());
        for (at, class) in in_use.enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let (size, live) = (class.block_bytes(), class.live_blocks());
            write!(f, "{comma}{{\"block_bytes\":{size},\"live_blocks\":{live}")?;
            write!(f, ",\"cached_blocks\":{}}}", class.cached_blocks())?;
        }
        write!(f, "]")
    }

    fn scopes(f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, ",\"scopes\":[")?;
        for (at, scope) in scope::sampled().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let (key, value) = (Quoted(scope.key()), Quoted(scope.value()));
            let (live, all) = (scope.in_use(), scope.allocated());
            write!(f, "{comma}{{\"key\":{key},\"value\":{value}")?;
            write!(f, ",\"live_blocks\":{},\"live_bytes\":{}", live.blocks, live.bytes)?;
            write!(f, ",\"allocated_blocks\":{}", all.blocks)?;
            write!(f, ",\"allocated_bytes\":{}}}", all.bytes)?;
        }
        write!(f, "]")
    }

    fn resident(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.explanation {
            None => write!(f, ",\"resident\":null"),
            Some(explanation) => write!(f, ",\"resident\":{}", explanation.json()),
        }
    }
}

impl Display for Json<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"version\":\"{VERSION}\"")?;
        for metric in &METRICS {
            write!(f, ",\"{}\":", metric.key())?;
            match (metric.get)(&self.0.stats) {
                Some(value) => metric.write_value(f, value)?,
                None => write!(f, "null")?,
            }
        }
        self.classes(f)?;
        Self::scopes(f)?;
        self.resident(f)?;
        write!(f, "}}")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;

    struct Value(Unit, usize);

    impl Display for Value {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            gauge("", self.0, "", |_| None).write_value(f, self.1)
        }
    }

    #[test]
    fn percentages_are_written_as_ratios() {
        let cases = [(0, "0.00"), (5, "0.05"), (97, "0.97"), (100, "1.00"), (130, "1.30")];
        for (percent, ratio) in cases {
            assert_eq!(format!("{}", Value(Unit::Ratio, percent)), ratio);
        }
        assert_eq!(format!("{}", Value(Unit::Bytes, 130)), "130");
    }

    #[test]
    fn names_say_what_they_are() {
        for metric in &METRICS {
            let Metric { name, kind, unit, .. } = metric;
            assert!(name.starts_with(PREFIX), "{name}");
            assert_eq!(name.ends_with(TOTAL), *kind == Kind::Counter, "{name}");
            assert_eq!(metric.family().ends_with("_bytes"), *unit == Unit::Bytes, "{name}");
            assert_eq!(metric.family().ends_with("_ratio"), *unit == Unit::Ratio, "{name}");
        }
    }
}
