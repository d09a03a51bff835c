//! All numbers for the crate `metrics`, whatever recorder the program has.

use ::metrics::{Unit as Told, counter, describe_counter, describe_gauge, gauge};
use allocator_core::{Metrics, Scope, Strata, Unit};

/// Tells the recorder the units of all numbers, and what they count: once, after it is installed.
pub fn describe() {
    let of_scopes = Metrics::of_scope(Scope::current());
    for number in Strata::metrics().numbers().chain(of_scopes) {
        let name = number.name.trim_end_matches("_total");
        let unit = match number.unit {
            Unit::Bytes => Told::Bytes,
            _ => Told::Count,
        };
        match number.only_grows {
            true => describe_counter!(name, unit, number.help),
            false => describe_gauge!(name, unit, number.help),
        }
    }
    let help = "Physical memory of the process, by what it is held for.";
    describe_gauge!("strata_resident_bytes", Told::Bytes, help);
}

/// Hands all numbers of this moment to the recorder: counters and gauges with the names of
/// [`Metrics::prometheus`](crate::Metrics::prometheus) without `_total`, which recorders add. To
/// be called before each scrape, or every few seconds. A limit that is not set is 0.
pub fn record() {
    let metrics = Strata::metrics();
    for number in metrics.numbers() {
        let name = number.name.trim_end_matches("_total");
        let value = number.value.unwrap_or(0);
        match (number.only_grows, number.unit) {
            (true, _) => counter!(name).absolute(value as u64),
            (false, Unit::Ratio) => gauge!(name).set(value as f64 / 100.0),
            (false, _) => gauge!(name).set(value as f64),
        }
    }
    for scope in Strata::profile_scopes() {
        for number in Metrics::of_scope(scope) {
            let name = number.name.trim_end_matches("_total");
            let labels = [("key", scope.key()), ("value", scope.value())];
            let value = number.value.unwrap_or(0);
            match number.only_grows {
                true => counter!(name, &labels).absolute(value as u64),
                false => gauge!(name, &labels).set(value as f64),
            }
        }
    }
    for (row, bytes) in metrics.explanation().into_iter().flat_map(|it| it.rows()) {
        gauge!("strata_resident_bytes", "held_for" => row).set(bytes as f64);
    }
}
