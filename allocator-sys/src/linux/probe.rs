//! Probes: places in the program that tools outside of it can attach to (USDT), such as the
//! profiler of OpenTelemetry, bpftrace, perf and gdb. In the code a probe is one `nop`. A note in the
//! object says where it is, which registers have its arguments, and where its semaphore is: a tool
//! that attaches adds to that, and as long as it is 0, the `nop` is not even reached.
//!
//! ```text
//!  .note.stapsdt   length of "stapsdt\0", length of what follows it, 3
//!                  "stapsdt\0"
//!                  the nop, the base, the semaphore          the base tells how far the
//!                  provider\0 name\0 "8@%rdi 8@%rsi"\0       object was moved since
//! ```

use core::arch::asm;
use core::sync::atomic::{AtomicU16, Ordering};

/// How many tools are attached to `otel_memory:alloc`. The section is the one that tools expect.
#[unsafe(link_section = ".probes")]
static ALLOC: AtomicU16 = AtomicU16::new(0);

/// How many tools are attached to `otel_memory:free`.
#[unsafe(link_section = ".probes")]
static FREE: AtomicU16 = AtomicU16::new(0);

/// A probe of the provider `otel_memory`, and its note.
macro_rules! probe {
    ($name:literal, $semaphore:path, $arguments:expr, $($operand:tt)*) => {
        asm!(
            "990: nop",
            // Without a reference from code, the linker would drop the base.
            ".reloc 990b, BFD_RELOC_NONE, _.stapsdt.base",
            ".pushsection .note.stapsdt, \"?\", \"note\"",
            ".balign 4",
            ".4byte 992f-991f, 994f-993f, 3",
            "991: .asciz \"stapsdt\"",
            "992: .balign 4",
            "993: .8byte 990b",
            ".8byte _.stapsdt.base",
            ".8byte {semaphore}",
            ".asciz \"otel_memory\"",
            concat!(".asciz \"", $name, "\""),
            concat!(".asciz \"", $arguments, "\""),
            "994: .balign 4",
            ".popsection",
            // Once in each object that is linked.
            ".ifndef _.stapsdt.base",
            ".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat",
            ".weak _.stapsdt.base",
            ".hidden _.stapsdt.base",
            "_.stapsdt.base: .space 1",
            ".size _.stapsdt.base, 1",
            ".popsection",
            ".endif",
            semaphore = sym $semaphore,
            $($operand)*,
            options(readonly, nostack, preserves_flags),
        )
    };
}

/// The registers of the arguments are those in which C passes them to a function: OpenTelemetry's
/// profiler does not read the note for that.
#[cfg(target_arch = "x86_64")]
macro_rules! fire {
    ($name:literal, $semaphore:path, $block:expr) => {
        probe!($name, $semaphore, "8@%rdi", in("rdi") $block)
    };
    ($name:literal, $semaphore:path, $block:expr, $size:expr, $weight:expr) => {
        probe!(
            $name, $semaphore, "8@%rdi 8@%rsi 8@%rdx",
            in("rdi") $block, in("rsi") $size, in("rdx") $weight
        )
    };
}

/// The registers of the arguments are those in which C passes them to a function: OpenTelemetry's
/// profiler does not read the note for that.
#[cfg(target_arch = "aarch64")]
macro_rules! fire {
    ($name:literal, $semaphore:path, $block:expr) => {
        probe!($name, $semaphore, "8@x0", in("x0") $block)
    };
    ($name:literal, $semaphore:path, $block:expr, $size:expr, $weight:expr) => {
        probe!(
            $name, $semaphore, "8@x0 8@x1 8@x2",
            in("x0") $block, in("x1") $size, in("x2") $weight
        )
    };
}

/// The probe `otel_memory:alloc`: a block of `size` bytes was sampled, which stands for `weight`
/// bytes. A load and a branch, if no tool is attached.
#[inline]
pub fn probe_alloc(block: *const u8, size: usize, weight: u64) {
    if ALLOC.load(Ordering::Relaxed) != 0 {
        fire_alloc(block, size, weight);
    }
}

/// The probe `otel_memory:free`: a block that was sampled is about to be freed.
#[inline]
pub fn probe_free(block: *const u8) {
    if FREE.load(Ordering::Relaxed) != 0 {
        fire_free(block);
    }
}

#[cold]
#[inline(never)]
fn fire_alloc(block: *const u8, size: usize, weight: u64) {
    // SAFETY: it does nothing; a tool may stop the thread there, and read.
    unsafe { fire!("alloc", ALLOC, block, size, weight) };
}

#[cold]
#[inline(never)]
fn fire_free(block: *const u8) {
    // SAFETY: as above.
    unsafe { fire!("free", FREE, block) };
}
