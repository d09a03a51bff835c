//! How the kernel is set up.

use super::errno::Errno;
use super::file::read_file;
use core::ffi::CStr;

/// When the kernel uses huge pages by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// Wherever they fit, unless it is told not to.
    Always,
    /// Where it is told to.
    Advised,
    /// Nowhere.
    Never,
}

/// Where the kernel tells how many mappings a process may have.
const MAX_MAP_COUNT: &CStr = c"/proc/sys/vm/max_map_count";
/// What it is where it is not told: the kernel's default.
const USUAL_MAP_COUNT: usize = 65_530;

/// How many mappings a process may have.
pub fn mapping_limit() -> usize {
    let _kept = Errno::keep();
    let mut text = [0; 32];
    let len = read_file(MAX_MAP_COUNT, &mut text).unwrap_or(0);
    let digits = text[..len].iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    });
    if number == 0 { USUAL_MAP_COUNT } else { number }
}

/// Where the kernel tells when it uses huge pages.
const ENABLED: &CStr = c"/sys/kernel/mm/transparent_hugepage/enabled";

/// When the kernel uses huge pages by itself; never, if it does not tell.
pub fn huge_pages() -> HugePages {
    let _kept = Errno::keep();
    let mut text = [0; 64];
    let len = read_file(ENABLED, &mut text).unwrap_or(0);
    let is = |word: &[u8]| text[..len].windows(word.len()).any(|part| part == word);
    if is(b"[always]") {
        HugePages::Always
    } else if is(b"[madvise]") {
        HugePages::Advised
    } else {
        HugePages::Never
    }
}
