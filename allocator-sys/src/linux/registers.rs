//! Where a thread is, for who follows its stack.

/// Registers of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// An address in the running function.
    pub instruction: usize,
    /// The stack pointer.
    pub stack: usize,
    /// The frame pointer; anything, in code that was compiled without.
    pub frame: usize,
    /// The link register, which an x86-64 does not have: there it is 0.
    pub link: usize,
}
