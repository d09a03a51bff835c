//! Reading what may not be there: the stack of a thread, as far as somebody guesses it.

use super::arch;
use super::registers::Registers;
use super::syscall::syscall;

/// What `process_vm_readv` reads from and to.
#[repr(C)]
struct Piece {
    start: usize,
    bytes: usize,
}

/// The registers of the caller, into which this is inlined.
#[inline(always)]
#[must_use]
pub fn registers() -> Registers {
    arch::registers()
}

/// Copies the memory of this process from address `from` on, up to the first page that cannot
/// be read. Returns how many bytes; 0 also where the kernel refuses the call. Whatever the
/// address, and whatever other threads unmap meanwhile, it does not fault.
#[must_use]
pub fn read_memory(from: usize, into: &mut [usize]) -> usize {
    let bytes = size_of_val(into).min(usize::MAX - from);
    let local = Piece { start: into.as_mut_ptr().expose_provenance(), bytes };
    // A piece is read whole or not at all: one for each page.
    let mut pages = [const { Piece { start: 0, bytes: 0 } }; PIECES];
    let (mut at, end) = (from, from + bytes);
    let mut count = 0;
    while at < end && count < PIECES {
        let next = (at | (PAGE - 1)).saturating_add(1).min(end);
        pages[count] = Piece { start: at, bytes: next - at };
        count += 1;
        at = next;
    }
    let (local, pages) = (&raw const local, &raw const pages);
    // SAFETY: the kernel writes to the slice alone, and tells what of the rest cannot be read.
    unsafe {
        let Ok(process) = syscall(libc::SYS_getpid, []) else { return 0 };
        let args = [process, local.expose_provenance(), 1, pages.expose_provenance(), count, 0];
        syscall(libc::SYS_process_vm_readv, args).unwrap_or(0)
    }
}

/// The smallest page of any system.
const PAGE: usize = 4096;

/// Most pages that are read at once.
const PIECES: usize = 4;
