//! Options from the environment: `STRATA_CONF=key:value,key:value`, read once,
//! as soon as there is an environment. Nothing is allocated for it; what is
//! wrong is said in one line on standard error, and the rest counts.

use core::fmt::Write;

use crate::fatal::Line;
use crate::helper;
use crate::huge;
use crate::order;
use crate::sync::AtomicBool;
use crate::sys;

/// Where the options are.
const VARIABLE: &core::ffi::CStr = c"STRATA_CONF";

/// An option: what it is called, and how it is set and shown.
struct Key {
    name: &'static str,
    /// What it may be; the first is the default.
    values: [&'static str; 2],
    /// Chooses one of the values.
    choose: fn(usize),
    /// Which is chosen now.
    chosen: fn() -> usize,
    what: &'static str,
}

static HELP: AtomicBool = AtomicBool::new(false);
static STATS_AT_EXIT: AtomicBool = AtomicBool::new(false);
static EXPLAIN_AT_EXIT: AtomicBool = AtomicBool::new(false);
static READ: AtomicBool = AtomicBool::new(false);

const KEYS: [Key; 5] = [
    Key {
        name: "explain",
        values: ["never", "exit"],
        choose: |value| EXPLAIN_AT_EXIT.store(value == 1, order::hint()),
        chosen: || usize::from(explain_at_exit()),
        what: "print what memory is held for when the program ends",
    },
    Key {
        name: "help",
        values: ["false", "true"],
        choose: |value| HELP.store(value == 1, order::hint()),
        chosen: || usize::from(HELP.load(order::hint())),
        what: "print this list",
    },
    Key {
        name: "helper",
        values: ["true", "false"],
        choose: |value| helper::allow(value == 0),
        chosen: || usize::from(!helper::is_allowed()),
        what: "a thread may be started to give memory back",
    },
    Key {
        name: "huge_guards",
        values: ["false", "true"],
        choose: |value| huge::guard_from_now_on(value == 1),
        chosen: || usize::from(huge::is_guarded()),
        what: "running over the end of a block above 1 MiB faults",
    },
    Key {
        name: "stats",
        values: ["never", "exit"],
        choose: |value| STATS_AT_EXIT.store(value == 1, order::hint()),
        chosen: || usize::from(stats_at_exit()),
        what: "print numbers when the program ends (C library)",
    },
];

/// Whether numbers are wanted at the end of the process.
pub(crate) fn stats_at_exit() -> bool {
    STATS_AT_EXIT.load(order::hint())
}

/// Whether it is to be explained at the end of the process what memory is held
/// for.
pub(crate) fn explain_at_exit() -> bool {
    EXPLAIN_AT_EXIT.load(order::hint())
}

/// Reads the options, if there is an environment by now and nobody did.
#[cold]
pub(crate) fn read() {
    sys::with_environment(VARIABLE, |text| {
        if !READ.swap(true, order::hint()) {
            apply(text.unwrap_or_default());
        }
    });
}

/// Applies options as they stand in the variable.
fn apply(text: &[u8]) {
    for option in text.split(|byte| *byte == b',').filter(|option| !option.is_empty()) {
        let colon = option.iter().position(|byte| *byte == b':').unwrap_or(option.len());
        let (name, value) = (&option[..colon], option.get(colon + 1..).unwrap_or_default());
        match KEYS.iter().find(|key| key.name.as_bytes() == name) {
            Some(key) => set(key, value),
            None => unknown(name),
        }
    }
    if HELP.load(order::hint()) {
        help();
    }
}

fn set(key: &Key, text: &[u8]) {
    match key.values.iter().position(|value| value.as_bytes() == text) {
        Some(value) => (key.choose)(value),
        None => {
            let [one, other] = key.values;
            let mut line = Line::new();
            let _ = write!(line, "{}: {} is {one} or {other}, not \"", name(), key.name);
            line.push(text);
            let _ = line.write_str("\"");
            line.print();
        }
    }
}

fn unknown(wrong: &[u8]) {
    let nearest = KEYS.iter().map(|key| key.name).min_by_key(|key| distance(key, wrong));
    let mut line = Line::new();
    let _ = write!(line, "{}: there is no \"", name());
    line.push(wrong);
    let _ = write!(line, "\"; the nearest is {}", nearest.unwrap_or_default());
    line.print();
}

fn help() {
    let mut line = Line::new();
    let _ = write!(line, "{}=key:value,key:value", name());
    line.print();
    for key in &KEYS {
        let [default, other] = key.values;
        let now = key.values[(key.chosen)()];
        let mut line = Line::new();
        let _ = write!(
            line,
            "  {:<12} {default} or {other}; default {default}, now {now}: {}",
            key.name, key.what
        );
        line.print();
    }
}

fn name() -> &'static str {
    VARIABLE.to_str().unwrap_or_default()
}

/// Longest name that is compared in full.
const NAME_MAX: usize = 31;

/// Letters to put in, take out or change between two names (Levenshtein).
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
}
