//! Probes of resident memory: each brings a process into a state in which an
//! allocator may hold more memory than is live, and reads what is resident.
//!
//! All blocks come from the program's global allocator. A probe's own data is
//! mapped directly or on stacks, and reading does not allocate.

pub(crate) mod block;
mod run;

mod idle;
mod ring;
mod stream;
mod threads;

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use block::Block;
use run::Run;

pub use run::Told;

/// How long the program that only starts waits before it reads.
const STARTED: Duration = Duration::from_millis(300);
/// Live blocks that are never written to.
const UNTOUCHED: usize = 3000;
/// Their size.
const UNTOUCHED_SIZE: usize = 300_000;

/// A probe's figure, and the maximum for ours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The last reading, in MiB.
    Mib(f64),
    /// The last reading as a percentage of the first.
    Percent(f64),
}

/// A probe.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Its name on the command line.
    pub name: &'static str,
    /// Sizes, counts, and when it reads.
    pub what: &'static str,
    /// The names of its readings, in order.
    pub readings: &'static [&'static str],
    /// Whether it sleeps before the last reading.
    pub idles: bool,
    /// The target of the last reading.
    pub target: Target,
    work: fn(&Run<'_>),
}

impl Probe {
    /// Runs it in this process, and prints its readings.
    pub fn run(&self, scale: f64, idle: Duration) {
        (self.work)(&Run { scale, idle, tell: &Told::print });
    }
}

/// Every probe of this program.
pub const PROBES: &[Probe] = &[
    Probe {
        name: "start",
        what: "a program that only starts (in C: nothing else; in Rust: and allocates one block); \
               read 0.3 s later",
        readings: &["started"],
        idles: false,
        target: Target::Mib(1.6),
        work: start,
    },
    Probe {
        name: "threads",
        what: "500 threads, each with 64 blocks of 16 to 1,024 bytes, written: 16 MiB; read while \
               all are running",
        readings: &["live"],
        idles: false,
        target: Target::Mib(32.0),
        work: threads::alive,
    },
    Probe {
        name: "threads-ended",
        what: "the same threads; each frees its blocks and exits; read after 10 s of sleep",
        readings: &["live", "ended"],
        idles: true,
        target: Target::Mib(5.0),
        work: threads::ended,
    },
    Probe {
        name: "untouched",
        what: "3,000 live blocks of 300,000 bytes that are never written to; read at once",
        readings: &["live"],
        idles: false,
        target: Target::Mib(6.0),
        work: untouched,
    },
    Probe {
        name: "parked",
        what: "192 MiB in blocks of 1,000 bytes, written, by 4 threads; each frees its own in \
               random order, then all sleep; read before the frees and after 10 s of sleep",
        readings: &["peak", "after"],
        idles: true,
        target: Target::Mib(8.0),
        work: idle::parked,
    },
    Probe {
        name: "holes",
        what: "300,000 blocks of 512 to 2,048 bytes, written, by 1 thread; 19 of 20 freed at \
               random; read before the frees and after 10 s of sleep: that share of the first",
        readings: &["peak", "after"],
        idles: true,
        target: Target::Percent(35.0),
        work: idle::holes,
    },
    Probe {
        name: "handover",
        what: "20,000,000 blocks of 16 to 256 bytes, written, allocated by 1 thread and freed by \
               another, through a ring of 1,024; read at the end, both threads running",
        readings: &["end"],
        idles: false,
        target: Target::Mib(3.0),
        work: stream::handover,
    },
];

/// The probe of this name.
pub fn find(name: &str) -> Option<&'static Probe> {
    PROBES.iter().find(|probe| probe.name == name)
}

fn start(run: &Run<'_>) {
    let block = black_box(Box::new(1_u64));
    thread::sleep(STARTED);
    run.read("started", 0);
    drop(black_box(block));
}

fn untouched(run: &Run<'_>) {
    (0..run.scaled(UNTOUCHED)).for_each(|_| Block::untouched(UNTOUCHED_SIZE));
    run.read("live", 0);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn each_probe_tells_its_readings_and_when_it_sleeps() {
        for probe in PROBES {
            let told = RefCell::new(Vec::new());
            let tell = |line| told.borrow_mut().push(line);
            let run = Run { scale: 0.002, idle: Duration::from_millis(10), tell: &tell };
            (probe.work)(&run);
            let mut wanted: Vec<_> = probe.readings.iter().map(|name| Some(*name)).collect();
            if probe.idles {
                wanted.insert(wanted.len() - 1, None);
            }
            let told = told.into_inner();
            let names: Vec<_> = told
                .iter()
                .map(|line| match line {
                    Told::Reading(name, kib) => {
                        assert!(*kib > 100, "{}: {name} {kib}", probe.name);
                        Some(*name)
                    }
                    Told::Idle => None,
                })
                .collect();
            assert_eq!(names, wanted, "{}", probe.name);
        }
    }

    #[test]
    fn names_are_unique_and_each_probe_reads() {
        for (n, probe) in PROBES.iter().enumerate() {
            assert!(PROBES[n + 1..].iter().all(|other| other.name != probe.name));
            assert!(find(probe.name).is_some());
            assert!(!probe.readings.is_empty());
            let share = matches!(probe.target, Target::Percent(_));
            assert!(!share || probe.readings.len() > 1, "{}: a share of what?", probe.name);
        }
        assert!(find("nothing").is_none());
    }
}
