//! Questions to the system that can be given a fixed answer.

use super::failure::Call;
use super::lock::SpinLock;
use crate::linux::{self, FileError, HugePages};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

/// A fixed answer, if one is set.
struct Answer {
    /// The answer plus one; 0 for none.
    set: AtomicU64,
}

impl Answer {
    /// No fixed answer.
    const fn none() -> Self {
        Self { set: AtomicU64::new(0) }
    }

    /// Fixes the answer, or frees it. The largest number counts as none.
    fn set(&self, answer: Option<u64>) {
        let set = answer.map_or(0, |answer| answer.wrapping_add(1));
        self.set.store(set, Ordering::Relaxed);
    }

    /// The fixed answer.
    fn get(&self) -> Option<u64> {
        self.set.load(Ordering::Relaxed).checked_sub(1)
    }

    /// The fixed answer as a size.
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

/// As [`crate::page_size`], unless [`set_page_size`] fixed it.
pub fn page_size() -> usize {
    PAGE_SIZE.size().unwrap_or_else(linux::page_size)
}

/// As [`crate::address_limit`], unless [`set_address_limit`] fixed it.
pub fn address_limit() -> Option<usize> {
    ADDRESS_LIMIT.size().or_else(linux::address_limit)
}

/// As [`crate::mapping_limit`], unless [`set_mapping_limit`] fixed it.
pub fn mapping_limit() -> usize {
    MAPPING_LIMIT.size().unwrap_or_else(linux::mapping_limit)
}

/// As [`crate::huge_pages`], unless [`set_huge_pages`] fixed it.
pub fn huge_pages() -> HugePages {
    const ALL: [HugePages; 3] = [HugePages::Always, HugePages::Advised, HugePages::Never];
    HUGE_PAGES.size().map_or_else(linux::huge_pages, |answer| ALL[answer])
}

/// As [`crate::cpu_count`], unless [`set_cpu_count`] fixed it.
pub fn cpu_count() -> usize {
    CPU_COUNT.size().unwrap_or_else(linux::cpu_count)
}

/// As [`crate::current_cpu`], unless [`set_current_cpu`] fixed it.
pub fn current_cpu() -> usize {
    CURRENT_CPU.size().unwrap_or_else(linux::current_cpu)
}

/// As [`crate::monotonic_ms`], unless [`set_monotonic_ms`] fixed it.
pub fn monotonic_ms() -> u64 {
    MONOTONIC_MS.get().unwrap_or_else(linux::monotonic_ms)
}

/// Fixes the page size in bytes; `None` frees it. A power of two, not less
/// than the system's own; set before anything is mapped.
pub fn set_page_size(bytes: Option<usize>) {
    PAGE_SIZE.set(bytes.map(|bytes| bytes as u64));
}

/// Fixes the limit on addresses in bytes; `None` frees it. It is only told,
/// not enforced.
pub fn set_address_limit(bytes: Option<usize>) {
    ADDRESS_LIMIT.set(bytes.map(|bytes| bytes as u64));
}

/// Fixes the number of mappings that a process may have; `None` frees it. It is
/// only told, not enforced.
pub fn set_mapping_limit(mappings: Option<usize>) {
    MAPPING_LIMIT.set(mappings.map(|mappings| mappings as u64));
}

/// Fixes when the kernel seems to use huge pages; `None` frees it.
pub fn set_huge_pages(when: Option<HugePages>) {
    HUGE_PAGES.set(when.map(|when| when as u64));
}

/// Fixes the number of CPUs; `None` frees it.
pub fn set_cpu_count(count: Option<usize>) {
    CPU_COUNT.set(count.map(|count| count as u64));
}

/// Fixes the CPU that every thread finds itself on; `None` frees it.
pub fn set_current_cpu(cpu: Option<usize>) {
    CURRENT_CPU.set(cpu.map(|cpu| cpu as u64));
}

/// Fixes the time in milliseconds; `None` frees it.
pub fn set_monotonic_ms(milliseconds: Option<u64>) {
    MONOTONIC_MS.set(milliseconds);
}

/// A file and what it says; nothing, where it is not there.
type File = (&'static CStr, Option<&'static [u8]>);

/// Files with fixed contents.
static FILES: SpinLock<[Option<File>; 32]> = SpinLock::new([None; 32]);

/// As [`crate::read_file`], unless [`set_file`] fixed what it says.
pub fn read_file(path: &CStr, text: &mut [u8]) -> Result<usize, FileError> {
    if Call::ReadFile.count_and_inject() {
        return Err(FileError::NoRoom);
    }
    let fixed = FILES.lock().iter().flatten().find(|(name, _)| *name == path).copied();
    let Some((_, says)) = fixed else { return linux::read_file(path, text) };
    let says = says.ok_or(FileError::Absent)?;
    let len = says.len().min(text.len());
    text[..len].copy_from_slice(&says[..len]);
    Ok(len)
}

/// Fixes what a file says, or, with `None`, that it is not there. No more than 32
/// files, until [`clear_files`].
pub fn set_file(path: &'static CStr, says: Option<&'static [u8]>) {
    let mut files = FILES.lock();
    let same = files.iter().position(|file| file.is_some_and(|(name, _)| name == path));
    let place = same.or_else(|| files.iter().position(Option::is_none));
    if let Some(place) = place {
        files[place] = Some((path, says));
    }
}

/// Frees all files again.
pub fn clear_files() {
    *FILES.lock() = [None; 32];
}
