//! The flow of blocks between spans and one thread: what left spans for the
//! thread, less what went back, reported to [`usage`] a few times a MiB.

use crate::pages::usage;

/// Bytes of flow that are reported at the latest.
const REPORT: usize = 32 << 10;

/// \[OWNER-ONLY\] One thread's.
pub(super) struct Flow {
    /// Bytes that left spans, less those that went back, not reported yet.
    bytes: isize,
}

impl Flow {
    pub(crate) const fn new() -> Self {
        Flow { bytes: 0 }
    }

    /// Counts bytes of blocks that left spans.
    #[inline]
    pub(super) fn leave(&mut self, bytes: usize) {
        self.count(bytes.cast_signed());
    }

    /// Counts bytes of blocks that went back to spans.
    #[inline]
    pub(super) fn come_back(&mut self, bytes: usize) {
        self.count(-bytes.cast_signed());
    }

    #[inline]
    fn count(&mut self, bytes: isize) {
        self.bytes += bytes;
        if self.bytes.unsigned_abs() >= REPORT {
            self.report();
        }
    }

    /// Reports what was counted.
    pub(super) fn report(&mut self) {
        let bytes = core::mem::take(&mut self.bytes);
        if bytes >= 0 {
            usage::went_out(bytes.unsigned_abs());
        } else {
            usage::came_back(bytes.unsigned_abs());
        }
    }
}
