//! The flow of blocks between spans and one thread: bytes that left spans for the
//! thread, less those that went back. The thread counts without atomics, and
//! reports the sum to [`usage`] when it reaches 32 KiB in either direction, and
//! when the thread flushes all that it caches.

use crate::pages::usage;

/// Bytes of flow at which it is reported.
const REPORT: usize = 32 << 10;

/// \[OWNER-ONLY\] The flow of one thread.
pub(super) struct Flow {
    /// Bytes that left spans, less those that went back, since the last report.
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

    /// Bytes counted since the last report.
    pub(super) fn unreported(&self) -> isize {
        self.bytes
    }

    #[inline]
    fn count(&mut self, bytes: isize) {
        self.bytes += bytes;
        if self.bytes.unsigned_abs() >= REPORT {
            self.report();
        }
    }

    /// Reports what was counted since the last report.
    pub(super) fn report(&mut self) {
        let bytes = core::mem::take(&mut self.bytes);
        if bytes >= 0 {
            usage::went_out(bytes.unsigned_abs());
        } else {
            usage::came_back(bytes.unsigned_abs());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_in_either_direction_is_reported() {
        let mut flow = Flow::new();
        flow.leave(REPORT - 1);
        flow.come_back(1);
        assert_eq!(flow.unreported(), REPORT.cast_signed() - 2);
        flow.leave(2);
        assert_eq!(flow.unreported(), 0);
        flow.come_back(REPORT - 1);
        assert_eq!(flow.unreported(), 1 - REPORT.cast_signed());
        flow.come_back(1);
        assert_eq!(flow.unreported(), 0);
        flow.leave(100);
        flow.report();
        assert_eq!(flow.unreported(), 0);
    }
}
