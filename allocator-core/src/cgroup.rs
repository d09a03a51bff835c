//! What the container allows: the limits of the process's control group (version 2)
//! and of those that it lies in, and how hard pressed it is for memory. Read from
//! the kernel's files, when somebody asks; what is not there does not limit.
//!
//! ```text
//!  /proc/self/cgroup        0::/a/b
//!  /sys/fs/cgroup/a/b       memory.max memory.high memory.current memory.stat cpu.max
//!  /sys/fs/cgroup/a         the same; and so on up
//!  …/a/b/memory.pressure    or /proc/pressure/memory
//! ```

use core::ffi::CStr;

use crate::order;
use crate::sync::AtomicU8;
use crate::sys;

/// Of a limit, in percent: from here on memory is short.
const SHORT: usize = 90;
/// And from here on it is not any more.
const PLENTY: usize = 85;
/// Percent of the last ten seconds in which some task waited for memory: likewise.
const WAITS: usize = 10;
const WAITS_NO_MORE: usize = 5;

const UNKNOWN: u8 = 0;
const EASY: u8 = 1;
const PRESSED: u8 = 2;
/// There is nothing to read: nobody needs to look again.
const ABSENT: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whether memory was short when somebody last looked.
#[inline]
pub(crate) fn is_pressed() -> bool {
    STATE.load(order::hint()) == PRESSED
}

/// Looks whether memory is short. Says so.
pub(crate) fn look() -> bool {
    let before = STATE.load(order::hint());
    if before == ABSENT {
        return false;
    }
    let after = match (shortage(), waiting()) {
        (None, None) => ABSENT,
        (used, waits) => {
            let (used, waits) = (used.unwrap_or(0), waits.unwrap_or(0));
            let pressed = if before == PRESSED {
                used >= PLENTY || waits >= WAITS_NO_MORE
            } else {
                used >= SHORT || waits >= WAITS
            };
            if pressed { PRESSED } else { EASY }
        }
    };
    STATE.store(after, order::hint());
    after == PRESSED
}

/// Percent of the tightest memory limit that are used, by what cannot be dropped.
/// `None`: there is no limit.
fn shortage() -> Option<usize> {
    let mut most = None;
    Group::of_this()?.for_levels(|group| {
        let high = group.number(b"memory.high");
        let max = group.number(b"memory.max");
        if let Some(limit) = high.into_iter().chain(max).min()
            && let Some(current) = group.number(b"memory.current")
        {
            // Pages of files come and go, and fill any limit in time.
            let files = group.read(b"memory.stat", |text| {
                let bytes = |name| line(text, name).and_then(number).unwrap_or(0);
                bytes(b"inactive_file ") + bytes(b"active_file ")
            });
            let used = current.saturating_sub(files.unwrap_or(0));
            let percent = used.saturating_mul(100) / limit.max(1);
            most = most.max(Some(percent));
        }
    });
    most
}

/// Percent of the last ten seconds in which some task waited for memory.
fn waiting() -> Option<usize> {
    let avg = |text: &[u8]| line(text, b"some avg10=").and_then(number);
    let group = Group::of_this();
    group
        .and_then(|group| group.read(b"memory.pressure", avg).flatten())
        .or_else(|| read(c"/proc/pressure/memory", avg).flatten())
}

/// Processors' worth of time that the container may use, rounded up. `None`: there
/// is no limit.
pub(crate) fn cpus() -> Option<usize> {
    let mut least: Option<usize> = None;
    Group::of_this()?.for_levels(|group| {
        if let Some(cpus) = group.read(b"cpu.max", cpus_of).flatten() {
            least = Some(least.map_or(cpus, |least| least.min(cpus)));
        }
    });
    least
}

/// From `QUOTA PERIOD`; none of `max PERIOD`.
fn cpus_of(text: &[u8]) -> Option<usize> {
    let quota = number(text)?;
    let blank = text.iter().position(|byte| *byte == b' ')?;
    let period = number(&text[blank + 1..])?;
    Some(quota.div_ceil(period.max(1)).max(1))
}

/// Bytes of a file that are looked at.
const TEXT: usize = 2048;
/// Bytes of a path, its end included; a group that lies deeper is not looked at.
const PATH: usize = 512;
const ROOT: &[u8] = b"/sys/fs/cgroup";

/// A control group: its folder.
struct Group {
    path: [u8; PATH],
    len: usize,
}

impl Group {
    /// The one of this process.
    fn of_this() -> Option<Group> {
        read(c"/proc/self/cgroup", |text| {
            let place = line(text, b"0::")?;
            let place = place.split(|byte| *byte == b'\n').next()?;
            let mut group = Group { path: [0; PATH], len: 0 };
            group.push(ROOT)?;
            group.push(place.strip_suffix(b"/").unwrap_or(place))?;
            Some(group)
        })?
    }

    fn push(&mut self, part: &[u8]) -> Option<()> {
        let end = self.len + part.len();
        // One byte stays, for the end of a string.
        self.path.get_mut(self.len..end).filter(|_| end < PATH)?.copy_from_slice(part);
        self.len = end;
        Some(())
    }

    /// Calls `f` with the group and all above it.
    fn for_levels(mut self, mut f: impl FnMut(&Group)) {
        while self.len >= ROOT.len() {
            f(&self);
            let above = self.path[..self.len].iter().rposition(|byte| *byte == b'/');
            self.len = above.unwrap_or(0);
        }
    }

    /// Reads a file of the group.
    fn read<R>(&self, name: &[u8], f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut file = Group { path: self.path, len: self.len };
        file.push(b"/")?;
        file.push(name)?;
        file.path[file.len] = 0;
        read(CStr::from_bytes_until_nul(&file.path).ok()?, f)
    }

    /// The number in a file of the group; none of `max`.
    fn number(&self, name: &[u8]) -> Option<usize> {
        self.read(name, number).flatten()
    }
}

/// Calls `f` with the start of a file, if it can be read.
fn read<R>(path: &CStr, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let mut text = [0; TEXT];
    let len = sys::read_file(path, &mut text).ok()?;
    Some(f(&text[..len]))
}

/// What follows upon `start` in the line that begins with it.
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
    fn a_group_is_looked_at_with_all_above_it() {
        let mut group = Group { path: [0; PATH], len: 0 };
        group.push(ROOT).unwrap();
        group.push(b"/a/b").unwrap();
        let mut lens = [0; 8];
        let mut levels = 0;
        group.for_levels(|level| {
            lens[levels] = level.len - ROOT.len();
            levels += 1;
        });
        assert_eq!(lens[..levels], [4, 2, 0]);
        let mut group = Group { path: [0; PATH], len: 0 };
        assert!(group.push(&[b'x'; PATH]).is_none());
    }
}
