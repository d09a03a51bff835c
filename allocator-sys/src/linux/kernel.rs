//! Kernel settings.

use super::file::read_file;
use core::ffi::CStr;

/// When the kernel uses transparent huge pages on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// Wherever possible, unless advised not to.
    Always,
    /// Only where advised to.
    Advised,
    /// Never.
    Never,
}

/// Maximum number of mappings of a process.
const MAX_MAP_COUNT: &CStr = c"/proc/sys/vm/max_map_count";
/// The kernel's default for [`mapping_limit`].
pub const DEFAULT_MAPPING_LIMIT: usize = 65_530;

/// Maximum number of mappings of a process; the kernel's default if the file
/// cannot be read.
pub fn mapping_limit() -> usize {
    let mut text = [0; 32];
    let len = read_file(MAX_MAP_COUNT, &mut text).unwrap_or(0);
    let digits = text[..len].iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    });
    if number == 0 { DEFAULT_MAPPING_LIMIT } else { number }
}

/// The mode of transparent huge pages.
const THP_ENABLED: &CStr = c"/sys/kernel/mm/transparent_hugepage/enabled";

/// When the kernel uses transparent huge pages on its own; `Never` if that is
/// unknown.
pub fn huge_pages() -> HugePages {
    let mut text = [0; 64];
    let len = read_file(THP_ENABLED, &mut text).unwrap_or(0);
    let selected = |word: &[u8]| text[..len].windows(word.len()).any(|part| part == word);
    if selected(b"[always]") {
        HugePages::Always
    } else if selected(b"[madvise]") {
        HugePages::Advised
    } else {
        HugePages::Never
    }
}
