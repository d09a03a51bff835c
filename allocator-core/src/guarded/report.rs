//! What is said of a guarded block before the process is aborted: which block it is, and the stacks
//! at which it was allocated and freed. It may be said in a handler of a signal: nothing is
//! allocated, no lock is waited for, and no name of a function is looked up. A stack is addresses,
//! and for each its object, and how far it is from where that starts.

use core::fmt::{self, Display, Formatter, Write};
use core::ops::ControlFlow;

use crate::base::misuse::{Line, Location, Misuse, Report};
use crate::base::own_stack::FOR_SIGNALS;
use crate::guarded::record::{Record, Trace};
use crate::sys;

/// What was wrong.
#[derive(Clone, Copy)]
pub(crate) enum Wrong {
    /// An access after the free.
    AfterFree,
    /// An access beyond the end.
    Overflow,
    /// An access before the start.
    Underflow,
    /// A pointer given back that may not be; and the bytes that the caller said.
    Free(Misuse, usize),
}

/// Says what was wrong at an address in or near a block, and aborts.
#[cold]
pub(super) fn abort(wrong: Wrong, address: usize, record: &Record) -> ! {
    // Elsewhere it is said with less room: another thread is using that stack.
    if FOR_SIGNALS.try_run(|| print(wrong, address, record)).is_none() {
        print(wrong, address, record);
    }
    sys::abort()
}

fn print(wrong: Wrong, address: usize, record: &Record) {
    if let Wrong::Free(what, size) = wrong {
        let location = Location { span: 0, block: 0 };
        Report { what, ptr: core::ptr::without_provenance_mut(address), location, size }.print();
    }
    let mut line = Line::new();
    let what = match wrong {
        Wrong::AfterFree => "use after free",
        Wrong::Overflow => "overflow",
        Wrong::Underflow => "underflow",
        Wrong::Free(..) => "guarded block",
    };
    let (block, bytes) = (record.block(), record.size());
    let _ = write!(line, "{what}: ");
    if !matches!(wrong, Wrong::Free(..)) {
        let _ = write!(line, "access to 0x{address:x}, ");
    }
    let _ = write!(line, "{} a block of {bytes} bytes at 0x{block:x}, ", Offset { address, block });
    let _ = write!(line, "by thread {}", sys::thread_id());
    line.print();
    print_trace("allocated", &record.allocated);
    print_trace("freed", &record.freed);
}

/// Where an address is, seen from a block.
struct Offset {
    address: usize,
    block: usize,
}

impl Display for Offset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.address.checked_sub(self.block) {
            Some(0) => f.write_str("the start of"),
            Some(beyond) => write!(f, "{beyond} bytes from the start of"),
            None => write!(f, "{} bytes before", self.block - self.address),
        }
    }
}

fn print_trace(what: &str, trace: &Trace) {
    let Some(thread) = trace.thread() else { return };
    let mut line = Line::new();
    let _ = write!(line, "{what} by thread {thread}, at:");
    line.print();
    let mut object = Object::NONE;
    for frame in trace.frames() {
        if !object.has(frame) {
            object = Object::find(frame);
        }
        let mut line = Line::new();
        let _ = write!(line, "  0x{frame:x} ");
        line.push(&object.name[..object.len]);
        let _ = write!(line, "+0x{:x}", frame - object.base);
        line.print();
    }
}

/// A mapping of a file.
struct Object {
    start: usize,
    end: usize,
    /// Where the file's start is mapped.
    base: usize,
    name: [u8; NAME],
    len: usize,
}

/// Most bytes of a name that are shown.
const NAME: usize = 100;

impl Object {
    const NONE: Self = Object { start: 0, end: 0, base: 0, name: [0; NAME], len: 0 };

    fn has(&self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// The mapping that an address lies in. Where that cannot be told, the address is its own.
    fn find(address: usize) -> Self {
        let (mut base, mut found) = (0, Self::NONE);
        let _ = sys::read_lines(c"/proc/self/maps", &mut [0; 1024], |line| {
            // Such as `55d0c000-55d0d000 r-xp 00001000 fe:01 1234       /usr/bin/program`.
            let mut fields = line.split(|byte| matches!(byte, b' ' | b'-')).map(hex);
            let (start, end) = (fields.next().flatten(), fields.next().flatten());
            let offset = fields.find_map(|it| it);
            let (Some(start), Some(end)) = (start, end) else { return ControlFlow::Continue(()) };
            if offset == Some(0) {
                base = start;
            }
            if !(start..end).contains(&address) {
                return ControlFlow::Continue(());
            }
            if let Some(slash) = line.iter().rposition(|byte| *byte == b'/') {
                let name = &line[slash + 1..];
                (found.start, found.end, found.base) = (start, end, base);
                found.len = name.len().min(NAME);
                found.name[..found.len].copy_from_slice(&name[..found.len]);
            }
            ControlFlow::Break(())
        });
        found
    }
}

/// Parses a hexadecimal number.
fn hex(digits: &[u8]) -> Option<usize> {
    let start = (!digits.is_empty()).then_some(0usize)?;
    digits.iter().try_fold(start, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        number.checked_mul(16)?.checked_add(digit as usize)
    })
}
