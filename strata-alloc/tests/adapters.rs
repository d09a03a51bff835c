//! What other libraries of metrics are handed is what `Strata::metrics` says.
//!
//! Numbers change while tests run, so values are compared where they hold still, and names
//! everywhere.

use std::collections::{BTreeMap, BTreeSet};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use strata_alloc::serde::Numbers;
use strata_alloc::{Strata, Unit};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// A limit that no test reaches, whose value holds still.
const LIMIT: usize = 7 << 40;

/// The full names of all numbers that there are now, as Prometheus has them.
fn names() -> BTreeSet<String> {
    let metrics = Strata::metrics();
    let there = metrics.numbers().filter(|it| it.value.is_some());
    there.map(|it| it.name.to_owned()).chain(["strata_resident_bytes".to_owned()]).collect()
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
    Strata::set_limit(LIMIT);
    for metrics in [Strata::metrics(), Strata::stats().into()] {
        let exact: serde_json::Value = serde_json::from_str(&metrics.json().to_string()).unwrap();
        assert_eq!(serde_json::to_value(Numbers::from(metrics)).unwrap(), exact);
    }
}

#[test]
fn prometheus_client_has_the_same_page() {
    Strata::set_limit(LIMIT);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(strata_alloc::prometheus_client::Collector));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    let exact = Strata::metrics().open_metrics().to_string();
    // It has no families with labels but for what is resident.
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
}

#[test]
fn metrics_are_recorded() {
    Strata::set_limit(LIMIT);
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
                found.insert(format!("{}_total", key.name()), value as f64);
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
}

#[test]
fn opentelemetry_observes() {
    Strata::set_limit(LIMIT);
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
}

/// The names that the library and its documents promise.
#[test]
fn numbers_are_those_of_the_page() {
    // Other tests set it, too, and only then it is a number.
    Strata::set_limit(LIMIT);
    let metrics = Strata::metrics();
    let page = metrics.prometheus().to_string();
    let page: BTreeSet<_> = samples(&page).into_keys().map(name).collect();
    assert!(names().is_subset(&page), "{page:?}");
    let mut bytes = metrics.numbers().filter(|it| it.unit == Unit::Bytes);
    assert!(bytes.all(|it| it.name.trim_end_matches("_total").ends_with("_bytes")));
}
