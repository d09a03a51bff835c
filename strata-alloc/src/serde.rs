//! All numbers as data that can be serialized.

use ::serde::ser::{SerializeMap as _, SerializeSeq as _};
use ::serde::{Serialize, Serializer};

use allocator_core::{ClassStats, Explanation, Metrics, Scope, Stats, Strata, Unit};

/// Numbers that serialize as a map, with the names and values that [`Metrics::json`] has.
///
/// ```
/// use strata_alloc::{Strata, serde::Numbers};
///
/// let numbers = serde_json::to_value(Numbers::from(Strata::metrics()))?;
/// assert!(numbers["live_bytes"].is_u64());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Numbers(Metrics);

impl From<Metrics> for Numbers {
    fn from(metrics: Metrics) -> Self {
        Numbers(metrics)
    }
}

impl From<Stats> for Numbers {
    /// Numbers without what is resident: reading them makes no system call.
    fn from(stats: Stats) -> Self {
        Numbers(stats.into())
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", env!("CARGO_PKG_VERSION"))?;
        for number in self.0.numbers() {
            map.serialize_key(number.name.trim_start_matches("strata_"))?;
            match number.unit {
                Unit::Ratio => {
                    map.serialize_value(&number.value.map(|percent| percent as f64 / 100.0))?;
                }
                _ => map.serialize_value(&number.value)?,
            }
        }
        map.serialize_entry("classes", &Classes(self.0.stats().classes()))?;
        map.serialize_entry("scopes", &Scopes)?;
        map.serialize_entry("resident", &self.0.explanation().map(Resident))?;
        map.end()
    }
}

/// The size classes that have blocks.
struct Classes<'a>(&'a [ClassStats]);

impl Serialize for Classes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for class in self.0.iter().filter(|it| it.live_blocks() + it.cached_blocks() != 0) {
            sequence.serialize_element(&Class(class))?;
        }
        sequence.end()
    }
}

struct Class<'a>(&'a ClassStats);

impl Serialize for Class<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("block_bytes", &self.0.block_bytes())?;
        map.serialize_entry("live_blocks", &self.0.live_blocks())?;
        map.serialize_entry("cached_blocks", &self.0.cached_blocks())?;
        map.end()
    }
}

/// The scopes that were sampled.
struct Scopes;

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for scope in Strata::profile_scopes() {
            sequence.serialize_element(&InScope(scope))?;
        }
        sequence.end()
    }
}

struct InScope(Scope);

impl Serialize for InScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (live, all) = (self.0.in_use(), self.0.allocated());
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("key", self.0.key())?;
        map.serialize_entry("value", self.0.value())?;
        map.serialize_entry("live_blocks", &live.blocks)?;
        map.serialize_entry("live_bytes", &live.bytes)?;
        map.serialize_entry("allocated_blocks", &all.blocks)?;
        map.serialize_entry("allocated_bytes", &all.bytes)?;
        map.end()
    }
}

/// The rows of what is resident, and their sum.
struct Resident<'a>(&'a Explanation);

impl Serialize for Resident<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("all", &self.0.resident_bytes())?;
        for (row, bytes) in self.0.rows() {
            map.serialize_entry(row, &bytes)?;
        }
        map.end()
    }
}
