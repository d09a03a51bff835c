//! The stacks with most memory in use, as addresses: nothing here looks up names.

use core::fmt::{self, Display, Formatter};

use crate::report::heap_profile::{self, ProfiledStack};

/// Most stacks that are shown.
const STACKS: usize = 10;

/// Most functions of a stack.
const FUNCTIONS: usize = 20;

unsafe extern "C" {
    /// The start of the object that the allocator is linked into: the linker's.
    #[link_name = "__ehdr_start"]
    static OBJECT: u8;
}

/// The stacks with most bytes in use, the largest first. Nothing if the profile has none.
pub(super) struct LargestStacks;

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

impl Display for LargestStacks {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, stack) in largest().into_iter().flatten().enumerate() {
            if at == 0 {
                let base = (&raw const OBJECT).addr();
                writeln!(f, "Largest in use, by the profile; this object is at {base:#x}:")?;
            }
            let used = stack.in_use();
            write!(f, "  {} bytes in {} blocks", used.bytes, used.blocks)?;
            if let Some(scope) = stack.scope() {
                write!(f, " of {scope}")?;
            }
            f.write_str(":")?;
            for frame in stack.frames().iter().take(FUNCTIONS) {
                write!(f, " {frame:#x}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
