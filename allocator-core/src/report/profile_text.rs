//! The heap profile as text, in the form of gperftools that `go tool pprof` and `jeprof` read:
//! a line for each stack, then the mappings of the process, by which they find the names. The
//! numbers are estimates already, which the word `heapprofile` says: a reader does not scale
//! them.
//!
//! ```text
//! heap profile: 12: 34567 [ 89: 101112] @ heapprofile
//!  3: 4096 [ 5: 8192] @ 0x55d0c0de 0x55d0beef
//!
//! MAPPED_LIBRARIES:
//! 55d0c000-55d0d000 r-xp 00001000 fe:01 1234 /usr/bin/program
//! ```

use core::ffi::{CStr, c_int};
use core::fmt::{self, Write};
use core::ops::ControlFlow;

use crate::profile::amounts::Amount;
use crate::report::heap_profile;
use crate::sys::{self, NewFile};

/// Collects what is written to a file.
struct Pieces {
    file: NewFile,
    text: [u8; 1024],
    len: usize,
}

impl Pieces {
    fn flush(&mut self) {
        self.file.write(&self.text[..self.len]);
        self.len = 0;
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.text.len()) {
            if piece.len() > self.text.len() - self.len {
                self.flush();
            }
            self.text[self.len..self.len + piece.len()].copy_from_slice(piece);
            self.len += piece.len();
        }
    }
}

impl Write for Pieces {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Longest line of the list of mappings that is copied.
const LINE: usize = 1024;

/// Writes the profile to a new file. It may be called in a handler of a signal.
///
/// # Errors
/// The error of the system, as in `errno`.
pub(crate) fn write(path: &CStr) -> Result<(), c_int> {
    let mut to = Pieces { file: NewFile::create(path)?, text: [0; 1024], len: 0 };
    let (mut used, mut all) = (Amount::default(), Amount::default());
    for stack in heap_profile::stacks() {
        add(&mut used, stack.in_use());
        add(&mut all, stack.allocated());
    }
    let _ = write_amounts(&mut to, "heap profile: ", used, all);
    to.push(b" heapprofile\n");
    for stack in heap_profile::stacks() {
        let _ = write_amounts(&mut to, " ", stack.in_use(), stack.allocated());
        for frame in stack.frames() {
            let _ = write!(to, " {frame:#x}");
        }
        to.push(b"\n");
    }
    to.push(b"\nMAPPED_LIBRARIES:\n");
    // Without them the addresses are still right.
    let _ = sys::read_lines(c"/proc/self/maps", &mut [0; LINE], |line| {
        to.push(line);
        to.push(b"\n");
        ControlFlow::Continue(())
    });
    to.flush();
    to.file.finish()
}

fn add(sum: &mut Amount, more: Amount) {
    sum.blocks += more.blocks;
    sum.bytes += more.bytes;
}

/// What is in use, and in brackets what was allocated.
fn write_amounts(to: &mut Pieces, start: &str, used: Amount, all: Amount) -> fmt::Result {
    write!(to, "{start}{}: {} [{}: {}] @", used.blocks, used.bytes, all.blocks, all.bytes)
}
