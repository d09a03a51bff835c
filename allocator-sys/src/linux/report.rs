//! Error output and abnormal termination.

use super::arch;
use super::signal::{self, Signal};
use super::syscall::{Errno, syscall};
use core::ptr;

/// Milliseconds that a report waits for whoever reads standard error.
const PATIENCE_MS: i64 = 100;

/// A pipe that takes anything takes so many bytes at once.
const PIECE: usize = 4096;

/// Standard error. Its reader may have stopped, or it may be gone: who writes here may be anywhere
/// in the program, so it waits for a moment in sum, and what was not written by then is lost.
pub struct Stderr {
    patience: libc::timespec,
    lost: usize,
}

impl Stderr {
    /// A report begins.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is the start of a report, not a value")]
    pub fn new() -> Self {
        let patience = libc::timespec { tv_sec: 0, tv_nsec: PATIENCE_MS * 1_000_000 };
        Stderr { patience, lost: 0 }
    }

    /// Writes `text`. After a part that was lost, nothing more is written. Not a cancellation
    /// point.
    pub fn write(&mut self, text: &[u8]) {
        let mut rest = text;
        while !rest.is_empty() && self.lost == 0 {
            let piece = rest.get(..PIECE).unwrap_or(rest);
            match self.takes_more().then(|| write_some(piece)).flatten() {
                Some(written) => rest = rest.get(written..).unwrap_or_default(),
                None => break,
            }
        }
        self.lost += rest.len();
    }

    /// Bytes that were not written.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.lost
    }

    /// Waits until a write would not. `false`: nobody reads, or not in time. A pipe without a
    /// reader would raise a signal.
    fn takes_more(&mut self) -> bool {
        let mut asked = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
        let none = ptr::null::<u64>().addr();
        loop {
            let asked_at = (&raw mut asked).expose_provenance();
            let patience = (&raw mut self.patience).expose_provenance();
            let args = [asked_at, 1, patience, none, 0];
            // SAFETY: the kernel writes to the descriptor's record, and what is left of the time.
            match unsafe { syscall(libc::SYS_ppoll, args) } {
                Ok(0) => return false,
                Ok(_) => return asked.revents & (libc::POLLOUT | libc::POLLERR) == libc::POLLOUT,
                Err(Errno(libc::EINTR)) => {}
                // A filter denies the question.
                Err(_) => return true,
            }
        }
    }
}

/// Writes `text` to standard error, as far as possible, as a [`Stderr`] of its own. Not a
/// cancellation point.
pub fn write_stderr(text: &[u8]) {
    Stderr::new().write(text);
}

/// Ends the process with `SIGABRT`. As with C's `abort`, a handler of the
/// program for that signal runs first, on this thread, even if the signal is
/// blocked; if it returns, the process ends all the same. No lock is taken, and
/// no function of the C library called.
pub fn abort() -> ! {
    signal::raise(libc::SIGABRT);
    // It was ignored, or its handler returned.
    signal::end_by(Signal::Abrt);
    // Another thread set a handler since, or these calls are denied.
    signal::raise(libc::SIGKILL);
    // The first process of a container cannot be killed from within.
    arch::trap()
}

/// Number of bytes that one write took: 0 if it was interrupted by a signal,
/// `None` if nothing more can be written.
fn write_some(text: &[u8]) -> Option<usize> {
    let args = [libc::STDERR_FILENO as usize, text.as_ptr().expose_provenance(), text.len()];
    // SAFETY: the kernel reads at most `text.len()` bytes.
    match unsafe { syscall(libc::SYS_write, args) } {
        Ok(0) => None,
        Ok(written) => Some(written),
        Err(Errno(error)) => (error == libc::EINTR).then_some(0),
    }
}
