//! The figures as JSON, for programs.

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::orchestrator::figures::{Contender, METRICS, Report, Unit};

/// The complete report. The plain figures are medians over the rounds.
pub(crate) fn render(report: &Report) -> Result<String> {
    let allocators: Vec<Value> =
        report.contenders.iter().map(|contender| allocator(report, contender)).collect();
    let settings = &report.settings;
    let value = json!({
        "allocators": allocators,
        "machine": report.machine,
        "rounds": settings.rounds,
        "quick": settings.quick,
        "measured_seconds_per_round": settings.measure.as_secs_f64(),
        "idle_seconds": settings.idle.as_secs_f64(),
        "connections": settings.connections,
        "cache_bytes": settings.cache_mib << 20,
        "allocations_per_request": report.footprint.map(|f| f.allocations_per_request),
        "reallocations_per_request": report.footprint.map(|f| f.reallocations_per_request),
        "remote_free_share": report.footprint.map(|f| f.remote_share),
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn allocator(report: &Report, contender: &Contender) -> Value {
    let mut object = Map::new();
    object.insert("name".into(), json!(contender.name));
    if let Some(version) = &contender.version {
        object.insert("version".into(), json!(version));
    }
    if let Some(error) = &contender.error {
        object.insert("error".into(), json!(error));
    }
    let (mut spreads, mut ratios) = (Map::new(), Map::new());
    for metric in &METRICS {
        let Some(spread) = contender.spread(metric) else {
            continue;
        };
        object.insert(metric.key.into(), number(spread.median, metric.unit));
        let (min, max) = (number(spread.min, metric.unit), number(spread.max, metric.unit));
        spreads.insert(metric.key.into(), json!({ "min": min, "max": max }));
        if let (Some(peer), Some(ratio)) =
            (report.best_peer(metric), report.ratio(contender, metric))
        {
            let value = json!({
                "peer": peer.name,
                "median": ratio.median,
                "min": ratio.min,
                "max": ratio.max,
            });
            ratios.insert(metric.key.into(), value);
        }
    }
    if !contender.samples.is_empty() {
        object.insert("samples".into(), json!(contender.samples.len()));
        object.insert("spread".into(), Value::Object(spreads));
        object.insert("ratio_to_best_peer".into(), Value::Object(ratios));
    }
    Value::Object(object)
}

/// Bytes are whole numbers.
fn number(value: f64, unit: Unit) -> Value {
    if unit == Unit::Bytes { json!(value.round() as u64) } else { json!(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::figures::tests::example;

    #[test]
    fn every_allocator_has_its_figures_or_its_error() {
        let value: Value = serde_json::from_str(&render(&example()).unwrap()).unwrap();
        let allocators = value["allocators"].as_array().unwrap();
        assert_eq!(allocators.len(), 4);
        let strata = &allocators[0];
        assert_eq!(strata["name"], "strata");
        for metric in &METRICS {
            assert!(strata[metric.key].as_f64().unwrap() > 0.0, "{}", metric.key);
            assert!(strata["spread"][metric.key]["max"].is_number(), "{}", metric.key);
        }
        assert_eq!(strata["requests_per_s"], 1650.0);
        assert_eq!(strata["spread"]["requests_per_s"]["min"], 1100.0);
        assert_eq!(strata["ratio_to_best_peer"]["requests_per_s"]["peer"], "fast");
        let idle = strata["ratio_to_best_peer"]["idle_rss_bytes"]["median"].as_f64().unwrap();
        assert!((idle - 1.25).abs() < 1e-9);
        assert_eq!(strata["idle_rss_bytes"], 50_000_000_u64);
        assert!(strata.get("error").is_none());

        assert_eq!(allocators[3]["error"], "did not build: no <compiler>");
        assert!(allocators[3].get("requests_per_s").is_none());
        assert_eq!(value["rounds"], 3);
        assert_eq!(value["machine"], "a machine");
        assert_eq!(value["remote_free_share"], 0.5);
    }
}
