//! One run of a probe, and the lines that it prints.

use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::thread;
use std::time::Duration;

use crate::procfs;

/// A line of a probe's output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told<'a> {
    /// A reading of this name, in KiB.
    Reading(&'a str, u64),
    /// The probe starts to sleep; the last reading follows.
    Idle,
}

impl<'a> Told<'a> {
    /// Parses a line: `NAME KIB` or `idle`.
    pub fn parse(line: &'a str) -> Option<Told<'a>> {
        match line.split_once(' ') {
            Some((name, kib)) => Some(Told::Reading(name, kib.parse().ok()?)),
            None => (line == "idle").then_some(Told::Idle),
        }
    }

    /// Prints the line without allocating, unlike `println`.
    pub(super) fn print(self) {
        // SAFETY: standard output is open, and is not closed here.
        let mut out = ManuallyDrop::new(unsafe { File::from_raw_fd(1) });
        let written = match self {
            Told::Reading(name, kib) => writeln!(out, "{name} {kib}"),
            Told::Idle => out.write_all(b"idle\n"),
        };
        written.expect("writing to standard output");
    }
}

/// One run of a probe.
pub(super) struct Run<'a> {
    /// Factor on its counts.
    pub(super) scale: f64,
    /// How long it sleeps.
    pub(super) idle: Duration,
    pub(super) tell: &'a dyn Fn(Told<'static>),
}

impl Run<'_> {
    /// `n` scaled, at least 1.
    pub(super) fn scaled(&self, n: usize) -> usize {
        ((n as f64 * self.scale).round() as usize).max(1)
    }

    /// Reads the resident memory, minus the probe's own bytes.
    pub(super) fn read(&self, name: &'static str, own: u64) {
        let resident = procfs::own_resident_bytes().expect("reading smaps_rollup");
        (self.tell)(Told::Reading(name, resident.saturating_sub(own) >> 10));
    }

    pub(super) fn sleep(&self) {
        (self.tell)(Told::Idle);
        thread::sleep(self.idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed() {
        assert_eq!(Told::parse("peak 42"), Some(Told::Reading("peak", 42)));
        assert_eq!(Told::parse("idle"), Some(Told::Idle));
        assert_eq!(Told::parse("peak"), None);
        assert_eq!(Told::parse("peak x"), None);
        assert_eq!(Told::parse(""), None);
    }
}
