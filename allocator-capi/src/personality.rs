//! The function that unwinding asks about Rust frames. The library's own code has
//! none, but the precompiled parts of the standard library that it links name it, at
//! least without optimization and on AArch64: without a definition, the library would
//! not load.
//!
//! No frame of the library has anything to clean up, so unwinding goes on past it. The
//! symbol is weak: a Rust program that links the archive has its own.

use core::arch::global_asm;

/// The answer "continue", `_URC_CONTINUE_UNWIND`.
const CONTINUE: u32 = 8;

#[cfg(target_arch = "x86_64")]
macro_rules! answer {
    () => {
        "mov eax, {}"
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! answer {
    () => {
        "mov w0, {}"
    };
}

global_asm!(
    ".pushsection .text.rust_eh_personality,\"ax\",@progbits",
    ".weak rust_eh_personality",
    ".hidden rust_eh_personality",
    ".type rust_eh_personality,@function",
    "rust_eh_personality:",
    answer!(),
    "ret",
    ".size rust_eh_personality, . - rust_eh_personality",
    ".popsection",
    const CONTINUE,
);
