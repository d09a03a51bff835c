//! The limits of the container, and its memory pressure: those of the process's control
//! group (version 2) and of all groups above it. The kernel's files are read on demand,
//! on a stack of our own. An absent file means no limit.
//!
//! ```text
//!  /proc/self/cgroup        0::/a/b
//!  /sys/fs/cgroup/a/b       memory.max memory.high memory.current memory.stat cpu.max
//!  /sys/fs/cgroup/a         the same; and so on up
//!  …/a/b/memory.pressure    or /proc/pressure/memory
//! ```

use core::ffi::CStr;

use crate::base::ordering;
use crate::base::own_stack;
use crate::base::sync::{AtomicBool, AtomicU8, AtomicUsize};
use crate::sys::{self, FileError};

/// Memory counts as short from this percentage of a limit on.
const SHORT: usize = 90;
/// Below this percentage it is no longer short.
const PLENTY: usize = 85;
/// Percent of the last ten seconds in which some task waited for memory: the same two
/// thresholds.
const WAITS: usize = 10;
const WAITS_NO_MORE: usize = 5;

/// Whether memory was short at the last reading.
static SHORTAGE: AtomicBool = AtomicBool::new(false);

/// Files that were found absent, and are not read again: a set of the bits below.
static ABSENT: AtomicU8 = AtomicU8::new(0);

/// The memory limits, at all levels.
const LIMITS: u8 = 1;
/// How long tasks of the group wait for memory.
const GROUP_WAITS: u8 = 2;
/// How long tasks of the whole system wait for memory.
const SYSTEM_WAITS: u8 = 4;

/// Whether memory was short at the last reading.
#[inline]
pub(crate) fn is_pressed() -> bool {
    SHORTAGE.load(ordering::memory_short())
}

/// The tightest memory limit at the start, in bytes; 0: there was none.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Reads the memory limit, once, at set-up: later, only the helper opens files.
#[cold]
#[inline(never)]
pub(crate) fn read_limit() {
    let least = own_stack::run(least_limit);
    LIMIT.store(if least == NO_LIMIT { 0 } else { least }, ordering::cgroup_limit());
}

/// The tightest memory limit of all levels.
fn least_limit() -> usize {
    let mut least = NO_LIMIT;
    if let Ok(Some(group)) = Group::of_this() {
        let _ = group.for_levels(|group| {
            least = least.min(group.limit()?.unwrap_or(NO_LIMIT));
            Ok(())
        });
    }
    least
}

/// Returns whether memory is short, by the allocator's own bytes alone.
pub(crate) fn estimate(bytes: usize) -> bool {
    let limit = LIMIT.load(ordering::cgroup_limit());
    let percent = if is_pressed() { PLENTY } else { SHORT };
    let short = limit != 0 && bytes / percent >= limit / 100;
    if short != is_pressed() {
        SHORTAGE.store(short, ordering::memory_short());
    }
    short
}

/// Reads the files. Returns whether memory is short.
#[cold]
#[inline(never)]
pub(crate) fn update() -> bool {
    let before = is_pressed();
    // Where a file cannot be opened just now, the last reading stands.
    let after = own_stack::run(|| measure(before)).unwrap_or(before);
    if after != before {
        SHORTAGE.store(after, ordering::memory_short());
    }
    after
}

/// What a file of the kernel contains; `Ok(None)`: it does not exist.
type Told<T> = Result<Option<T>, FileError>;

/// Whether memory is short. The thresholds depend on whether it was `before`.
fn measure(before: bool) -> Result<bool, FileError> {
    const GROUP: u8 = LIMITS | GROUP_WAITS;
    let absent = ABSENT.load(ordering::cgroup_absent());
    let group = if absent & GROUP == GROUP { None } else { Group::of_this()? };
    let group = group.as_ref();
    let used = ask(LIMITS, || group.map_or(Ok(None), Group::shortage))?;
    let of_group = ask(GROUP_WAITS, || group.map_or(Ok(None), Group::waiting))?;
    let waits = match of_group {
        None => ask(SYSTEM_WAITS, || Ok(read(c"/proc/pressure/memory", waiting)?.flatten()))?,
        told => told,
    };
    let (used, waits) = (used.unwrap_or(0), waits.unwrap_or(0));
    let (short, too_long) = if before { (PLENTY, WAITS_NO_MORE) } else { (SHORT, WAITS) };
    Ok(used >= short || waits >= too_long)
}

/// Asks `question`, unless `what` is known to be absent; records it if it is now.
fn ask(what: u8, question: impl FnOnce() -> Told<usize>) -> Told<usize> {
    if ABSENT.load(ordering::cgroup_absent()) & what != 0 {
        return Ok(None);
    }
    let told = question()?;
    if told.is_none() {
        ABSENT.fetch_or(what, ordering::cgroup_absent());
    }
    Ok(told)
}

/// Percent of the last ten seconds in which some task waited for memory.
fn waiting(text: &[u8]) -> Option<usize> {
    line(text, b"some avg10=").and_then(number)
}

/// Number of processors whose time the container may use, rounded up. `None`: there is
/// no limit.
#[cold]
pub(crate) fn cpus() -> Option<usize> {
    own_stack::run(least_cpus)
}

fn least_cpus() -> Option<usize> {
    let mut least: Option<usize> = None;
    let levels = Group::of_this().ok()??.for_levels(|group| {
        if let Some(cpus) = group.read(b"cpu.max", cpus_of)?.flatten() {
            least = Some(least.map_or(cpus, |least| least.min(cpus)));
        }
        Ok(())
    });
    levels.ok()?;
    least
}

/// Processors of `QUOTA PERIOD`; `None` for `max PERIOD`.
fn cpus_of(text: &[u8]) -> Option<usize> {
    let quota = number(text)?;
    let blank = text.iter().position(|byte| *byte == b' ')?;
    let period = number(&text[blank + 1..])?;
    Some(quota.div_ceil(period.max(1)).max(1))
}

/// Bytes read of a file.
const TEXT: usize = 2048;
/// Bytes of a path with its terminating null; a group with a longer path is ignored.
const PATH: usize = 512;
const ROOT: &[u8] = b"/sys/fs/cgroup";

/// A control group: the path of its directory.
struct Group {
    path: [u8; PATH],
    len: usize,
}

impl Group {
    /// The group of this process.
    fn of_this() -> Told<Group> {
        Ok(read(c"/proc/self/cgroup", Group::named)?.flatten())
    }

    /// The group that a text of `/proc/self/cgroup` names.
    fn named(text: &[u8]) -> Option<Group> {
        let place = line(text, b"0::")?;
        let place = place.split(|byte| *byte == b'\n').next()?;
        let mut group = Group { path: [0; PATH], len: 0 };
        group.push(ROOT)?;
        group.push(place.strip_suffix(b"/").unwrap_or(place))?;
        Some(group)
    }

    fn push(&mut self, part: &[u8]) -> Option<()> {
        let end = self.len + part.len();
        // One byte stays free for the terminating null.
        self.path.get_mut(self.len..end).filter(|_| end < PATH)?.copy_from_slice(part);
        self.len = end;
        Some(())
    }

    /// Calls `f` for the group and for each group above it.
    fn for_levels(
        &self,
        mut f: impl FnMut(&Group) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let mut level = Group { path: self.path, len: self.len };
        while level.len >= ROOT.len() {
            f(&level)?;
            let above = level.path[..level.len].iter().rposition(|byte| *byte == b'/');
            level.len = above.unwrap_or(0);
        }
        Ok(())
    }

    /// Percentage of the tightest memory limit that is used by pages that cannot be
    /// dropped; 0 without a limit. `None`: no level has files for limits.
    fn shortage(&self) -> Told<usize> {
        let mut most = None;
        self.for_levels(|group| {
            if let Some(limit) = group.limit()? {
                most = most.max(Some(group.used(limit)?));
            }
            Ok(())
        })?;
        Ok(most)
    }

    /// The limit at this level; `None`: it has no files for limits.
    fn limit(&self) -> Told<usize> {
        let high = self.read(b"memory.high", limit)?;
        let max = self.read(b"memory.max", limit)?;
        Ok(high.into_iter().chain(max).min())
    }

    /// Percentage of a limit that is used at this level.
    fn used(&self, limit: usize) -> Result<usize, FileError> {
        if limit == NO_LIMIT {
            return Ok(0);
        }
        let current = self.read(b"memory.current", number)?.flatten().unwrap_or(0);
        // Page cache does not count: it fills any limit in time, and is reclaimed.
        let files = self.read(b"memory.stat", |text| {
            let bytes = |name| line(text, name).and_then(number).unwrap_or(0);
            bytes(b"inactive_file ") + bytes(b"active_file ")
        })?;
        let used = current.saturating_sub(files.unwrap_or(0));
        Ok(used.saturating_mul(100) / limit.max(1))
    }

    /// Percent of the last ten seconds in which some task of the group waited for
    /// memory.
    fn waiting(&self) -> Told<usize> {
        Ok(self.read(b"memory.pressure", waiting)?.flatten())
    }

    /// Reads a file of the group.
    fn read<R>(&self, name: &[u8], f: impl FnOnce(&[u8]) -> R) -> Told<R> {
        let mut file = Group { path: self.path, len: self.len };
        let named = file.push(b"/").and_then(|()| file.push(name));
        file.path[file.len] = 0;
        match CStr::from_bytes_until_nul(&file.path) {
            Ok(path) if named.is_some() => read(path, f),
            _ => Ok(None),
        }
    }
}

/// Calls `f` with the start of a file, if the file exists.
fn read<R>(path: &CStr, f: impl FnOnce(&[u8]) -> R) -> Told<R> {
    let mut text = [0; TEXT];
    match sys::read_file(path, &mut text) {
        Ok(len) => Ok(Some(f(&text[..len]))),
        Err(FileError::Absent) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The limit of a group without one.
const NO_LIMIT: usize = usize::MAX;

/// The limit that a file contains: a number, or `max`.
fn limit(text: &[u8]) -> usize {
    number(text).unwrap_or(NO_LIMIT)
}

/// The text after `start`, from the line that begins with it.
fn line<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        if let Some(found) = rest.strip_prefix(start) {
            return Some(found);
        }
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        rest = &rest[end + 1..];
    }
}

/// The whole number that a text begins with.
fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number: Option<usize>, digit| {
        let digit = usize::from(digit - b'0');
        Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_to_their_end() {
        assert_eq!(number(b"268435456\n"), Some(268_435_456));
        assert_eq!(number(b"12.34 avg60=0.00"), Some(12));
        assert_eq!(number(b"max\n"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"99999999999999999999999"), Some(usize::MAX));
    }

    #[test]
    fn lines_are_found_by_their_start() {
        let text = b"anon 5\nfile 70\ninactive_file 30\nactive_file 40\n";
        assert_eq!(line(text, b"inactive_file ").and_then(number), Some(30));
        assert_eq!(line(text, b"active_file ").and_then(number), Some(40));
        assert_eq!(line(text, b"shmem "), None);
        let pressure = b"some avg10=3.27 avg60=1.00 avg300=0.10 total=9\nfull avg10=1.00\n";
        assert_eq!(line(pressure, b"some avg10=").and_then(number), Some(3));
    }

    #[test]
    fn processors_are_rounded_up() {
        assert_eq!(cpus_of(b"150000 100000\n"), Some(2));
        assert_eq!(cpus_of(b"400000 100000\n"), Some(4));
        assert_eq!(cpus_of(b"1000 100000\n"), Some(1));
        assert_eq!(cpus_of(b"max 100000\n"), None);
        assert_eq!(cpus_of(b"5"), None);
    }

    #[test]
    fn limits_are_numbers_or_none() {
        assert_eq!(limit(b"268435456\n"), 268_435_456);
        assert_eq!(limit(b"max\n"), NO_LIMIT);
        assert_eq!(limit(b""), NO_LIMIT);
    }

    #[test]
    fn the_group_is_that_of_version_2() {
        let is = |text: &[u8], place: &[u8]| {
            let group = Group::named(text).unwrap();
            assert_eq!(group.path[..group.len], [ROOT, place].concat()[..]);
        };
        is(b"0::/\n", b"");
        is(b"0::/a/b\n", b"/a/b");
        is(b"9:memory:/old\n0::/new\n", b"/new");
        assert!(Group::named(b"9:memory:/old\n").is_none());
        assert!(Group::named(b"").is_none());
        let mut long = [b'x'; 2 * PATH];
        long[..4].copy_from_slice(b"0::/");
        assert!(Group::named(&long).is_none());
    }

    #[test]
    fn a_group_is_looked_at_with_all_above_it() {
        let mut group = Group { path: [0; PATH], len: 0 };
        group.push(ROOT).unwrap();
        group.push(b"/a/b").unwrap();
        let mut lens = [0; 8];
        let mut levels = 0;
        let all = group.for_levels(|level| {
            lens[levels] = level.len - ROOT.len();
            levels += 1;
            Ok(())
        });
        assert_eq!((all, &lens[..levels]), (Ok(()), &[4, 2, 0][..]));
        let mut group = Group { path: [0; PATH], len: 0 };
        assert!(group.push(&[b'x'; PATH]).is_none());
    }
}
