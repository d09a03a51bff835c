//! Reports in handlers of signals. A handler may interrupt anything, the allocator included, in any
//! thread: so all is written on a stack for handlers alone, without allocating, without waiting for
//! a lock, and without names of functions. What cannot be had is said in a line.

use core::fmt::Write;

use crate::base::misuse::Line;
use crate::base::own_stack::FOR_SIGNALS;
use crate::base::sync;
use crate::process::handlers::{self, Occasion};
use crate::process::named_file::PROFILE;
use crate::process::options;
use crate::report::explain;
use crate::report::heap_profile;
use crate::report::largest_stacks::LargestStacks;
use crate::report::lines::Lines;
use crate::report::profile_text;
use crate::report::stats;

/// Has the reports written, from the start of the process on.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    handlers::report_with(report);
}

/// Milliseconds that the end of the process waits for another thread's report.
const PATIENCE: usize = 500;

fn report(occasion: Occasion) {
    let done = match occasion {
        Occasion::Asked => FOR_SIGNALS.try_run(answer),
        Occasion::Ending => (0..PATIENCE).find_map(|turn| {
            if turn != 0 {
                sync::nap();
            }
            FOR_SIGNALS.try_run(end)
        }),
    };
    if done.is_none() {
        let mut line = Line::new();
        let _ = line.write_str("no report on this signal: another thread is writing one");
        line.print();
    }
}

/// Somebody asks what memory is used for.
fn answer() {
    let mut lines = Lines::new("");
    let _ = write!(lines, "strata: {}{LargestStacks}", explain::read_at_once());
    let Some(path) = PROFILE.path() else { return };
    if heap_profile::rate().is_none() && heap_profile::is_empty() {
        let _ = lines.write_str("strata: profile_file: the heap profile is off, and has nothing\n");
    } else if let Err(error) = profile_text::write(path.as_c_str()) {
        lines.refuse("profile_file", &PROFILE, error);
    }
}

/// What is printed at the exit is printed now.
fn end() {
    if options::stats_at_exit() {
        let _ = write!(Lines::new("strata: "), "{}", stats::read());
    }
    if options::explain_at_exit() {
        let _ = write!(Lines::new(""), "strata: {}", explain::read_at_once());
    }
}
