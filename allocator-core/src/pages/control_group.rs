//! A control group of the process, of version 1 or 2: where its directory is, and what the
//! kernel's files there say. They are read on demand, on a stack of our own. An absent file
//! means no limit.
//!
//! ```text
//!  /proc/self/cgroup      4:memory:/pod/app                 the group, by version 1
//!                         0::/system/app                    by version 2
//!  /proc/self/mountinfo   … /pod /cg/m … - cgroup … memory  where groups of version 1 are
//!                         … / /cg/two … - cgroup2 …         of version 2
//!  /cg/m/app              the group's files, by version 1: the mount begins at /pod
//!  /cg/m                  the same of the group above; and so on up to the mount
//!  /cg/two/system/app     by version 2
//! ```
//!
//! A controller belongs to one version. Where both are mounted, version 1 has it if the
//! process has a group there.

use core::ffi::CStr;
use core::ops::ControlFlow;

use crate::sys::{self, FileError};

/// Bytes read of a file, and the longest line.
const TEXT: usize = 2048;
/// Bytes of a path with its terminating null; a group with a longer path is ignored.
const PATH: usize = 512;

/// Where groups usually are: of version 2; of version 1, below, in a directory that has the
/// name of the controller, and those of version 2 beside them.
const USUAL: &[u8] = b"/sys/fs/cgroup";
const BESIDE: &[u8] = b"/unified";

/// What a file of the kernel contains; `Ok(None)`: it does not exist.
pub(super) type Told<T> = Result<Option<T>, FileError>;

/// The names of a group's files.
struct Files {
    /// Each group has this one.
    any: &'static [u8],
    /// Each has a limit on memory, in bytes.
    limits: &'static [&'static [u8]],
    /// Bytes of memory in use.
    used: &'static [u8],
    /// Lines of `memory.stat`: bytes of files that were not used lately, and that were.
    pages_of_files: [&'static [u8]; 2],
    /// Time of processors in a period, in µs.
    quota: &'static [u8],
    /// The period. `None`: it follows the quota.
    period: Option<&'static [u8]>,
}

/// The soft limit is none: it may be exceeded while the system has memory.
static VERSION_1: Files = Files {
    any: b"notify_on_release",
    limits: &[b"memory.limit_in_bytes"],
    used: b"memory.usage_in_bytes",
    pages_of_files: [b"total_inactive_file ", b"total_active_file "],
    quota: b"cpu.cfs_quota_us",
    period: Some(b"cpu.cfs_period_us"),
};

static VERSION_2: Files = Files {
    any: b"cgroup.controllers",
    limits: &[b"memory.high", b"memory.max"],
    used: b"memory.current",
    pages_of_files: [b"inactive_file ", b"active_file "],
    quota: b"cpu.max",
    period: None,
};

/// The groups that the process belongs to.
pub(super) struct Groups {
    /// The one with the controller that was asked for.
    version_1: Option<Group>,
    version_2: Option<Group>,
}

impl Groups {
    pub(super) const NONE: Groups = Groups { version_1: None, version_2: None };

    /// The groups of this process; in version 1, by this controller.
    pub(super) fn of_this(controller: &[u8]) -> Result<Groups, FileError> {
        let (mut first, mut second) = (None, None);
        let named = lines(c"/proc/self/cgroup", |line| {
            match name(line, controller) {
                Some((Version::One, name)) => first = Path::of(name).map(Search::new),
                Some((Version::Two, name)) => second = Path::of(name).map(Search::new),
                None => {}
            }
            ControlFlow::Continue(())
        })?;
        if named.is_none() || (first.is_none() && second.is_none()) {
            return Ok(Groups::NONE);
        }
        // Where they usually are, they are found without the table of mounts, which may be long.
        let usual = Groups::at_usual(controller, first.as_ref(), second.as_ref());
        if let Some(group) = usual.controlled()
            && group.has_files()?
        {
            return Ok(usual);
        }
        let mounted = lines(c"/proc/self/mountinfo", |line| {
            let Some(mount) = Mount::read(line) else { return ControlFlow::Continue(()) };
            match mount.version(controller) {
                Some(Version::One) => look_at(&mut first, &mount),
                Some(Version::Two) => look_at(&mut second, &mount),
                None => {}
            }
            let is_done = |search: &Option<Search>| search.as_ref().is_none_or(|it| it.is_done);
            if is_done(&first) && is_done(&second) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if mounted.is_none() {
            return Ok(usual);
        }
        let found = |search: Option<Search>, files| {
            search.and_then(|it| it.found).map(|(path, top)| Group { path, top, files })
        };
        Ok(Groups { version_1: found(first, &VERSION_1), version_2: found(second, &VERSION_2) })
    }

    /// The groups of these names where they usually are.
    fn at_usual(controller: &[u8], first: Option<&Search>, second: Option<&Search>) -> Groups {
        let [one, two] = [&[USUAL, b"/", controller][..], &[USUAL]];
        let two = if first.is_some() { &[USUAL, BESIDE] } else { two };
        Groups {
            version_1: first.and_then(|it| Group::at(one, &it.name, &VERSION_1)),
            version_2: second.and_then(|it| Group::at(two, &it.name, &VERSION_2)),
        }
    }

    /// The one that has the controller.
    pub(super) fn controlled(&self) -> Option<&Group> {
        self.version_1.as_ref().or(self.version_2.as_ref())
    }

    /// The one of version 2, which has no controller if version 1 has it.
    pub(super) fn version_2(&self) -> Option<&Group> {
        self.version_2.as_ref()
    }
}

enum Version {
    One,
    Two,
}

/// The name in a line of `/proc/self/cgroup`, `HIERARCHY:CONTROLLERS:NAME`, if it is of
/// version 2, or of version 1 and this controller.
fn name<'a>(line: &'a [u8], controller: &[u8]) -> Option<(Version, &'a [u8])> {
    if let Some(name) = line.strip_prefix(b"0::") {
        return Some((Version::Two, name));
    }
    let mut parts = line.splitn(3, |byte| *byte == b':');
    let controllers = parts.nth(1)?;
    let name = parts.next()?;
    lists(controllers, controller).then_some((Version::One, name))
}

/// Whether a list, separated by commas, has a word.
fn lists(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|it| it == word)
}

/// A line of `/proc/self/mountinfo`:
/// `ID PARENT DEVICE ROOT PLACE OPTIONS … - KIND SOURCE OPTIONS`.
struct Mount<'a> {
    /// The directory of its file system that it begins at; escaped.
    root: &'a [u8],
    /// Where it is; escaped.
    place: &'a [u8],
    kind: &'a [u8],
    options: &'a [u8],
}

impl Mount<'_> {
    fn read(line: &[u8]) -> Option<Mount<'_>> {
        let mut fields = line.split(|byte| *byte == b' ');
        let (root, place) = (fields.nth(3)?, fields.next()?);
        fields.find(|field| *field == b"-")?;
        let (kind, options) = (fields.next()?, fields.nth(1)?);
        Some(Mount { root, place, kind, options })
    }

    /// The version of the groups that are mounted there; in version 1, with this controller.
    fn version(&self, controller: &[u8]) -> Option<Version> {
        match self.kind {
            b"cgroup2" => Some(Version::Two),
            b"cgroup" if lists(self.options, controller) => Some(Version::One),
            _ => None,
        }
    }
}

/// The search for the directory of a group.
struct Search {
    name: Path,
    /// Its path, and the length of the mount's.
    found: Option<(Path, usize)>,
    /// Whether no other mount fits better.
    is_done: bool,
}

impl Search {
    fn new(name: Path) -> Search {
        Search { name, found: None, is_done: false }
    }

    /// Looks for the group in a mount. It is surely there if its name begins with the mount's
    /// root. If none does, the first mount is taken: what is mounted is an outer group, or
    /// this one under another name.
    fn look_at(&mut self, mount: &Mount) {
        let inside = self.name.below(mount.root);
        if self.is_done || (inside.is_none() && self.found.is_some()) {
            return;
        }
        let place = Path::unescaped(mount.place);
        let found = place.and_then(|mut path| {
            let top = path.len;
            path.push(inside.unwrap_or(self.name.bytes()))?;
            Some((path, top))
        });
        self.is_done = inside.is_some() && found.is_some();
        self.found = found.or(self.found.take());
    }
}

fn look_at(search: &mut Option<Search>, mount: &Mount) {
    if let Some(search) = search {
        search.look_at(mount);
    }
}

/// A path, without a slash at its end.
#[derive(Clone)]
struct Path {
    bytes: [u8; PATH],
    len: usize,
}

impl Path {
    const EMPTY: Path = Path { bytes: [0; PATH], len: 0 };

    fn of(text: &[u8]) -> Option<Path> {
        let mut path = Path::EMPTY;
        path.push(text.strip_suffix(b"/").unwrap_or(text))?;
        Some(path)
    }

    /// The path that a field of `mountinfo` stands for.
    fn unescaped(field: &[u8]) -> Option<Path> {
        let mut path = Path::EMPTY;
        for byte in unescaped(field) {
            path.push(&[byte])?;
        }
        path.len -= usize::from(path.bytes().ends_with(b"/"));
        Some(path)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, part: &[u8]) -> Option<()> {
        let end = self.len + part.len();
        // One byte stays free for the terminating null.
        self.bytes.get_mut(self.len..end).filter(|_| end < PATH)?.copy_from_slice(part);
        self.len = end;
        Some(())
    }

    /// What follows a root, an escaped path, in this one.
    fn below(&self, root: &[u8]) -> Option<&[u8]> {
        let root = root.strip_suffix(b"/").unwrap_or(root);
        let mut rest = self.bytes();
        for byte in unescaped(root) {
            rest = rest.strip_prefix(&[byte])?;
        }
        (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
    }
}

/// The bytes that a field of `mountinfo` stands for: blanks, for one, are written `\040`.
fn unescaped(field: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = field;
    core::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        rest = after;
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) =
            (first, after)
        {
            rest = after;
            return Some(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
        }
        Some(*first)
    })
}

/// A control group: its directory, or one above it.
pub(super) struct Group {
    path: Path,
    /// Length of the path of the highest group that is mounted.
    top: usize,
    files: &'static Files,
}

impl Group {
    /// The group of that name, if the highest is in the directory that these parts make.
    fn at(place: &[&[u8]], name: &Path, files: &'static Files) -> Option<Group> {
        let mut path = Path::EMPTY;
        for part in place {
            path.push(part)?;
        }
        let top = path.len;
        path.push(name.bytes())?;
        Some(Group { path, top, files })
    }

    /// Whether its directory is there.
    fn has_files(&self) -> Result<bool, FileError> {
        Ok(self.read(self.files.any, |_| ())?.is_some())
    }

    /// Calls `f` for the group and for each group above it.
    fn for_levels(
        &self,
        mut f: impl FnMut(&Group) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let mut level = Group { path: self.path.clone(), ..*self };
        loop {
            f(&level)?;
            if level.path.len <= self.top {
                return Ok(());
            }
            let above = level.path.bytes().iter().rposition(|byte| *byte == b'/');
            level.path.len = above.unwrap_or(0).max(self.top);
        }
    }

    /// The tightest memory limit of all levels, in bytes.
    pub(super) fn least_limit(&self) -> Result<usize, FileError> {
        let mut least = NO_LIMIT;
        self.for_levels(|group| {
            least = least.min(group.limit()?.unwrap_or(NO_LIMIT));
            Ok(())
        })?;
        Ok(least)
    }

    /// Percentage of the tightest memory limit that is used by pages that cannot be
    /// dropped; 0 without a limit. `None`: no level has files for limits.
    pub(super) fn shortage(&self) -> Told<usize> {
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
        let mut least = None;
        for name in self.files.limits {
            let limit = self.read(name, limit)?;
            least = least.into_iter().chain(limit).min();
        }
        Ok(least)
    }

    /// Percentage of a limit that is used at this level.
    fn used(&self, limit: usize) -> Result<usize, FileError> {
        if limit == NO_LIMIT {
            return Ok(0);
        }
        let current = self.read(self.files.used, number)?.flatten().unwrap_or(0);
        // Page cache does not count: it fills any limit in time, and is reclaimed.
        let mut cached = 0usize;
        self.in_file(b"memory.stat", |path| {
            lines(path, |line| {
                let bytes = |name: &&[u8]| number(line.strip_prefix(*name)?);
                let found = self.files.pages_of_files.iter().find_map(bytes);
                cached = cached.saturating_add(found.unwrap_or(0));
                ControlFlow::Continue(())
            })
        })?;
        let used = current.saturating_sub(cached);
        Ok(used.saturating_mul(100) / limit.max(1))
    }

    /// Percent of the last ten seconds in which some task of the group waited for
    /// memory.
    pub(super) fn waiting(&self) -> Told<usize> {
        Ok(self.read(b"memory.pressure", waiting)?.flatten())
    }

    /// The least number of processors that a level may use; `None`: none has a limit.
    pub(super) fn least_cpus(&self) -> Told<usize> {
        let mut least: Option<usize> = None;
        self.for_levels(|group| {
            least = least.into_iter().chain(group.cpus()?).min();
            Ok(())
        })?;
        Ok(least)
    }

    /// The number of processors whose time this level may use, rounded up.
    fn cpus(&self) -> Told<usize> {
        let quota = self.read(self.files.quota, |text| Some((number(text)?, second(text))))?;
        let Some((quota, beside)) = quota.flatten() else { return Ok(None) };
        let period = match self.files.period {
            Some(name) => self.read(name, number)?.flatten(),
            None => beside,
        };
        Ok(period.map(|period| quota.div_ceil(period.max(1)).max(1)))
    }

    /// Reads a file of the group.
    fn read<R>(&self, name: &[u8], f: impl FnOnce(&[u8]) -> R) -> Told<R> {
        self.in_file(name, |path| read(path, f))
    }

    /// Calls `f` with the path of a file of the group.
    fn in_file<R>(&self, name: &[u8], f: impl FnOnce(&CStr) -> Told<R>) -> Told<R> {
        let mut path = self.path.clone();
        let named = path.push(b"/").and_then(|()| path.push(name));
        if let Some(end) = path.bytes.get_mut(path.len) {
            *end = 0;
        }
        match CStr::from_bytes_until_nul(&path.bytes) {
            Ok(path) if named.is_some() => f(path),
            _ => Ok(None),
        }
    }
}

/// Percent of the last ten seconds in which some task of the system waited for memory.
pub(super) fn system_waiting() -> Told<usize> {
    Ok(read(c"/proc/pressure/memory", waiting)?.flatten())
}

fn waiting(text: &[u8]) -> Option<usize> {
    number(text.strip_prefix(b"some avg10=")?)
}

/// Calls `f` with the start of a file, if the file exists.
fn read<R>(path: &CStr, f: impl FnOnce(&[u8]) -> R) -> Told<R> {
    let mut text = [0; TEXT];
    known(sys::read_file(path, &mut text).map(|len| f(&text[..len])))
}

/// Calls `f` for the lines of a file, if the file exists.
fn lines(path: &CStr, f: impl FnMut(&[u8]) -> ControlFlow<()>) -> Told<()> {
    known(sys::read_lines(path, &mut [0; TEXT], f))
}

fn known<R>(read: Result<R, FileError>) -> Told<R> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(FileError::Absent) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The limit of a group without one.
pub(super) const NO_LIMIT: usize = usize::MAX;

/// What version 1 says where there is no limit depends on the page size, and is above this.
const LARGEST: usize = 1 << 62;

/// The limit that a file contains: a number, or `max`.
fn limit(text: &[u8]) -> usize {
    number(text).filter(|limit| *limit < LARGEST).unwrap_or(NO_LIMIT)
}

/// The number after the first blank.
fn second(text: &[u8]) -> Option<usize> {
    number(text.splitn(2, |byte| *byte == b' ').nth(1)?)
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
        assert_eq!(number(b"-1\n"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"99999999999999999999999"), Some(usize::MAX));
        assert_eq!(second(b"150000 100000\n"), Some(100_000));
        assert_eq!(second(b"150000\n"), None);
        assert_eq!(waiting(b"some avg10=3.27 avg60=1.00\nfull avg10=1.00\n"), Some(3));
        assert_eq!(waiting(b"full avg10=1.00\n"), None);
    }

    #[test]
    fn limits_are_numbers_or_none() {
        assert_eq!(limit(b"268435456\n"), 268_435_456);
        assert_eq!(limit(b"max\n"), NO_LIMIT);
        assert_eq!(limit(b""), NO_LIMIT);
        // Version 1, with pages of 4 KiB and of 64 KiB.
        assert_eq!(limit(b"9223372036854771712\n"), NO_LIMIT);
        assert_eq!(limit(b"9223372036854710272\n"), NO_LIMIT);
    }

    #[test]
    fn a_group_is_named_by_version_and_controller() {
        let named = |line: &'static [u8]| {
            name(line, b"cpu").map(|(version, name)| (matches!(version, Version::One), name))
        };
        assert_eq!(named(b"0::/a/b"), Some((false, &b"/a/b"[..])));
        assert_eq!(named(b"3:cpu,cpuacct:/x"), Some((true, &b"/x"[..])));
        assert_eq!(named(b"3:cpuacct,cpu:/x:y"), Some((true, &b"/x:y"[..])));
        assert_eq!(named(b"12:cpu:/"), Some((true, &b"/"[..])));
        for other in [
            &b"3:cpuacct:/x"[..],
            b"3:cpuset:/x",
            b"1:name=cpu:/x",
            b"3:cpu",
            b"",
            b"4:memory:/cpu",
        ] {
            assert_eq!(named(other), None);
        }
    }

    #[test]
    fn mounts_of_groups_are_known() {
        let is = |line: &'static [u8]| {
            let version = Mount::read(line)?.version(b"cpu")?;
            Some(matches!(version, Version::One))
        };
        assert_eq!(is(b"41 31 0:38 / /c rw,relatime - cgroup2 cgroup2 rw"), Some(false));
        assert_eq!(
            is(b"41 31 0:38 / /c rw shared:9 master:2 - cgroup2  rw,nsdelegate"),
            Some(false)
        );
        assert_eq!(is(b"32 31 0:29 / /c rw - cgroup cgroup rw,cpu,cpuacct"), Some(true));
        assert_eq!(is(b"32 31 0:29 / /c rw - cgroup none rw,xattr,cpuacct,cpu"), Some(true));
        for other in [
            &b"32 31 0:29 / /c rw,cpu - cgroup cgroup rw,cpuacct"[..],
            b"32 31 0:29 / /cgroup rw - tmpfs cgroup rw,cpu",
            b"32 31 0:29 / /c rw - cgroup cgroup",
            b"32 31 0:29 / /c rw",
            b"",
        ] {
            assert_eq!(is(other), None);
        }
    }

    /// The path at which a group is found among mounts `ROOT PLACE`, and the mount's length.
    fn found(name: &[u8], mounts: &[(&str, &str)]) -> Option<(Path, usize)> {
        let mut search = Search::new(Path::of(name)?);
        for (root, place) in mounts {
            let (root, place) = (root.as_bytes(), place.as_bytes());
            search.look_at(&Mount { root, place, kind: b"", options: b"" });
        }
        search.found
    }

    #[test]
    fn the_root_of_a_mount_is_no_part_of_the_path() {
        let is = |name: &str, mounts: &[(&str, &str)], path: &str, top: usize| {
            let found = found(name.as_bytes(), mounts);
            let found = found.as_ref().map(|(path, top)| (str::from_utf8(path.bytes()), *top));
            assert_eq!(found, Some((Ok(path), top)), "{name} {mounts:?}");
        };
        is("/", &[("/", "/cg")], "/cg", 3);
        is("/a/b", &[("/", "/cg")], "/cg/a/b", 3);
        is("/a/b", &[("/a", "/cg")], "/cg/b", 3);
        is("/a/b", &[("/a/b", "/cg")], "/cg", 3);
        is("/a/b", &[("/", "/")], "/a/b", 0);
        is("/a b/c", &[(r"/a\040b", r"/c\134g\011\012")], "/c\\g\t\n/c", 6);
        // What looks like the start of an escape.
        is("/a", &[("/", r"/c\04\477")], r"/c\04\477/a", 9);
        // Another directory whose name begins alike, and a group that is not mounted.
        is("/ab", &[("/a", "/cg")], "/cg/ab", 3);
        is("/b", &[("/a", "/cg"), ("/c", "/cg2")], "/cg/b", 3);
        // The first mount that has the group counts.
        is("/b/c", &[("/a", "/cg"), ("/b", "/cg2"), ("/", "/cg3")], "/cg2/c", 4);
    }

    #[test]
    fn a_group_with_a_long_path_is_ignored() {
        assert!(Path::of(&[b'x'; PATH - 1]).is_some() && Path::of(&[b'x'; PATH]).is_none());
        let name = [b'x'; PATH - 3];
        assert_eq!(found(&name, &[("/", "/c")]).map(|it| it.0.len), Some(PATH - 1));
        assert!(found(&name, &[("/", "/cg")]).is_none());
        let long = [b'x'; PATH];
        assert!(found(b"/a", &[("/", str::from_utf8(&long).unwrap())]).is_none());
    }

    #[test]
    fn a_group_is_looked_at_with_all_above_it() {
        let are = |place: &[u8], name: &[u8], expected: &[&[u8]]| {
            let name = Path::of(name).unwrap();
            let mut expected = expected.iter();
            let all = Group::at(&[place], &name, &VERSION_1).unwrap().for_levels(|level| {
                assert_eq!(expected.next().copied(), Some(level.path.bytes()));
                Ok(())
            });
            assert_eq!((all, expected.next()), (Ok(()), None));
        };
        are(b"/cg/m", b"/a/b", &[b"/cg/m/a/b", b"/cg/m/a", b"/cg/m"]);
        are(b"/cg", b"/", &[b"/cg"]);
        are(b"", b"/a", &[b"/a", b""]);
        are(b"", b"/", &[b""]);
    }
}
