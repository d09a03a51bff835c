//! Ending the process, and saying how to repeat what it did. This works in the child of
//! a fork and in a signal handler: no lock, and no handler at the end of the process.

use std::fmt::Arguments;
use std::sync::atomic::{AtomicPtr, Ordering};

static CONTEXT: AtomicPtr<String> = AtomicPtr::new(std::ptr::null_mut());

/// What a report says of the run: a seed, a file.
pub fn set_context(text: String) {
    // Whoever reports may be reading the old one.
    CONTEXT.store(Box::leak(Box::new(text)), Ordering::Release);
}

/// Reports what is wrong, and ends the process with status 1.
pub fn report(what: Arguments<'_>) -> ! {
    let context = CONTEXT.load(Ordering::Acquire);
    // SAFETY: it was leaked.
    let context = unsafe { context.as_ref() }.map_or("", String::as_str);
    say(format_args!("VIOLATION: {what}\nin {context}"));
    // SAFETY: ends the process.
    unsafe { libc::_exit(1) }
}

/// Writes a line to standard error, without its lock.
pub fn say(what: Arguments<'_>) {
    let line = format!("{what}\n");
    // SAFETY: the bytes are those of the line.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}

/// Reports a violation.
#[macro_export]
macro_rules! violated {
    ($($what:tt)*) => { $crate::violation::report(format_args!($($what)*)) };
}
