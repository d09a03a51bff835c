//! Standard error, a line at a time.

use core::fmt::{self, Write};

use crate::sys;

/// Writes to standard error when a line is complete.
pub(super) struct Lines {
    text: [u8; 256],
    len: usize,
    /// What each line begins with.
    start: &'static str,
    /// Whether nothing of a line was written yet.
    is_fresh: bool,
}

impl Lines {
    pub(super) fn new(start: &'static str) -> Self {
        Lines { text: [0; 256], len: 0, start, is_fresh: true }
    }

    fn push(&mut self, byte: u8) {
        self.text[self.len] = byte;
        self.len += 1;
        if byte == b'\n' || self.len == self.text.len() {
            sys::write_stderr(&self.text[..self.len]);
            self.len = 0;
        }
    }
}

impl Write for Lines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if core::mem::replace(&mut self.is_fresh, byte == b'\n') {
                self.start.bytes().for_each(|byte| self.push(byte));
            }
            self.push(byte);
        }
        Ok(())
    }
}
