//! What programs and tools ask an allocator: `mallinfo`, `malloc_info`,
//! `malloc_stats`, `malloc_trim`, `mallopt`, under glibc's names, with true
//! values.

use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};

use allocator_core::{Stats, Strata};

/// glibc's `struct mallinfo2`: bytes, but where it says otherwise.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MallInfo<T> {
    /// Mapped for blocks, but not as huge ones.
    pub arena: T,
    /// Number of free pieces: of 32 KiB, not given back yet.
    pub ordblks: T,
    /// Number of free blocks in threads' magazines.
    pub smblks: T,
    /// Number of huge blocks.
    pub hblks: T,
    /// Of huge blocks.
    pub hblkhd: T,
    /// Nothing: 0.
    pub usmblks: T,
    /// Of free blocks in threads' magazines.
    pub fsmblks: T,
    /// Of blocks that the program holds, but huge ones.
    pub uordblks: T,
    /// Of `arena`, what the program does not hold.
    pub fordblks: T,
    /// Free, and not given back yet: what `malloc_trim` would give.
    pub keepcost: T,
}

impl MallInfo<usize> {
    fn from_stats(stats: &Stats) -> Self {
        let arena = stats.mapped_bytes.saturating_sub(stats.huge_bytes);
        let live = stats.live_bytes().saturating_sub(stats.huge_bytes);
        MallInfo {
            arena,
            ordblks: stats.free_bytes.div_ceil(32 << 10),
            smblks: stats.classes.iter().map(|class| class.cached_blocks).sum(),
            hblks: stats.huge_blocks,
            hblkhd: stats.huge_bytes,
            usmblks: 0,
            fsmblks: stats.cached_bytes,
            uordblks: live,
            fordblks: arena.saturating_sub(live),
            keepcost: stats.free_bytes,
        }
    }
}

/// Numbers about the process, as glibc names them.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> MallInfo<usize> {
    MallInfo::from_stats(&Strata::stats())
}

/// As [`mallinfo2`], each number being at most `INT_MAX`.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> MallInfo<c_int> {
    let clamp = |number| c_int::try_from(number).unwrap_or(c_int::MAX);
    let all = mallinfo2();
    MallInfo {
        arena: clamp(all.arena),
        ordblks: clamp(all.ordblks),
        smblks: clamp(all.smblks),
        hblks: clamp(all.hblks),
        hblkhd: clamp(all.hblkhd),
        usmblks: 0,
        fsmblks: clamp(all.fsmblks),
        uordblks: clamp(all.uordblks),
        fordblks: clamp(all.fordblks),
        keepcost: clamp(all.keepcost),
    }
}

/// Gives free memory back to the system. Returns 1 if some went back, else 0.
/// What to keep (`_pad`) is the allocator's business.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_pad: usize) -> c_int {
    c_int::from(Strata::purge() != 0)
}

/// glibc's parameter that has a limit, and this.
const M_MXFAST: c_int = 1;
const MXFAST_MAX: c_int = 160;

/// Changes nothing: glibc's parameters have no meaning here. Returns what
/// glibc does: 0 for a value that it refuses, else 1.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(parameter: c_int, value: c_int) -> c_int {
    c_int::from(parameter != M_MXFAST || (0..=MXFAST_MAX).contains(&value))
}

/// Writes text to standard error, unbuffered.
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        allocator_sys::write_stderr(text.as_bytes());
        Ok(())
    }
}

/// Prints numbers about the process to standard error.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    let stats = Strata::stats();
    let lines = [
        ("live", stats.live_bytes()),
        ("  of which huge", stats.huge_bytes),
        ("in threads' magazines", stats.cached_bytes),
        ("mapped", stats.mapped_bytes),
        ("may be resident", stats.committed_bytes),
        ("  of which free", stats.free_bytes),
        ("given back so far", stats.purged_bytes),
        ("tables and records", stats.metadata_bytes),
    ];
    for (what, bytes) in lines {
        let _ = writeln!(Stderr, "strata: {what:<22} {bytes:>16} bytes");
    }
}

/// Writes text to a stream of C's.
struct Stream(*mut libc::FILE);

impl Write for Stream {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the stream is open, by the caller of `malloc_info`.
        let written = unsafe { libc::fwrite(text.as_ptr().cast(), 1, text.len(), self.0) };
        if written == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

fn write_info(out: &mut impl Write, stats: &Stats) -> fmt::Result {
    let all = MallInfo::from_stats(stats);
    writeln!(out, "<malloc version=\"strata-1\">\n<heap nr=\"0\">\n<sizes>")?;
    for class in stats.classes.iter().filter(|class| class.live_blocks + class.cached_blocks != 0) {
        writeln!(
            out,
            "  <size to=\"{}\" live=\"{}\" cached=\"{}\"/>",
            class.block_bytes, class.live_blocks, class.cached_blocks
        )?;
    }
    writeln!(out, "</sizes>")?;
    write_totals(out, &all, stats)?;
    writeln!(out, "</heap>")?;
    write_totals(out, &all, stats)?;
    writeln!(out, "<total type=\"mmap\" count=\"{}\" size=\"{}\"/>", all.hblks, all.hblkhd)?;
    writeln!(out, "</malloc>")
}

/// What glibc's tools look for, in a heap and in all of them together.
fn write_totals(out: &mut impl Write, all: &MallInfo<usize>, stats: &Stats) -> fmt::Result {
    writeln!(out, "<total type=\"fast\" count=\"{}\" size=\"{}\"/>", all.smblks, all.fsmblks)?;
    writeln!(out, "<total type=\"rest\" count=\"{}\" size=\"{}\"/>", all.ordblks, all.fordblks)?;
    writeln!(out, "<total type=\"live\" size=\"{}\"/>", all.uordblks)?;
    writeln!(out, "<system type=\"current\" size=\"{}\"/>", all.arena)?;
    writeln!(out, "<aspace type=\"total\" size=\"{}\"/>", stats.mapped_bytes)
}

/// Writes numbers about the process to a stream, as XML with glibc's elements.
/// Returns 0; `EINVAL` if `options` is not 0; `EIO` if not all was written.
///
/// # Safety
/// The stream is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut c_void) -> c_int {
    if options != 0 {
        return libc::EINVAL;
    }
    match write_info(&mut Stream(stream.cast()), &Strata::stats()) {
        Ok(()) => 0,
        Err(fmt::Error) => libc::EIO,
    }
}
