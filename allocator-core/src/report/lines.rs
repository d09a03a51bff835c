//! Where reports go: to standard error, a line at a time, and to a file if the options name one.

use core::fmt::{self, Display, Write};

use crate::base::misuse::Line;
use crate::base::ordering;
use crate::base::sync::AtomicUsize;
use crate::process::named_file::{LOG, NamedFile};
use crate::sys::{self, NewFile, Stderr};

/// Bytes of reports that standard error did not take, and that nobody was told of.
static LOST: AtomicUsize = AtomicUsize::new(0);

/// A report. A line is written when it is complete.
pub(super) struct Lines {
    text: [u8; 256],
    len: usize,
    /// What each line begins with.
    start: &'static str,
    /// Whether nothing of a line was written yet.
    is_fresh: bool,
    stderr: Stderr,
    log: Option<NewFile>,
}

impl Lines {
    pub(super) fn new(start: &'static str) -> Self {
        let stderr = Stderr::new();
        let mut lines =
            Lines { text: [0; 256], len: 0, start: "", is_fresh: true, stderr, log: None };
        let lost = LOST.swap(0, ordering::report_lost());
        if lost != 0 {
            let _ = writeln!(lines, "strata: {lost} bytes of reports before this one were lost");
            // If this is lost, too, the next one says so.
            let untold = if lines.stderr.lost() == 0 { 0 } else { lost };
            LOST.fetch_add(untold, ordering::report_lost());
        }
        lines.open_log();
        lines.start = start;
        lines
    }

    /// Opens the file, and says there whose report follows: several processes may append to it.
    fn open_log(&mut self) {
        match LOG.path().map(|path| NewFile::append(path.as_c_str())) {
            Some(Ok(mut file)) => {
                let mut head = Line::new();
                let _ = writeln!(head, "process {}", sys::process_id());
                file.write(head.text());
                self.log = Some(file);
            }
            Some(Err(error)) => self.refuse("log_file", &LOG, error),
            None => {}
        }
    }

    /// Says that a file could not be written.
    pub(super) fn refuse(&mut self, option: &str, file: &NamedFile, error: i32) {
        let path = file.path();
        let path = path.as_ref().map_or(c"", |path| path.as_c_str()).to_bytes();
        let path = core::str::from_utf8(path).unwrap_or("the file");
        let _ = writeln!(self, "strata: {option}: {path}: {}", Reason(error));
    }

    fn push(&mut self, byte: u8) {
        self.text[self.len] = byte;
        self.len += 1;
        if byte == b'\n' || self.len == self.text.len() {
            self.stderr.write(&self.text[..self.len]);
            if let Some(log) = &mut self.log {
                log.write(&self.text[..self.len]);
            }
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

impl Drop for Lines {
    fn drop(&mut self) {
        self.start = "";
        if let Some(Err(error)) = self.log.take().map(NewFile::finish) {
            self.refuse("log_file", &LOG, error);
        }
        LOST.fetch_add(self.stderr.lost(), ordering::report_lost());
    }
}

/// Why a file could not be written, as in C's `errno`.
struct Reason(i32);

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match sys::error_text(self.0) {
            Some(text) => f.write_str(text),
            None => write!(f, "error {}", self.0),
        }
    }
}
