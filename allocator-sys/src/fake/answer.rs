//! System queries whose answer can be overridden.

use super::failure::Call;
use super::lock::SpinLock;
use crate::linux::{self, FileError, HugePages};
use core::ffi::CStr;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering};

/// An optional fixed answer.
struct Answer {
    /// The answer plus one, or 0 if none is set.
    set: AtomicU64,
}

impl Answer {
    /// No fixed answer.
    const fn none() -> Self {
        Self { set: AtomicU64::new(0) }
    }

    /// Sets or clears the fixed answer. `u64::MAX` counts as none.
    fn set(&self, answer: Option<u64>) {
        let set = answer.map_or(0, |answer| answer.wrapping_add(1));
        self.set.store(set, Ordering::Relaxed);
    }

    /// The fixed answer.
    fn get(&self) -> Option<u64> {
        self.set.load(Ordering::Relaxed).checked_sub(1)
    }

    /// The fixed answer as a `usize`.
    fn size(&self) -> Option<usize> {
        self.get().map(|answer| answer as usize)
    }
}

static PAGE_SIZE: Answer = Answer::none();
static ADDRESS_LIMIT: Answer = Answer::none();
static MAPPING_LIMIT: Answer = Answer::none();
static HUGE_PAGES: Answer = Answer::none();
static CPU_COUNT: Answer = Answer::none();
static CURRENT_CPU: Answer = Answer::none();
static MONOTONIC_MS: Answer = Answer::none();

/// Same as [`crate::page_size`], unless overridden by [`set_page_size`].
pub fn page_size() -> usize {
    PAGE_SIZE.size().unwrap_or_else(linux::page_size)
}

/// Same as [`crate::address_limit`], unless overridden by
/// [`set_address_limit`].
pub fn address_limit() -> Option<usize> {
    ADDRESS_LIMIT.size().or_else(linux::address_limit)
}

/// Same as [`crate::mapping_limit`], unless overridden by
/// [`set_mapping_limit`].
pub fn mapping_limit() -> usize {
    MAPPING_LIMIT.size().unwrap_or_else(linux::mapping_limit)
}

/// Same as [`crate::huge_pages`], unless overridden by [`set_huge_pages`].
pub fn huge_pages() -> HugePages {
    const ALL: [HugePages; 3] = [HugePages::Always, HugePages::Advised, HugePages::Never];
    HUGE_PAGES.size().map_or_else(linux::huge_pages, |answer| ALL[answer])
}

/// Same as [`crate::cpu_count`], unless overridden by [`set_cpu_count`].
pub fn cpu_count() -> usize {
    CPU_COUNT.size().unwrap_or_else(linux::cpu_count)
}

/// Same as [`crate::current_cpu`], unless overridden by [`set_current_cpu`].
pub fn current_cpu() -> usize {
    CURRENT_CPU.size().unwrap_or_else(linux::current_cpu)
}

/// Same as [`crate::monotonic_ms`], unless overridden by [`set_monotonic_ms`].
pub fn monotonic_ms() -> u64 {
    MONOTONIC_MS.get().unwrap_or_else(linux::monotonic_ms)
}

/// Overrides the page size in bytes; `None` removes the override. The size must
/// be a power of two and at least the system's page size. Set it before
/// anything is mapped.
pub fn set_page_size(bytes: Option<usize>) {
    PAGE_SIZE.set(bytes.map(|bytes| bytes as u64));
}

/// Overrides the address space limit in bytes; `None` removes the override. The
/// limit is reported, not enforced.
pub fn set_address_limit(bytes: Option<usize>) {
    ADDRESS_LIMIT.set(bytes.map(|bytes| bytes as u64));
}

/// Overrides the maximum number of mappings; `None` removes the override. The
/// limit is reported, not enforced.
pub fn set_mapping_limit(mappings: Option<usize>) {
    MAPPING_LIMIT.set(mappings.map(|mappings| mappings as u64));
}

/// Overrides the huge page mode; `None` removes the override.
pub fn set_huge_pages(when: Option<HugePages>) {
    HUGE_PAGES.set(when.map(|when| when as u64));
}

/// Overrides the number of CPUs; `None` removes the override.
pub fn set_cpu_count(count: Option<usize>) {
    CPU_COUNT.set(count.map(|count| count as u64));
}

/// Overrides the CPU that every thread reports; `None` removes the override.
pub fn set_current_cpu(cpu: Option<usize>) {
    CURRENT_CPU.set(cpu.map(|cpu| cpu as u64));
}

/// Overrides the time in milliseconds; `None` removes the override.
pub fn set_monotonic_ms(milliseconds: Option<u64>) {
    MONOTONIC_MS.set(milliseconds);
}

/// A path and the contents of the file; `None` if the file does not exist.
type File = (&'static CStr, Option<&'static [u8]>);

/// Files with fixed contents.
static FILES: SpinLock<[Option<File>; 32]> = SpinLock::new([None; 32]);

/// Same as [`crate::read_file`], unless overridden by [`set_file`].
pub fn read_file(path: &CStr, text: &mut [u8]) -> Result<usize, FileError> {
    let Some(contents) = fixed(path)? else { return linux::read_file(path, text) };
    let len = contents.len().min(text.len());
    text[..len].copy_from_slice(&contents[..len]);
    Ok(len)
}

/// Same as [`crate::read_lines`], unless overridden by [`set_file`].
pub fn read_lines(
    path: &CStr,
    buffer: &mut [u8],
    f: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), FileError> {
    let Some(mut rest) = fixed(path)? else { return linux::read_lines(path, buffer, f) };
    let read = |into: &mut [u8]| {
        let (now, later) = rest.split_at(rest.len().min(into.len()));
        into[..now.len()].copy_from_slice(now);
        rest = later;
        now.len()
    };
    linux::lines(read, buffer, f);
    Ok(())
}

/// The contents of a file that are set, if any are. Counts a call that reads a file.
fn fixed(path: &CStr) -> Result<Option<&'static [u8]>, FileError> {
    if Call::ReadFile.count_and_inject() {
        return Err(FileError::NoRoom);
    }
    let fixed = FILES.lock().iter().flatten().find(|(name, _)| *name == path).copied();
    fixed.map(|(_, contents)| contents.ok_or(FileError::Absent)).transpose()
}

/// Overrides the contents of a file; with `None` the file does not exist. At
/// most 32 files, until [`clear_files`].
pub fn set_file(path: &'static CStr, contents: Option<&'static [u8]>) {
    let mut files = FILES.lock();
    let same = files.iter().position(|file| file.is_some_and(|(name, _)| name == path));
    let place = same.or_else(|| files.iter().position(Option::is_none));
    if let Some(place) = place {
        files[place] = Some((path, contents));
    }
}

/// Removes all overrides of files.
pub fn clear_files() {
    *FILES.lock() = [None; 32];
}
