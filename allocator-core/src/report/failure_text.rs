//! The reports of a request that was refused, and of the soft limit: what it was, the limits, the
//! table of `explain.rs`, and the stacks with most memory in use.

use core::fmt::{self, Display, Formatter, Write as _};

use crate::base::own_stack;
use crate::reclaim::failure::{self, Failure};
use crate::reclaim::limit::Exceeded;
use crate::report::explain;
use crate::report::largest_stacks::LargestStacks;
use crate::report::lines::Lines;

/// Has the report written, from the start of the process on. The linker's table of such functions
/// works alike in programs and in the C library.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    failure::report_with(print);
}

fn print(failure: &Failure) {
    let _ = own_stack::run(|| write!(Lines::new(""), "strata: {failure}"));
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Failure { size, committed_bytes, hard_limit_bytes } = self;
        write!(f, "no memory for a block of {size} bytes: ")?;
        if self.is_at_hard_limit() {
            write!(f, "the hard limit is {hard_limit_bytes}, and ")?;
        } else {
            write!(f, "the system has none; ")?;
        }
        writeln!(f, "{committed_bytes} bytes are committed")?;
        write!(f, "{}{LargestStacks}", explain::read())
    }
}

impl Display for Exceeded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Exceeded { committed_bytes, limit_bytes, hard_limit_bytes } = self;
        write!(f, "the limit is {limit_bytes}, and {committed_bytes} bytes are committed")?;
        if *hard_limit_bytes != 0 {
            write!(f, "; the hard limit is {hard_limit_bytes}")?;
        }
        write!(f, "\n{}{LargestStacks}", explain::read())
    }
}
