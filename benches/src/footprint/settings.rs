//! Parameters of the probes.

use std::time::Duration;

/// Parameters of the probes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Factor on their counts.
    pub(crate) scale: f64,
    /// How long they sleep.
    pub(crate) idle: Duration,
    /// Time limit for each line of output.
    pub(crate) limit: Duration,
}
