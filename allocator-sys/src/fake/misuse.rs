//! Reporting a violation of the contract.

use super::failure::Call;
use crate::linux;
use core::fmt::{self, Write};

/// A line of text of limited length; excess text is cut off.
struct Line {
    text: [u8; 256],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.text[self.len..];
        let taken = room.len().min(text.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        Ok(())
    }
}

/// Writes which call violated the contract, with its range and the reason, and
/// aborts.
pub(super) fn abort_on_misuse(call: Call, start: usize, size: usize, how: &str) -> ! {
    let mut line = Line { text: [0; 256], len: 0 };
    // Writing to a `Line` cannot fail.
    let _ = writeln!(
        line,
        "allocator-sys fake: misuse: {}({start:#x}, {size:#x}): {how}",
        call.name(),
    );
    linux::write_stderr(&line.text[..line.len]);
    linux::abort()
}
