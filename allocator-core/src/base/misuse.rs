//! The end of a process that misused its memory: one clear line, then abort.
//! Nothing here allocates or unwinds.

use core::fmt::{self, Write};

/// What was wrong with a pointer given back to the allocator.
#[derive(Clone, Copy)]
pub(crate) enum Misuse {
    /// It is not ours, or no longer.
    Foreign,
    /// It points into a block, not at its start.
    Interior,
    /// It is free already.
    DoubleFree,
    /// The layout given is not the one that the block was made with.
    Layout,
}

/// A line for standard error, cut off where it gets too long.
pub(crate) struct Line {
    text: [u8; 256],
    len: usize,
}

const START: &[u8] = b"strata: ";

impl Line {
    /// A line that names the allocator.
    pub(crate) fn new() -> Self {
        let mut line = Line { text: [0; 256], len: 0 };
        line.push(START);
        line
    }

    /// Adds text, leaving room for the end of the line.
    pub(crate) fn push(&mut self, text: &[u8]) {
        let n = text.len().min(self.text.len() - 1 - self.len);
        self.text[self.len..self.len + n].copy_from_slice(&text[..n]);
        self.len += n;
    }

    /// What is on it so far.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// Writes it out.
    pub(crate) fn print(&mut self) {
        self.text[self.len] = b'\n';
        crate::sys::write_stderr(&self.text[..=self.len]);
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Where a pointer stands, as far as the allocator can tell.
pub(crate) struct Location {
    /// First byte of its span (or of its mapping), 0 if there is none.
    pub(crate) span: usize,
    /// Bytes of a block there, 0 if there is none.
    pub(crate) block: usize,
}

/// Says what happened to `ptr` in one line on standard error, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn abort(what: Misuse, ptr: *mut u8, location: &Location, size: usize) -> ! {
    let mut line = Line::new();
    let text = match what {
        Misuse::Foreign => "freed a pointer that is not from this allocator, or was given back",
        Misuse::Interior => "freed a pointer into the middle of a block",
        Misuse::DoubleFree => "freed a block twice",
        Misuse::Layout => "freed a block with a layout that it was not made with",
    };
    let _ = write!(line, "{text}: pointer {ptr:p}");
    if location.span != 0 {
        let _ = write!(line, ", span {:#x}, class of {} bytes", location.span, location.block);
    }
    if size != 0 {
        let _ = write!(line, ", layout of {size} bytes");
    }
    line.print();
    crate::sys::abort()
}
