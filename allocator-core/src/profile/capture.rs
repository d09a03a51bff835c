//! Capturing a stack: the return addresses of the functions that the calling thread is in.
//!
//! By frame pointers, each of which leads to the next. In code that was compiled without them
//! the register may hold anything, so what it leads to is copied by the system, which cannot
//! fault. A program can set an unwinder that does better; it runs on a stack of its own, since
//! it may need more than the thread has left.

use crate::base::sync::Guarded;
use crate::sys::{self, Registers, Stack};

/// What follows a stack from these registers on, of which it reads words. Writes the address
/// behind the call in each function, the innermost first, and returns how many there are. It may
/// not allocate, free, wait or unwind, and needs less than 100 KiB of stack.
pub type Unwinder = fn(Registers, &mut StackWords, &mut [usize]) -> usize;

/// An address of the stack that is further from the frame before is none.
const FARTHEST: usize = 1 << 20;

/// Words that are copied at once.
const WINDOW: usize = 512;

/// What one thread at a time has, under the lock of the profile.
pub(super) struct Capture {
    unwinder: Guarded<Option<Unwinder>>,
    words: Guarded<StackWords>,
    stack: Stack<{ 128 << 10 }>,
}

// SAFETY: [PROFILE-LOCKED] it is touched only under the lock.
unsafe impl Sync for Capture {}

/// The words of a stack, or of anything. Reading them does not fault.
pub struct StackWords {
    /// A copy of so many words from an address on.
    start: usize,
    words: usize,
    copy: [usize; WINDOW],
}

impl StackWords {
    /// The word at an address. `None`: there is none, or the address is not aligned.
    pub fn get(&mut self, at: usize) -> Option<usize> {
        if !at.is_multiple_of(size_of::<usize>()) {
            return None;
        }
        let mut index = at.wrapping_sub(self.start) / size_of::<usize>();
        if index >= self.words {
            self.start = at;
            self.words = sys::read_memory(at, &mut self.copy) / size_of::<usize>();
            index = 0;
        }
        self.copy[..self.words].get(index).copied()
    }
}

impl Capture {
    pub(super) const fn new() -> Self {
        Capture {
            unwinder: Guarded::new(None),
            words: Guarded::new(StackWords { start: 0, words: 0, copy: [0; WINDOW] }),
            stack: Stack::new(),
        }
    }

    /// Sets the unwinder.
    ///
    /// # Safety
    /// \[PROFILE-LOCKED\]
    pub(super) unsafe fn set_unwinder(&self, unwinder: Option<Unwinder>) {
        // SAFETY: [PROFILE-LOCKED] by the caller.
        self.unwinder.with(|place| unsafe { *place = unwinder });
    }

    /// Writes the stack from these registers on, the innermost function first. Returns the
    /// number of functions.
    ///
    /// # Safety
    /// \[PROFILE-LOCKED\]
    pub(super) unsafe fn stack(&self, registers: Registers, frames: &mut [usize]) -> usize {
        self.words.with(|words| {
            // SAFETY: [PROFILE-LOCKED] by the caller, here and below.
            let words = unsafe { &mut *words };
            words.words = 0;
            // SAFETY: as above.
            match self.unwinder.with(|unwinder| unsafe { *unwinder }) {
                // SAFETY: nobody else has the stack, and the unwinder needs no more.
                Some(unwinder) => sys::without_signals(|| unsafe {
                    sys::on_stack(&self.stack, || unwinder(registers, words, frames))
                }),
                None => follow(words, registers, frames),
            }
            .min(frames.len())
        })
    }
}

/// Follows the frame pointers.
fn follow(words: &mut StackWords, registers: Registers, frames: &mut [usize]) -> usize {
    let (mut below, mut at, mut count) = (registers.stack, registers.frame, 0);
    while let Some(place) = frames.get_mut(count) {
        if at <= below || at - below > FARTHEST {
            break;
        }
        let Some((next, back)) = words.get(at).zip(words.get(at + size_of::<usize>())) else {
            break;
        };
        if back < sys::page_size() {
            break;
        }
        *place = back;
        count += 1;
        (below, at) = (at, next);
    }
    count
}
