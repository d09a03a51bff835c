//! The options, and how they are read from the environment variable
//! `STRATA_CONF=key:value,key=value`: once, as soon as there is an environment, and
//! without allocating. Each unknown key and each wrong value is reported in one line
//! on standard error, and the rest is applied. Options in the program's source
//! (`config.rs`) are applied before, so the environment overrides them. [`KEYS`] is
//! the table of all options, which defines how each is parsed, set and shown.

use core::fmt::{self, Write};

use crate::base::misuse::Line;
use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicUsize};
use crate::pages::cgroup;
use crate::pages::committed::COMMITTED;
use crate::pages::helped;
use crate::pages::huge_block;
use crate::pages::thp;
use crate::process::named_file::{LOG, MOST, NamedFile, PROFILE};
use crate::process::others;
use crate::profile::rate::{self, For};
use crate::sys::{self, Signal};

/// The environment variable with the options.
const VARIABLE: &core::ffi::CStr = c"STRATA_CONF";

/// An option: its name, and how it is set and shown.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The values that it may have.
    values: Values,
    /// Sets a value: one of several by its index, bytes as they are.
    pub(crate) choose: fn(usize),
    /// The value in force.
    pub(crate) chosen: fn() -> usize,
    /// What it does, for the list that `help` prints.
    what: &'static str,
}

/// The values that an option may have.
enum Values {
    /// One of these; the first is the default.
    OneOf(&'static [&'static str]),
    /// One of these signals, with `SIG` before it or without, in either case; the first is the
    /// default.
    Signals(&'static [&'static str]),
    /// The path of a file, in which `%p` stands for the number of the process; empty or `none`,
    /// the default, for no file.
    Path(fn() -> &'static NamedFile),
    /// Bytes, such as `1000`, `64k`, `512MiB` or `2g`, or a part of the container's memory
    /// limit, such as `80%`; 0 or `none`, the default, for no limit.
    Bytes,
    /// Bytes between two samples, such as `1m`; 0 or `none`, the default, for no sample.
    Rate,
}

use Values::{Bytes, OneOf, Path, Rate, Signals};

static HELP: AtomicBool = AtomicBool::new(false);
static VERBOSE: AtomicBool = AtomicBool::new(false);
static STATS_AT_EXIT: AtomicBool = AtomicBool::new(false);
static SYSTEM: AtomicBool = AtomicBool::new(false);
static HARDENED: AtomicBool = AtomicBool::new(false);
static EXPLAIN_AT_EXIT: AtomicBool = AtomicBool::new(false);
static SIGNAL: AtomicUsize = AtomicUsize::new(0);
static READ: AtomicBool = AtomicBool::new(false);

/// All options, in order. `config.rs` has a function of the same name for each.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "explain",
        values: OneOf(&["never", "exit"]),
        choose: |value| EXPLAIN_AT_EXIT.store(value == 1, ordering::print_at_exit()),
        chosen: || usize::from(explain_at_exit()),
        what: "print what memory is used for when the program ends",
    },
    Key {
        name: "guarded",
        values: Rate,
        choose: |bytes| rate::set(For::Guards, bytes),
        chosen: || rate::get(For::Guards),
        what: "of so many bytes, one small block stands alone: misuse of it is reported",
    },
    Key {
        name: "hard_limit",
        values: Bytes,
        choose: |bytes| COMMITTED.set_hard_limit(bytes),
        chosen: || COMMITTED.hard_limit(),
        what: "allocations that would commit more memory fail",
    },
    Key {
        name: "hardened",
        values: OneOf(&["false", "true"]),
        choose: |value| HARDENED.store(value == 1, ordering::system_serves()),
        chosen: || usize::from(is_hardened()),
        what: "check every block, at the cost of time and memory (C library only)",
    },
    Key {
        name: "help",
        values: OneOf(&["false", "true"]),
        choose: |value| HELP.store(value == 1, ordering::print_help()),
        chosen: || usize::from(HELP.load(ordering::print_help())),
        what: "print this list",
    },
    Key {
        name: "helper",
        values: OneOf(&["true", "false"]),
        choose: |value| helped::allow(value == 0),
        chosen: || usize::from(!helped::is_allowed()),
        what: "allow a task that returns free memory, where there are several threads",
    },
    Key {
        name: "huge_guards",
        values: OneOf(&["false", "true"]),
        choose: |value| huge_block::guard_from_now_on(value == 1),
        chosen: || usize::from(huge_block::is_guarded()),
        what: "unmapped addresses behind each block above 1 MiB: overruns fault",
    },
    Key {
        name: "limit",
        values: Bytes,
        choose: |bytes| COMMITTED.set_limit(bytes),
        chosen: || COMMITTED.limit(),
        what: "above this, free memory is returned and the program is notified",
    },
    Key {
        name: "log_file",
        values: Path(|| &LOG),
        choose: |_| forget(&LOG),
        chosen: || LOG.len(),
        what: "append all reports to this file, too; %p: the process",
    },
    Key {
        name: "profile_file",
        values: Path(|| &PROFILE),
        choose: |_| forget(&PROFILE),
        chosen: || PROFILE.len(),
        what: "where the heap profile is written on the signal; %p: the process",
    },
    Key {
        name: "signal",
        values: Signals(&["none", "HUP", "QUIT", "USR1", "USR2", "WINCH"]),
        choose: |value| SIGNAL.store(value, ordering::print_help()),
        chosen: || SIGNAL.load(ordering::print_help()),
        what: "print what memory is used for on this signal",
    },
    Key {
        name: "stats",
        values: OneOf(&["never", "exit"]),
        choose: |value| STATS_AT_EXIT.store(value == 1, ordering::print_at_exit()),
        chosen: || usize::from(stats_at_exit()),
        what: "print statistics when the program ends",
    },
    Key {
        name: "system",
        values: OneOf(&["false", "true"]),
        choose: |value| SYSTEM.store(value == 1, ordering::system_serves()),
        chosen: || usize::from(system_serves()),
        what: "the system's allocator serves, for tools that know it (C library only)",
    },
    Key {
        name: "thp",
        values: OneOf(&["auto", "never", "always"]),
        choose: thp::choose,
        chosen: thp::chosen,
        what: "transparent huge pages: in dense parts of large heaps; nowhere; everywhere",
    },
    Key {
        name: "verbose",
        values: OneOf(&["false", "true"]),
        choose: |value| VERBOSE.store(value == 1, ordering::print_help()),
        chosen: || usize::from(VERBOSE.load(ordering::print_help())),
        what: "say which options are in force, and which variables have no effect",
    },
];

/// Whether statistics are printed at the end of the process.
pub(crate) fn stats_at_exit() -> bool {
    STATS_AT_EXIT.load(ordering::print_at_exit())
}

/// Whether the table of `report/explain.rs` is printed at the end of the process.
pub(crate) fn explain_at_exit() -> bool {
    EXPLAIN_AT_EXIT.load(ordering::print_at_exit())
}

/// Whether anything is printed at the end of the process.
pub(super) fn prints_at_exit() -> bool {
    stats_at_exit() || explain_at_exit()
}

/// The signal on which the process reports, and its name.
pub(super) fn signal() -> Option<(&'static str, Signal)> {
    match SIGNAL.load(ordering::print_help()) {
        1 => Some(("HUP", Signal::Hup)),
        2 => Some(("QUIT", Signal::Quit)),
        3 => Some(("USR1", Signal::Usr1)),
        4 => Some(("USR2", Signal::Usr2)),
        5 => Some(("WINCH", Signal::Winch)),
        _ => None,
    }
}

/// Whether it is said what is in force.
pub(super) fn is_verbose() -> bool {
    VERBOSE.load(ordering::print_help())
}

/// Whether the system's allocator is to serve instead of this one.
pub(crate) fn system_serves() -> bool {
    SYSTEM.load(ordering::system_serves())
}

/// Whether every block is to be checked.
pub(crate) fn is_hardened() -> bool {
    HARDENED.load(ordering::system_serves())
}

/// Reads the options, if there is an environment by now and they were not read yet.
/// Returns whether there is one.
#[cold]
pub(crate) fn read() -> bool {
    let mut is_there = false;
    sys::with_environment(VARIABLE, |text| {
        is_there = true;
        if !READ.swap(true, ordering::options_read()) {
            apply(text.unwrap_or_default());
        }
    });
    is_there
}

/// Whether the options were read.
pub(super) fn are_read() -> bool {
    READ.load(ordering::options_read())
}

/// Applies options, in the syntax of the variable.
pub(crate) fn apply(text: &[u8]) {
    for option in text.split(|byte| *byte == b',').filter(|option| !option.is_empty()) {
        let sign = option.iter().position(|byte| matches!(byte, b':' | b'='));
        let sign = sign.unwrap_or(option.len());
        let (name, value) = (&option[..sign], option.get(sign + 1..).unwrap_or_default());
        match KEYS.iter().find(|key| key.name.as_bytes() == name) {
            Some(key) => set(key, value),
            None => unknown(name),
        }
    }
    if HELP.load(ordering::print_help()) {
        help();
    }
    if is_verbose() {
        print_in_force();
        others::report_variables();
    }
}

fn set(key: &Key, text: &[u8]) {
    if let Path(file) = key.values
        && text != b"none"
        && file().set(text)
    {
        return;
    }
    match key.values.parse(text) {
        Some(value) => (key.choose)(value),
        None => {
            let mut line = Line::new();
            if let (Bytes, Some(_)) = (&key.values, percent(text)) {
                let _ = write!(line, "{}: {}:", name(), key.name);
                line.push(text);
                let _ = line.write_str(" has no effect: the container has no memory limit");
                return line.print();
            }
            let _ = write!(line, "{}: {} must be {}, not \"", name(), key.name, key.values);
            line.push(text);
            let _ = line.write_str("\"");
            line.print();
        }
    }
}

impl Values {
    /// Parses a value; `None` if it is wrong.
    fn parse(&self, text: &[u8]) -> Option<usize> {
        match self {
            OneOf(names) => names.iter().position(|name| name.as_bytes() == text),
            Signals(names) => {
                let named = |text: &[u8]| {
                    names.iter().position(|name| text.eq_ignore_ascii_case(name.as_bytes()))
                };
                let short = text.split_at_checked(3).filter(|it| it.0.eq_ignore_ascii_case(b"SIG"));
                named(text).or_else(|| named(short?.1))
            }
            // Names are set as they are.
            Path(_) => (text == b"none").then_some(0),
            Bytes | Rate if text == b"none" => Some(0),
            Rate => bytes(text),
            Bytes => match percent(text) {
                Some(percent) => part_of_container(percent),
                None => bytes(text),
            },
        }
    }

    /// Writes a value in the syntax of the variable.
    fn show(&self, value: usize, line: &mut Line) -> fmt::Result {
        match self {
            OneOf(names) | Signals(names) => {
                line.write_str(names.get(value).copied().unwrap_or_default())
            }
            Path(_) if value == 0 => line.write_str("none"),
            Path(file) => {
                file().name().for_each(|byte| line.push(&[byte]));
                Ok(())
            }
            Bytes | Rate if value == 0 => line.write_str("none"),
            Bytes | Rate => {
                let fits = |unit: &&(u8, u32)| value.trailing_zeros() >= unit.1;
                match UNITS.iter().rev().find(fits) {
                    Some((letter, shift)) => {
                        write!(line, "{}{}", value >> shift, char::from(*letter))
                    }
                    None => write!(line, "{value}"),
                }
            }
        }
    }
}

/// As in "one, two or three".
impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = match self {
            OneOf(names) | Signals(names) => names,
            Path(_) => return write!(f, "a path of at most {MOST} bytes or none"),
            Bytes => return f.write_str(SIZES),
            Rate => return f.write_str(RATES),
        };
        for (i, name) in names.iter().enumerate() {
            let before = match names.len() - i {
                _ if i == 0 => "",
                1 => " or ",
                _ => ", ",
            };
            write!(f, "{before}{name}")?;
        }
        Ok(())
    }
}

/// No file has this name.
fn forget(file: &NamedFile) {
    file.set(b"");
}

/// What the values of a limit are.
const SIZES: &str = "a size (such as 64k, 512MiB or 80%) or none";

/// What the values of a rate are.
const RATES: &str = "a size (such as 64k or 1MiB) or none";

/// The units of bytes, and their binary logarithms.
const UNITS: [(u8, u32); 4] = [(b'k', 10), (b'm', 20), (b'g', 30), (b't', 40)];

/// Parses a number of bytes: digits, and perhaps a unit, alone or with `i` or `iB` behind it. Not
/// with `B` alone: some mean powers of 1000 by that.
fn bytes(text: &[u8]) -> Option<usize> {
    let bare = match text {
        [most @ .., b'i' | b'I', b'b' | b'B'] | [most @ .., b'i' | b'I'] => most,
        _ => text,
    };
    let (last, most) = bare.split_last()?;
    let unit = UNITS.iter().find(|(letter, _)| *letter == last.to_ascii_lowercase());
    match unit {
        Some((_, shift)) => number(most)?.checked_mul(1 << shift),
        None if bare.len() == text.len() => number(text),
        None => None,
    }
}

/// Parses a number: digits alone.
fn number(digits: &[u8]) -> Option<usize> {
    let start = (!digits.is_empty()).then_some(0usize)?;
    digits.iter().try_fold(start, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Parses a percentage, at most 100.
fn percent(text: &[u8]) -> Option<usize> {
    number(text.strip_suffix(b"%")?).filter(|percent| (1..=100).contains(percent))
}

/// Bytes of a part of the container's memory limit. `None`: it has none.
pub(super) fn part_of_container(percent: usize) -> Option<usize> {
    cgroup::read_limit();
    let limit = cgroup::limit();
    (limit != 0).then(|| limit / 100 * percent)
}

/// The index of an option in [`KEYS`]. It is called in constants: with an unknown
/// name, the program does not compile.
pub(crate) const fn index_of(name: &str) -> usize {
    let mut i = 0;
    while !is_same(KEYS[i].name, name) {
        i += 1;
    }
    i
}

/// The index of a name among the values of an option. `None` if it is none of them.
pub(super) const fn value_index_of(key: usize, name: &str) -> Option<usize> {
    let (OneOf(names) | Signals(names)) = KEYS[key].values else { return None };
    let mut i = 0;
    while i < names.len() {
        if is_same(names[i], name) {
            return Some(i);
        }
        i += 1;
    }
    None
}

/// `==` for constants.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut i = 0;
    while i < one.len() && i < other.len() && one[i] == other[i] {
        i += 1;
    }
    i == one.len() && i == other.len()
}

fn unknown(wrong: &[u8]) {
    let mut line = Line::new();
    let _ = write!(line, "{}: unknown option \"", name());
    // The end of the line says more than that of a long name.
    line.push(&wrong[..wrong.len().min(NAME_MAX * 2)]);
    let _ = match (others::sentence(wrong), nearest(wrong)) {
        (Some(sentence), _) => write!(line, "\": {sentence}"),
        (None, Some(near)) => write!(line, "\"; the nearest is {near}"),
        (None, None) => line.write_str("\"; help:true lists all options"),
    };
    line.print();
}

/// The option whose name is nearest to a wrong one, if a third of the letters are wrong at most.
fn nearest(wrong: &[u8]) -> Option<&'static str> {
    let key = KEYS.iter().map(|key| key.name).min_by_key(|key| distance(key, wrong))?;
    (distance(key, wrong) * 3 <= wrong.len()).then_some(key)
}

/// Says which options differ from their defaults.
fn print_in_force() {
    let mut line = Line::new();
    let _ = write!(line, "version {}", env!("CARGO_PKG_VERSION"));
    let mut sign = "; ";
    for key in KEYS.iter().filter(|key| (key.chosen)() != 0) {
        let _ = write!(line, "{sign}{}:", key.name);
        let _ = key.values.show((key.chosen)(), &mut line);
        sign = ",";
    }
    line.print();
}

fn help() {
    let mut line = Line::new();
    let _ = write!(line, "{}=key:value,key:value", name());
    line.print();
    for key in KEYS {
        let mut line = Line::new();
        let _ = describe(key, &mut line);
        line.print();
    }
}

fn describe(key: &Key, line: &mut Line) -> fmt::Result {
    write!(line, "  {:<12} {}; default ", key.name, key.values)?;
    key.values.show(0, line)?;
    line.write_str(", now ")?;
    key.values.show((key.chosen)(), line)?;
    write!(line, ": {}", key.what)
}

fn name() -> &'static str {
    VARIABLE.to_str().unwrap_or_default()
}

/// Letters of a wrong name that are compared.
const NAME_MAX: usize = 31;

/// Letters to insert, delete or replace between two names (Levenshtein distance).
fn distance(key: &str, wrong: &[u8]) -> usize {
    let wrong = &wrong[..wrong.len().min(NAME_MAX)];
    let mut row: [usize; NAME_MAX + 1] = core::array::from_fn(|i| i);
    for (i, right) in key.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, letter) in wrong.iter().enumerate() {
            let changed = diagonal + usize::from(right != *letter);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[wrong.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        let cases: [(&str, &[u8], usize); 7] = [
            ("help", b"help", 0),
            ("help", b"", 4),
            ("helper", b"helpr", 1),
            ("huge_guards", b"huge_gards", 1),
            ("huge_guards", b"hugeguard", 2),
            ("stats", b"status", 1),
            ("stats", b"help", 5),
        ];
        for (key, wrong, want) in cases {
            assert_eq!(distance(key, wrong), want, "{key}, {wrong:?}");
        }
        assert!(distance("help", &[b'x'; 500]) >= 31 - 4);
    }

    #[test]
    fn bytes_are_digits_and_a_unit() {
        let cases: [(&[u8], Option<usize>); 32] = [
            (b"0", Some(0)),
            (b"none", Some(0)),
            (b"1000", Some(1000)),
            (b"64k", Some(64 << 10)),
            (b"512m", Some(512 << 20)),
            (b"512M", Some(512 << 20)),
            (b"2g", Some(2 << 30)),
            (b"18446744073709551615", Some(usize::MAX)),
            (b"18446744073709551616", None),
            (b"17179869184g", None),
            (b"", None),
            (b"m", None),
            (b"-1", None),
            (b"1.5g", None),
            (b"1 m", None),
            (b"1mm", None),
            (b"0x10", None),
            (b"None", None),
            (b"512MiB", Some(512 << 20)),
            (b"512Mi", Some(512 << 20)),
            (b"512mib", Some(512 << 20)),
            (b"64KiB", Some(64 << 10)),
            (b"3t", Some(3 << 40)),
            (b"512MB", None),
            (b"512i", None),
            (b"512iB", None),
            (b"MiB", None),
            (b"i", None),
            (b"iB", None),
            (b"0%", None),
            (b"101%", None),
            (b"%", None),
        ];
        for (text, want) in cases {
            assert_eq!(Bytes.parse(text), want, "{:?}", core::str::from_utf8(text));
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"helpr", Some("help")),
            (b"hugeguards", Some("huge_guards")),
            (b"status", Some("stats")),
            (b"hardlimit", Some("hard_limit")),
            (b"prof", None),
            (b"nonsense", None),
            (b"a", None),
            (b"", None),
        ];
        for (wrong, near) in cases {
            assert_eq!(nearest(wrong), near, "{:?}", core::str::from_utf8(wrong));
        }
    }

    #[test]
    fn names_of_other_allocators_get_a_sentence() {
        for name in ["background_thread", "dirty_decay_ms", "prof", "SHOW_STATS", "narenas"] {
            assert!(others::sentence(name.as_bytes()).is_some(), "{name}");
        }
        for key in KEYS {
            assert_eq!(others::sentence(key.name.as_bytes()), None, "{}", key.name);
        }
    }

    #[test]
    fn values_are_shown_as_they_are_read() {
        for key in KEYS {
            let values: &[usize] = match key.values {
                OneOf(names) | Signals(names) => &[0, 1, 2, 3, 4, 5, 6, 7][..names.len()],
                // What is shown is the name of the file.
                Path(_) => &[0],
                Bytes | Rate => {
                    &[0, 1, 1000, 1536, 64 << 10, 3 << 20, 512 << 20, 5 << 30, usize::MAX - 1]
                }
            };
            for value in values {
                let mut line = Line::new();
                let start = line.text().len();
                key.values.show(*value, &mut line).expect("there is room");
                assert_eq!(key.values.parse(&line.text()[start..]), Some(*value), "{}", key.name);
            }
        }
    }

    #[test]
    fn signals_have_several_names() {
        let values = &KEYS[const { index_of("signal") }].values;
        for name in ["USR2", "SIGUSR2", "usr2", "sigusr2", "SigUsr2"] {
            assert_eq!(values.parse(name.as_bytes()), Some(4), "{name}");
        }
        for name in ["", "SIG", "USR3", "SIGKILL", "TERM", "12", "SIGSIGUSR2", "SIGnone2"] {
            assert_eq!(values.parse(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn keys_stand_in_order() {
        assert!(KEYS.is_sorted_by(|one, other| one.name < other.name));
    }
}
