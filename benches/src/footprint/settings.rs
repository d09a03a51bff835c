//! How probes are run.

use std::time::Duration;

/// How probes are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Factor on their counts.
    pub(crate) scale: f64,
    /// How long they sleep.
    pub(crate) idle: Duration,
    /// How long they may be silent.
    pub(crate) limit: Duration,
}
