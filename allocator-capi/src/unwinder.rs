//! Follows stacks for the heap profile and for guarded sampling. The library is compiled without
//! frame pointers, and the program perhaps with them. So the first return address into other code
//! is searched for on the stack, and next to it the frame pointer of that code, which some function of the library
//! saved. From there on each frame pointer leads to the next.
//!
//! ```text
//!  stack pointer ─► │ library: …                    │
//!                   │ library: saved frame pointer ─┼──┐
//!                   │ return address into a program │  │   the first frame
//!                   │ program: …                    │  │
//!                   │ frame pointer of its caller ──┼◄─┘
//!                   │ return address into its caller│      the second
//! ```
//!
//! A word is a return address if a call lies before the place that it leads to. One that an
//! earlier call left on the stack may be mistaken for it, where the call does not show that it leads into
//! the library; what follows is right all the same.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicUsize, Ordering};

use allocator_core::{Registers, StackWords, Strata};

/// Bytes of a word.
const WORD: usize = size_of::<usize>();

/// Words of the library's own frames, at most: it needs less stack than this.
const OWN: usize = 512;

/// A frame that is further from the one before is none.
const FARTHEST: usize = 1 << 20;

/// The code of the library, from one address up to another.
static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// Longest line of the list of mappings that is read.
const LINE: usize = 1024;

/// Has stacks followed by this from now on.
pub(crate) fn set() {
    look_up();
    // Where it is not set, frame pointers are followed from the library on.
    let _ = Strata::profile_unwinder(Some(unwind));
}

/// Finds out where the code of the library is.
fn look_up() {
    let own = unwind as *const () as usize;
    let _ =
        allocator_sys::read_lines(c"/proc/self/maps", &mut [0; LINE], |line| match range(line) {
            Some((start, end)) if (start..end).contains(&own) => {
                START.store(start, Ordering::Relaxed);
                END.store(end, Ordering::Relaxed);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
}

/// The addresses of a mapping, `START-END …`.
fn range(line: &[u8]) -> Option<(usize, usize)> {
    let mut parts = line.split(|byte| matches!(byte, b'-' | b' '));
    let mut next = || usize::from_str_radix(core::str::from_utf8(parts.next()?).ok()?, 16).ok();
    Some((next()?, next()?))
}

/// Writes the return addresses of the stack from these registers on, without those of the library.
/// Returns how many.
fn unwind(registers: Registers, words: &mut StackWords, frames: &mut [usize]) -> usize {
    let Some((slot, back)) = first(words, registers.stack) else { return 0 };
    let Some(place) = frames.first_mut() else { return 0 };
    *place = back;
    match frame_of(words, &registers, slot) {
        Some(frame) => 1 + follow(words, slot, frame, &mut frames[1..]),
        None => 1,
    }
}

/// The first return address into other code, and where on the stack it is. Of some, it is the first
/// behind a call that is known to lead into the library.
fn first(words: &mut StackWords, stack: usize) -> Option<(usize, usize)> {
    let mut found = None;
    let mut others = 0;
    for slot in (stack..stack + OWN * WORD).step_by(WORD) {
        let Some(back) = words.get(slot) else { break };
        if is_own(back) || !is_return(words, back, stack) {
            continue;
        }
        if leads_here(words, back).unwrap_or(false) {
            return Some((slot, back));
        }
        found = found.or(Some((slot, back)));
        others += 1;
        if others == MOST_LEFT {
            break;
        }
    }
    found
}

/// Earlier calls may have left so many return addresses on the stack.
const MOST_LEFT: usize = 16;

/// Whether an address is in the code of the library.
fn is_own(address: usize) -> bool {
    (START.load(Ordering::Relaxed)..END.load(Ordering::Relaxed)).contains(&address)
}

/// The frame pointer of the code that called the library, which left its return address in a slot:
/// the last one that the library saved, or the one in the register.
fn frame_of(words: &mut StackWords, registers: &Registers, slot: usize) -> Option<usize> {
    let mut at = slot;
    while at > registers.stack {
        at -= WORD;
        let frame = words.get(at)?;
        if leads_on(words, frame, slot) {
            return Some(frame);
        }
    }
    Some(registers.frame).filter(|frame| leads_on(words, *frame, slot))
}

/// Whether there seems to be a frame above a slot of the stack.
fn leads_on(words: &mut StackWords, frame: usize, slot: usize) -> bool {
    frame > slot
        && frame - slot < FARTHEST
        && frame.is_multiple_of(2 * WORD)
        && words.get(frame + WORD).is_some_and(|back| is_return(words, back, frame))
}

/// Follows the frame pointers. Returns how many frames there are.
fn follow(words: &mut StackWords, slot: usize, frame: usize, frames: &mut [usize]) -> usize {
    let (mut below, mut at, mut count) = (slot, frame, 0);
    while let Some(place) = frames.get_mut(count).filter(|_| leads_on(words, at, below)) {
        *place = words.get(at + WORD).unwrap_or(0);
        count += 1;
        (below, at) = (at, words.get(at).unwrap_or(0));
    }
    count
}

/// Most addresses of programs lie between these.
const ADDRESSES: core::ops::Range<usize> = 1 << 12..1 << 47;

/// Whether a word is a return address: it leads to other memory than the stack, behind a call.
fn is_return(words: &mut StackWords, word: usize, stack: usize) -> bool {
    if !ADDRESSES.contains(&word) || word.abs_diff(stack) < FARTHEST {
        return false;
    }
    code(words, word - WORD).is_some_and(ends_with_call)
}

/// The bytes at an address.
fn code(words: &mut StackWords, from: usize) -> Option<[u8; WORD]> {
    let at = from / WORD * WORD;
    let mut bytes = [0; 2 * WORD];
    bytes[..WORD].copy_from_slice(&words.get(at)?.to_ne_bytes());
    bytes[WORD..].copy_from_slice(&words.get(at + WORD)?.to_ne_bytes());
    bytes[from - at..].first_chunk().copied()
}

/// Whether the last of these bytes are a call: `e8` with an offset, or `ff /2` with any operand.
#[cfg(target_arch = "x86_64")]
fn ends_with_call(before: [u8; WORD]) -> bool {
    let indirect = |len: usize| before[WORD - len] == 0xff && before[WORD - len + 1] >> 3 & 7 == 2;
    before[WORD - 5] == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(indirect)
}

/// Whether the call before a return address leads into the library: at once, by the linker's table,
/// or by code that only jumps there. `None`: that cannot be told.
#[cfg(target_arch = "x86_64")]
fn leads_here(words: &mut StackWords, back: usize) -> Option<bool> {
    let distant =
        |from: usize, by: [u8; 4]| from.wrapping_add_signed(i32::from_le_bytes(by) as isize);
    let mut at = match code(words, back - WORD)? {
        [.., 0xff, 0x15, a, b, c, d] => return words.get(distant(back, [a, b, c, d])).map(is_own),
        [.., 0xe8, a, b, c, d] => distant(back, [a, b, c, d]),
        _ => return None,
    };
    if is_own(at) {
        return Some(true);
    }
    if let [0xf3, 0x0f, 0x1e, 0xfa, ..] = code(words, at)? {
        at += 4;
    }
    if let [0xf2, ..] = code(words, at)? {
        at += 1;
    }
    match code(words, at)? {
        [0xff, 0x25, a, b, c, d, ..] => words.get(distant(at + 6, [a, b, c, d])).map(is_own),
        _ => Some(false),
    }
}

/// Here it is not looked at.
#[cfg(target_arch = "aarch64")]
fn leads_here(_words: &mut StackWords, _back: usize) -> Option<bool> {
    None
}

/// Whether the last of these bytes are a call: `bl` or `blr`.
#[cfg(target_arch = "aarch64")]
fn ends_with_call(before: [u8; WORD]) -> bool {
    let [.., a, b, c, d] = before;
    let instruction = u32::from_le_bytes([a, b, c, d]);
    instruction >> 26 == 0b100101 || instruction & 0xffff_fc1f == 0xd63f_0000
}
