//! The report of a request that was refused: what it was, the limit, the table of `explain.rs`, and
//! the stacks with most memory in use, as addresses: nothing here looks up names.

use core::fmt::{self, Display, Formatter, Write as _};

use crate::base::own_stack;
use crate::reclaim::failure::{self, Failure};
use crate::report::explain;
use crate::report::heap_profile::{self, ProfiledStack};
use crate::report::lines::Lines;

/// Most stacks of a report.
const STACKS: usize = 10;

/// Most functions of a stack.
const FUNCTIONS: usize = 20;

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

unsafe extern "C" {
    /// The start of the object that the allocator is linked into: the linker's.
    #[link_name = "__ehdr_start"]
    static OBJECT: u8;
}

/// The stacks with most bytes in use, the largest first.
fn largest() -> [Option<ProfiledStack>; STACKS] {
    let mut found: [Option<ProfiledStack>; STACKS] = [None; STACKS];
    for stack in heap_profile::stacks() {
        let bytes = |it: &ProfiledStack| it.in_use().bytes;
        let mut next = Some(stack).filter(|it| bytes(it) != 0);
        for place in &mut found {
            if next.as_ref().map_or(0, bytes) > place.as_ref().map_or(0, bytes) {
                core::mem::swap(place, &mut next);
            }
        }
    }
    found
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
        write!(f, "{}", explain::read())?;
        for (at, stack) in largest().into_iter().flatten().enumerate() {
            if at == 0 {
                let base = (&raw const OBJECT).addr();
                writeln!(f, "Largest in use, by the profile; this object is at {base:#x}:")?;
            }
            let used = stack.in_use();
            write!(f, "  {} bytes in {} blocks:", used.bytes, used.blocks)?;
            for frame in stack.frames().iter().take(FUNCTIONS) {
                write!(f, " {frame:#x}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
