//! One run of a row.

use std::mem::MaybeUninit;
use std::time::Duration;

use crate::procfs;

/// How much a row does.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Factor on its counts.
    pub scale: f64,
    /// How long it watches the memory of threads that do nothing.
    pub watch: Duration,
}

/// The figures of a row, in its order; none for what did not happen.
pub(super) type Values = Vec<Option<f64>>;

impl Run {
    /// `n` scaled, at least 1.
    pub(super) fn scaled(&self, n: usize) -> usize {
        ((n as f64 * self.scale).round() as usize).max(1)
    }
}

/// What is resident, in bytes; does not allocate.
pub(super) fn resident() -> f64 {
    procfs::own_resident_bytes().expect("reading smaps_rollup") as f64
}

/// The most that was resident, in bytes.
pub(super) fn peak() -> f64 {
    procfs::peak_resident_bytes(std::process::id()).expect("reading status") as f64
}

/// Page faults of this process that took no input.
pub(super) fn faults() -> f64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is writable, and all zeros are a valid value.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_minflt as f64
}

pub(super) fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}
