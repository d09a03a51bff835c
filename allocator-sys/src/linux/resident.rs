//! Resident memory.

use super::file::read_file;
use super::page_size::page_size;
use super::syscall::syscall;
use core::ffi::CStr;

/// Resident memory of the process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rss {
    /// All of it.
    pub all: usize,
    /// The part that is not backed by files.
    pub anonymous: usize,
}

/// Writes one byte per page of the range to `pages`: 1 if the page is in
/// memory, else 0. A page that was read but never written also counts as in
/// memory, as it maps the shared zero page. `false`: part of the range is not
/// mapped, or `pages` is too short; the contents of `pages` are unspecified
/// then.
///
/// The range need not be owned. `addr` and `size` are multiples of the page
/// size, and `size` is not 0.
pub fn resident(addr: *mut u8, size: usize, pages: &mut [u8]) -> bool {
    let count = size.div_ceil(page_size());
    let Some(pages) = pages.get_mut(..count) else { return false };
    let args = [addr.addr(), size, pages.as_mut_ptr().expose_provenance()];
    // SAFETY: the kernel writes one byte per page of the range and does not
    // access the pages.
    let done = unsafe { syscall(libc::SYS_mincore, args) }.is_ok();
    // The other bits are reserved.
    pages.iter_mut().for_each(|page| *page &= 1);
    done
}

/// The totals over all mappings.
const ROLLUP: &CStr = c"/proc/self/smaps_rollup";

/// Maximum size of that file in bytes: 25 lines.
const ROLLUP_MAX: usize = 2048;

/// Resident memory of the process. `None`: the system does not report it.
pub fn rss() -> Option<Rss> {
    let mut text = [0; ROLLUP_MAX];
    let len = read_file(ROLLUP, &mut text).ok()?;
    let text = text.get(..len)?;
    Some(Rss { all: field_bytes(text, b"Rss:")?, anonymous: field_bytes(text, b"Anonymous:")? })
}

/// The value of a field given in KiB, in bytes.
fn field_bytes(text: &[u8], name: &[u8]) -> Option<usize> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    let digits = line.iter().filter(|byte| byte.is_ascii_digit());
    let kib = digits.fold(0usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    });
    kib.checked_mul(1024)
}
