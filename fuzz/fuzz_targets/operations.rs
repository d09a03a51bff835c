//! Inputs of the fuzzer become operations. All inputs of a process run on one heap, so each
//! is written to a history first: `replay` runs them again, in order.
#![no_main]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use torture::history::History;
use torture::lanes::Lanes;
use torture::operation::BYTES;
use torture::world::{Settings, World};
use torture::{subject, violation};

/// Operations so far, for the line at the end.
static OPERATIONS: AtomicU64 = AtomicU64::new(0);

struct Run {
    history: History,
    lanes: Lanes,
}

/// The environment variable with the name of the history.
const HISTORY: &str = "TORTURE_HISTORY";

extern "C" fn at_exit() {
    violation::say(format_args!("operations: {}", OPERATIONS.load(Ordering::Relaxed)));
}

static RUN: LazyLock<Mutex<Run>> = LazyLock::new(|| {
    let path = std::env::var_os(HISTORY).map(PathBuf::from).unwrap_or_else(|| {
        std::env::temp_dir().join(format!("torture-history-{}", std::process::id()))
    });
    violation::set_context(format!("this process\nagain with: replay {}", path.display()));
    let history = History::create(&path).expect("a file for the history");
    // SAFETY: the function only writes a line.
    unsafe { libc::atexit(at_exit) };
    let world = World::new(subject::strata(), Settings::default());
    Mutex::new(Run { history, lanes: Lanes::new(world) })
});

fuzz_target!(|input: &[u8]| {
    let mut run = RUN.lock().unwrap();
    run.history.add(input).expect("room for the history");
    OPERATIONS.fetch_add((input.len() / BYTES) as u64, Ordering::Relaxed);
    run.lanes.run(input);
});
