//! What other libraries of metrics are handed is what `Strata::metrics` says.
//!
//! Numbers change while tests run, so values are compared where they hold still, and names
//! everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Once;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use strata_alloc::serde::Numbers;
use strata_alloc::{Strata, Unit, scope};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// A limit that no test reaches, whose value holds still.
const LIMIT: usize = 7 << 40;

/// A limit is set, and a scope was sampled, so that there are all numbers, and these hold still.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        Strata::set_limit(LIMIT);
        Strata::profile_start(1);
        drop(Box::new(1));
        scope!("tenant", "a \"b\"", { std::mem::forget(vec![1u8; SCOPED]) });
        std::mem::forget(vec![1u8; SCOPED]);
        Strata::profile_stop();
    });
}

/// The bytes of a scope.
const SCOPED: usize = 100_000;

const SCOPES: [&str; 2] = ["strata_scope_live_bytes", "strata_scope_allocated_bytes_total"];

/// The full names of all numbers that there are now, as Prometheus has them.
fn names() -> BTreeSet<String> {
    let metrics = Strata::metrics();
    let there = metrics.numbers().filter(|it| it.value.is_some());
    let with_labels = SCOPES.into_iter().chain(["strata_resident_bytes"]).map(str::to_owned);
    there.map(|it| it.name.to_owned()).chain(with_labels).collect()
}

/// The samples of a page, by name and labels.
fn samples(page: &str) -> BTreeMap<&str, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(k, v)| (k, v.parse().unwrap())).collect()
}

fn name(sample: &str) -> String {
    sample.split('{').next().unwrap().to_owned()
}

#[test]
fn serde_has_what_json_has() {
    prepare();
    for metrics in [Strata::metrics(), Strata::stats().into()] {
        let exact: serde_json::Value = serde_json::from_str(&metrics.json().to_string()).unwrap();
        assert_eq!(serde_json::to_value(Numbers::from(metrics)).unwrap(), exact);
    }
}

#[test]
fn prometheus_client_has_the_same_page() {
    prepare();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(strata_alloc::prometheus_client::Collector));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    let exact = Strata::metrics().open_metrics().to_string();
    // It has no families of size classes.
    let ours = |line: &&str| !line.contains("strata_class_") && !line.contains("strata_build");
    let heads = |page: &str| -> BTreeSet<String> {
        // It puts a point behind each sentence.
        let heads = page.lines().filter(ours).filter(|line| line.starts_with('#'));
        heads.map(|line| line.trim_end_matches('.').to_owned()).collect()
    };
    assert_eq!(heads(&page), heads(&exact));
    let found = samples(&page);
    let keys: Vec<_> = samples(&exact).into_keys().filter(ours).collect();
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), keys);
    assert_eq!(found["strata_limit_bytes"], LIMIT as f64);
    assert!(found["strata_live_bytes"] > 0.0 && found["strata_allocated_bytes_total"] > 0.0);
    for name in SCOPES {
        let sample = format!(r#"{name}{{key="tenant",value="a \"b\""}}"#);
        assert_eq!(found[&*sample], SCOPED as f64);
    }
}

#[test]
fn metrics_are_recorded() {
    prepare();
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || {
        strata_alloc::metrics::describe();
        strata_alloc::metrics::record();
    });
    let mut found = BTreeMap::new();
    let mut rows = 0.0;
    for (key, unit, help, value) in recorder.snapshotter().snapshot().into_vec() {
        let (_, key) = key.into_parts();
        assert!(unit.is_some() && help.is_some(), "{key}");
        match value {
            DebugValue::Counter(value) => {
                *found.entry(format!("{}_total", key.name())).or_default() += value as f64;
            }
            DebugValue::Gauge(value) if key.labels().len() == 2 => {
                *found.entry(key.name().to_owned()).or_default() += value.0;
            }
            DebugValue::Gauge(value) if key.labels().len() == 1 => {
                rows += value.0;
                found.insert(key.name().to_owned(), rows);
            }
            DebugValue::Gauge(value) => {
                found.insert(key.name().to_owned(), value.0);
            }
            DebugValue::Histogram(_) => panic!("{key}"),
        }
    }
    // Limits that are not set are 0.
    let all = names();
    assert!(all.iter().all(|name| found.contains_key(name)), "{found:?}");
    let more: BTreeSet<_> = found.keys().filter(|it| !all.contains(*it)).collect();
    assert!(more.iter().all(|name| found[*name] == 0.0 && name.contains("limit")), "{more:?}");
    assert_eq!(found["strata_limit_bytes"], LIMIT as f64);
    assert!(found["strata_live_bytes"] > 0.0);
    assert!(found["strata_resident_bytes"] > 1e6, "the sum of the rows is the RSS");
    assert!(SCOPES.iter().all(|name| found[*name] >= 2.0 * SCOPED as f64), "{found:?}");
}

#[test]
fn opentelemetry_observes() {
    prepare();
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    strata_alloc::opentelemetry::observe(&provider.meter("memory"));
    provider.force_flush().unwrap();
    let mut found = BTreeMap::new();
    for resource in exporter.get_finished_metrics().unwrap() {
        for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
            let value = match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    assert!(sum.is_monotonic());
                    sum.data_points().map(|point| point.value() as f64).sum::<f64>()
                }
                AggregatedMetrics::U64(MetricData::Gauge(gauge)) => {
                    gauge.data_points().map(|point| point.value() as f64).sum()
                }
                AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                    gauge.data_points().map(|point| point.value()).sum()
                }
                other => panic!("{}: {other:?}", metric.name()),
            };
            found.insert(metric.name().to_owned(), value);
            assert!(!metric.description().is_empty() && !metric.unit().is_empty());
        }
    }
    let all: BTreeSet<_> = names()
        .iter()
        .map(|name| name.replacen("strata_", "strata.", 1).trim_end_matches("_total").to_owned())
        .collect();
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), all);
    assert_eq!(found["strata.limit_bytes"], LIMIT as f64);
    assert!(found["strata.live_bytes"] > 0.0 && found["strata.resident_bytes"] > 1e6);
    let scopes = ["strata.scope_live_bytes", "strata.scope_allocated_bytes"];
    assert!(scopes.iter().all(|name| found[*name] >= 2.0 * SCOPED as f64), "{found:?}");
}

/// The names that the library and its documents promise.
#[test]
fn numbers_are_those_of_the_page() {
    prepare();
    let metrics = Strata::metrics();
    let page = metrics.prometheus().to_string();
    let page: BTreeSet<_> = samples(&page).into_keys().map(name).collect();
    assert!(names().is_subset(&page), "{page:?}");
    let mut bytes = metrics.numbers().filter(|it| it.unit == Unit::Bytes);
    assert!(bytes.all(|it| it.name.trim_end_matches("_total").ends_with("_bytes")));
}
