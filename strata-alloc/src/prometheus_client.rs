//! A collector of all numbers for the crate `prometheus-client`.

use std::fmt;

use ::prometheus_client::collector;
use ::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use ::prometheus_client::metrics::MetricType;
use ::prometheus_client::metrics::counter::ConstCounter;
use ::prometheus_client::metrics::gauge::ConstGauge;
use ::prometheus_client::registry::Unit as Told;

use allocator_core::{Metrics, Strata, Unit};

/// Reads all numbers at each scrape. Their names are those of
/// [`Metrics::open_metrics`](crate::Metrics::open_metrics).
///
/// ```
/// use prometheus_client::registry::Registry;
///
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(strata_alloc::prometheus_client::Collector));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Collector;

impl collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let metrics = Strata::metrics();
        for number in metrics.numbers() {
            let Some(value) = number.value else { continue };
            let (unit, end) = match number.unit {
                Unit::Bytes => (Some(Told::Bytes), "_bytes"),
                Unit::Ratio => (Some(Told::Other("ratio".to_owned())), "_ratio"),
                _ => (None, ""),
            };
            // The unit, and what marks a counter, are added to the name again.
            let name = number.name.trim_end_matches("_total").trim_end_matches(end);
            let kind = if number.only_grows { MetricType::Counter } else { MetricType::Gauge };
            let place = encoder.encode_descriptor(name, number.help, unit.as_ref(), kind)?;
            match (number.only_grows, number.unit) {
                (true, _) => ConstCounter::new(value as u64).encode(place)?,
                (false, Unit::Ratio) => ConstGauge::new(value as f64 / 100.0).encode(place)?,
                (false, _) => ConstGauge::new(value as i64).encode(place)?,
            }
        }
        scopes(&mut encoder)?;
        let (help, unit) = ("Physical memory of the process, by what it is held for.", Told::Bytes);
        let gauge = MetricType::Gauge;
        let mut place = encoder.encode_descriptor("strata_resident", help, Some(&unit), gauge)?;
        for (row, bytes) in metrics.explanation().into_iter().flat_map(|it| it.rows()) {
            let labels = [("held_for", row)];
            ConstGauge::new(bytes as i64).encode(place.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The families with a sample for each scope, if there is any.
fn scopes(encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let scopes = || Strata::profile_scopes().map(|scope| (scope, Metrics::of_scope(scope)));
    let families = scopes().next().map(|(_, numbers)| numbers);
    for (at, family) in families.iter().flatten().enumerate() {
        let name = family.name.trim_end_matches("_total").trim_end_matches("_bytes");
        let kind = if family.only_grows { MetricType::Counter } else { MetricType::Gauge };
        let mut place = encoder.encode_descriptor(name, family.help, Some(&Told::Bytes), kind)?;
        for (scope, numbers) in scopes() {
            let labels = [("key", scope.key()), ("value", scope.value())];
            let (value, place) = (numbers[at].value.unwrap_or(0), place.encode_family(&labels)?);
            match family.only_grows {
                true => ConstCounter::new(value as u64).encode(place)?,
                false => ConstGauge::new(value as i64).encode(place)?,
            }
        }
    }
    Ok(())
}
