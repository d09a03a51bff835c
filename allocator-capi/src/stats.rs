//! Statistics and tuning under glibc's names: `mallinfo`, `malloc_info`,
//! `malloc_stats`, `malloc_trim`, `mallopt`. The values are those of this
//! allocator.

use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};

use allocator_core::{Stats, Strata, c_internals};

/// glibc's `struct mallinfo2`. Values are in bytes unless stated otherwise.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MallInfo<T> {
    /// Mapped for blocks, except huge blocks.
    pub arena: T,
    /// Number of free pieces of 32 KiB that are not purged.
    pub ordblks: T,
    /// Number of free blocks in magazines.
    pub smblks: T,
    /// Number of huge blocks.
    pub hblks: T,
    /// Size of the huge blocks.
    pub hblkhd: T,
    /// Unused: 0.
    pub usmblks: T,
    /// Size of the free blocks in magazines.
    pub fsmblks: T,
    /// Size of the live blocks, except huge blocks.
    pub uordblks: T,
    /// The part of `arena` that is not in live blocks.
    pub fordblks: T,
    /// Free and not purged: what `malloc_trim` would return to the system.
    pub keepcost: T,
}

impl MallInfo<usize> {
    fn from_stats(stats: &Stats) -> Self {
        let arena = stats.mapped_bytes().saturating_sub(stats.huge_bytes());
        let live = stats.live_bytes().saturating_sub(stats.huge_bytes());
        MallInfo {
            arena,
            ordblks: stats.free_bytes().div_ceil(32 << 10),
            smblks: stats.classes().iter().map(|class| class.cached_blocks()).sum(),
            hblks: stats.huge_blocks(),
            hblkhd: stats.huge_bytes(),
            usmblks: 0,
            fsmblks: stats.cached_bytes(),
            uordblks: live,
            fordblks: arena.saturating_sub(live),
            keepcost: stats.free_bytes(),
        }
    }
}

/// Returns statistics of the process in glibc's format.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> MallInfo<usize> {
    c_internals::on_own_stack(|| MallInfo::from_stats(&Strata::stats()))
}

/// Same as [`mallinfo2`], with each value limited to `INT_MAX`.
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

/// Returns free memory to the system. Returns 1 if any was returned, else 0.
/// The amount to keep (`_pad`) is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_pad: usize) -> c_int {
    c_int::from(Strata::purge() != 0)
}

/// The one parameter of glibc whose value is checked, and its limit.
const M_MXFAST: c_int = 1;
const MXFAST_MAX: c_int = 160;

/// Changes nothing, because glibc's parameters do not apply here. Returns what
/// glibc returns: 0 for a value that it rejects, else 1.
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

/// Prints statistics of the process to standard error.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    c_internals::print_stats();
}

/// Writes text to a C stream.
struct Stream(*mut libc::FILE);

impl Write for Stream {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the caller of `malloc_info` guarantees that the stream is
        // open.
        let written = unsafe { libc::fwrite(text.as_ptr().cast(), 1, text.len(), self.0) };
        if written == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The elements and their attributes are glibc's. Its sizes are those of free blocks, which here
/// are in magazines. There is one heap, so both parts tell the same.
fn write_info(out: &mut impl Write, stats: &Stats) -> fmt::Result {
    let all = MallInfo::from_stats(stats);
    writeln!(out, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>")?;
    let mut from = 1;
    for class in stats.classes() {
        let (to, count) = (class.block_bytes(), class.cached_blocks());
        if count != 0 {
            let total = to * count;
            writeln!(
                out,
                "  <size from=\"{from}\" to=\"{to}\" total=\"{total}\" count=\"{count}\"/>"
            )?;
        }
        from = to + 1;
    }
    writeln!(out, "</sizes>")?;
    write_free(out, &all)?;
    write_system(out, &all, stats)?;
    writeln!(out, "</heap>")?;
    write_free(out, &all)?;
    writeln!(out, "<total type=\"mmap\" count=\"{}\" size=\"{}\"/>", all.hblks, all.hblkhd)?;
    write_system(out, &all, stats)?;
    writeln!(out, "</malloc>")
}

/// Free blocks in magazines, which glibc calls fast, and other free memory.
fn write_free(out: &mut impl Write, all: &MallInfo<usize>) -> fmt::Result {
    writeln!(out, "<total type=\"fast\" count=\"{}\" size=\"{}\"/>", all.smblks, all.fsmblks)?;
    let rest = all.fordblks.saturating_sub(all.fsmblks);
    writeln!(out, "<total type=\"rest\" count=\"{}\" size=\"{rest}\"/>", all.ordblks)
}

/// What there is from the system, and was at most.
fn write_system(out: &mut impl Write, all: &MallInfo<usize>, stats: &Stats) -> fmt::Result {
    let most = stats.peak_committed_bytes().max(all.arena);
    writeln!(out, "<system type=\"current\" size=\"{}\"/>", all.arena)?;
    writeln!(out, "<system type=\"max\" size=\"{most}\"/>")?;
    writeln!(out, "<aspace type=\"total\" size=\"{}\"/>", all.arena)?;
    writeln!(out, "<aspace type=\"mprotect\" size=\"{}\"/>", all.arena)
}

/// Writes statistics of the process to a stream, as XML in glibc's form.
/// Returns 0 on success, `EINVAL` if `options` is not 0, and `EIO` if writing
/// failed.
///
/// # Safety
/// The stream must be open.
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
