//! Ends a process that misused its memory: it writes one line to standard error that
//! says what was wrong with which pointer, and aborts. The line is built in a buffer
//! on the stack; nothing here allocates or unwinds.

use core::fmt::{self, Write};

/// What was wrong with a pointer given back to the allocator.
#[derive(Clone, Copy)]
pub(crate) enum Misuse {
    /// It is not ours, or no longer ours.
    Foreign,
    /// It points into a block, not at its start.
    Interior,
    /// It is free already.
    DoubleFree,
    /// The layout is not the one that the block was made with.
    Layout,
}

/// A line for standard error, cut off if it is too long.
pub(crate) struct Line {
    text: [u8; 256],
    len: usize,
}

const START: &[u8] = b"strata: ";

impl Line {
    /// A line that begins with the name of the allocator.
    pub(crate) fn new() -> Self {
        let mut line = Line { text: [0; 256], len: 0 };
        line.push(START);
        line
    }

    /// Appends text, as far as it leaves room for the newline.
    pub(crate) fn push(&mut self, text: &[u8]) {
        let n = text.len().min(self.text.len() - 1 - self.len);
        self.text[self.len..self.len + n].copy_from_slice(&text[..n]);
        self.len += n;
    }

    /// The text so far.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// Writes the line to standard error.
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

/// Where a pointer points, as far as the allocator can tell.
pub(crate) struct Location {
    /// First byte of its span (or of its mapping), 0 if there is none.
    pub(crate) span: usize,
    /// Bytes of a block there, 0 if unknown.
    pub(crate) block: usize,
}

/// Reports in one line on standard error what was wrong with `ptr`, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn abort(what: Misuse, ptr: *mut u8, location: &Location, size: usize) -> ! {
    let mut line = Line::new();
    // Each begins with what glibc says in such a case, which people search for.
    let text = match what {
        Misuse::Foreign => {
            "free(): invalid pointer, not from this allocator, or given back already"
        }
        Misuse::Interior => "free(): invalid pointer, into the middle of a block",
        Misuse::DoubleFree => "free(): double free detected, the block is free already",
        Misuse::Layout => {
            "free(): invalid size, not that of the layout that the block was made with"
        }
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
