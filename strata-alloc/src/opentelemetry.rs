//! All numbers as instruments of OpenTelemetry.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::opentelemetry::KeyValue;
use ::opentelemetry::metrics::{AsyncInstrument, Meter};

use allocator_core::{Metrics, Number, Scope, Strata, Unit};

/// Adds an observable instrument for each number, such as `strata.live_bytes`, one for what is
/// resident, with the attribute `held_for`, and two for scopes, with `key` and `value`. They are read whenever the provider of the meter
/// collects, for as long as it does.
///
/// The names are those of [`Metrics::prometheus`], with a point
/// behind `strata` and without `_total`.
pub fn observe(meter: &Meter) {
    for number in Metrics::from(Strata::stats()).numbers() {
        match number.only_grows {
            true => observe_counter(meter, &number),
            false => observe_gauge(meter, &number),
        }
    }
    for (at, number) in Metrics::of_scope(Scope::current()).iter().enumerate() {
        observe_scopes(meter, at, number);
    }
    let resident = meter
        .u64_observable_gauge("strata.resident_bytes")
        .with_description("Physical memory of the process, by what it is held for.")
        .with_unit("By");
    let _ = resident
        .with_callback(|observer| {
            for (row, bytes) in Strata::explain().rows() {
                observer.observe(bytes as u64, &[KeyValue::new("held_for", row)]);
            }
        })
        .build();
}

/// The name, as instruments are called.
fn name(number: &Number) -> String {
    number.name.trim_end_matches("_total").replacen('_', ".", 1)
}

/// The unit, in the code that OpenTelemetry takes (UCUM).
fn unit(number: &Number) -> &'static str {
    match number.unit {
        Unit::Bytes => "By",
        _ => "1",
    }
}

/// All instruments are read one after the other: within this time, from the same numbers.
const FRESH: Duration = Duration::from_millis(100);

/// The numbers that were read last, without what is resident, which takes longer.
static LAST: Mutex<Option<(Instant, Metrics)>> = Mutex::new(None);

/// A number of this moment.
fn read(name: &'static str) -> Option<Number> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let is_fresh = |(read, _): &(Instant, _)| read.elapsed() < FRESH;
    let kept = last.take().filter(is_fresh);
    let (_, metrics) =
        last.insert(kept.unwrap_or_else(|| (Instant::now(), Strata::stats().into())));
    metrics.numbers().find(|number| number.name == name)
}

fn observe_counter(meter: &Meter, number: &Number) {
    let known = number.name;
    let _ = meter
        .u64_observable_counter(name(number))
        .with_description(number.help)
        .with_unit(unit(number))
        .with_callback(move |observer| {
            if let Some(value) = read(known).and_then(|it| it.value) {
                observer.observe(value as u64, &[]);
            }
        })
        .build();
}

fn observe_gauge(meter: &Meter, number: &Number) {
    let known = number.name;
    let _ = meter
        .f64_observable_gauge(name(number))
        .with_description(number.help)
        .with_unit(unit(number))
        .with_callback(move |observer| {
            let Some(number) = read(known) else { return };
            let Some(value) = number.value else { return };
            let whole = if number.unit == Unit::Ratio { 100.0 } else { 1.0 };
            observer.observe(value as f64 / whole, &[]);
        })
        .build();
}

/// Adds the instrument for the number of each scope that is the one `at` in a list.
fn observe_scopes(meter: &Meter, at: usize, number: &Number) {
    let each = move |tell: &dyn Fn(u64, &[KeyValue])| {
        for scope in Strata::profile_scopes() {
            let value = Metrics::of_scope(scope)[at].value.unwrap_or(0);
            let labels = [("key", scope.key()), ("value", scope.value())];
            tell(value as u64, &labels.map(|(key, value)| KeyValue::new(key, value)));
        }
    };
    let (name, help, unit) = (name(number), number.help, unit(number));
    if number.only_grows {
        let counter = meter.u64_observable_counter(name).with_description(help).with_unit(unit);
        let tell = move |to: &dyn AsyncInstrument<u64>| each(&|value, of| to.observe(value, of));
        let _ = counter.with_callback(tell).build();
    } else {
        let gauge = meter.u64_observable_gauge(name).with_description(help).with_unit(unit);
        let tell = move |to: &dyn AsyncInstrument<u64>| each(&|value, of| to.observe(value, of));
        let _ = gauge.with_callback(tell).build();
    }
}
