//! Ends a process that misused its memory: it writes one line to standard error that
//! says what was wrong with which pointer, and aborts. The line is built in a buffer
//! on the stack; nothing here allocates or unwinds.
//!
//! The program may handle the abort, and its handler may allocate, fork, or jump back
//! into the program. So nothing is reported while a lock is held or a cache is half
//! changed: what is found there is noted, has no effect, and is reported when the
//! thread leaves its slow path.

use core::fmt::{self, Write};
use core::mem;

use crate::base::lock::Lock;
use crate::base::sync::Guarded;

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
    /// Bytes behind it or before it were written.
    Damaged,
    /// It was written while it was free.
    AfterFree,
    /// It was made by another family of functions than frees it.
    Family,
}

/// Bytes of a line with its newline: a little more than the longest report of a misuse,
/// which may be written where a thread has used most of its stack.
const LINE: usize = 216;

/// A line for standard error, cut off if it is too long.
pub(crate) struct Line {
    text: [u8; LINE],
    len: usize,
}

const START: &[u8] = b"strata: ";

impl Line {
    /// A line that begins with the name of the allocator.
    pub(crate) fn new() -> Self {
        let mut line = Line { text: [0; LINE], len: 0 };
        line.push(START);
        line
    }

    /// Appends text, as far as it leaves room for the newline.
    pub(crate) fn push(&mut self, text: &[u8]) {
        let n = text.len().min(self.text.len() - 1 - self.len);
        self.text[self.len..self.len + n].copy_from_slice(&text[..n]);
        self.len += n;
    }

    /// Appends a number. Formatting by the standard library needs several times the stack
    /// that this does.
    #[inline(never)]
    fn push_number(&mut self, number: usize, base: usize) {
        let mut digits = [0; usize::BITS as usize / 3];
        let (mut first, mut rest) = (digits.len(), number);
        while first == digits.len() || rest != 0 {
            first -= 1;
            digits[first] = b"0123456789abcdef"[rest % base];
            rest /= base;
        }
        self.push(&digits[first..]);
    }

    /// The text so far.
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
#[derive(Clone, Copy)]
pub(crate) struct Location {
    /// First byte of its span (or of its mapping), 0 if there is none.
    pub(crate) span: usize,
    /// Bytes of a block there, 0 if unknown.
    pub(crate) block: usize,
}

/// What was wrong with which pointer.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    pub(crate) what: Misuse,
    pub(crate) ptr: *mut u8,
    pub(crate) location: Location,
    /// Bytes of the layout that the caller named, 0 if none.
    pub(crate) size: usize,
}

impl Report {
    /// Writes one line on standard error, and aborts. The caller holds no lock, and the
    /// thread's cache is in its place.
    #[cold]
    #[inline(never)]
    pub(crate) fn abort(&self) -> ! {
        self.print();
        crate::sys::abort()
    }

    /// Writes one line on standard error.
    #[inline(never)]
    pub(crate) fn print(&self) {
        let mut line = Line::new();
        // Each begins with what glibc says in such a case, which people search for.
        let text: &[u8] = match self.what {
            Misuse::Foreign => {
                b"free(): invalid pointer, not from this allocator, or given back already"
            }
            Misuse::Interior => b"free(): invalid pointer, into the middle of a block",
            Misuse::DoubleFree => b"free(): double free detected, the block is free already",
            Misuse::Layout => {
                b"free(): invalid size, not that of the layout that the block was made with"
            }
            Misuse::Damaged => {
                b"free(): corrupted block, written beyond its end or before its start"
            }
            Misuse::AfterFree => b"malloc(): corrupted free block, written after it was freed",
            Misuse::Family => b"free(): mismatched function, another made the block than frees it",
        };
        line.push(text);
        line.push(b": pointer 0x");
        line.push_number(self.ptr.addr(), 16);
        let Location { span, block } = self.location;
        if span != 0 {
            line.push(b", span 0x");
            line.push_number(span, 16);
            line.push(b", class of ");
            line.push_number(block, 10);
            line.push(b" bytes");
        }
        if self.size != 0 {
            line.push(b", layout of ");
            line.push_number(self.size, 10);
            line.push(b" bytes");
        }
        line.print();
    }

    /// Notes the misuse, to be reported by [`report_noted`]. The caller may hold locks. If
    /// one is noted already, this one is not reported.
    #[cold]
    pub(crate) fn note(self) {
        let Some(held) = NOTED.lock.try_lock() else { return };
        // SAFETY: the lock is held.
        NOTED.report.with(|report| unsafe { *report = Some(self) });
        // Held until the report.
        mem::forget(held);
    }
}

/// The misuse that the thread that holds the lock found, and has yet to report.
struct Noted {
    lock: Lock,
    report: Guarded<Option<Report>>,
}

// SAFETY: the report is touched only under the lock.
unsafe impl Sync for Noted {}

static NOTED: Noted = Noted { lock: Lock::new(), report: Guarded::new(None) };

/// If the calling thread noted a misuse, reports it and aborts. The caller holds no lock,
/// and the thread's cache is in its place.
#[inline]
pub(crate) fn report_noted() {
    if NOTED.lock.is_held_here() {
        report_ours();
    }
}

#[cold]
fn report_ours() {
    // SAFETY: this thread holds the lock. It is nothing yet if a signal handler interrupts
    // the thread that notes it.
    if let Some(report) = NOTED.report.with(|report| unsafe { (*report).take() }) {
        NOTED.lock.unlock();
        report.abort();
    }
}

/// In the child of a fork: what another thread noted is not reported here.
pub(crate) fn after_fork() {
    if NOTED.lock.is_orphaned() {
        NOTED.lock.force_unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_usual() {
        for (number, base, text) in [
            (0, 10, "0"),
            (7, 10, "7"),
            (32_768, 10, "32768"),
            (usize::MAX, 10, "18446744073709551615"),
            (0x7fff_12ab_cd00, 16, "7fff12abcd00"),
            (usize::MAX, 16, "ffffffffffffffff"),
        ] {
            let mut line = Line::new();
            line.push_number(number, base);
            assert_eq!(line.text().strip_prefix(START), Some(text.as_bytes()));
        }
    }
}
