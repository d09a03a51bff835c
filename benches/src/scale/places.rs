//! Which shared places of the allocator an operation writes: each locked instruction of the
//! program is one of the innermost function that it is in and that has a place.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};

use super::counts::Counts;
use crate::suites::instructions::disasm::Disassembly;

/// How many of a place there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shared {
    /// One in the process.
    Process,
    /// One for each arena.
    Arena,
    /// One for each thread: nobody else writes it often.
    Thread,
}

/// Files of the allocator, and the place that their functions write. Inlined functions have no other
/// name that is theirs alone.
const PLACES: &[(&str, &str, Shared)] = &[
    ("pages/usage.rs", "counters of memory in use", Shared::Process),
    ("pages/committed.rs", "committed bytes", Shared::Process),
    ("pages/counters.rs", "counters for statistics", Shared::Process),
    ("pages/freed_huge.rs", "count of huge blocks", Shared::Process),
    ("spans/standby.rs", "the huge block on standby", Shared::Process),
    ("pages/address_space.rs", "addresses", Shared::Process),
    ("pages/free_space_index.rs", "free granules", Shared::Arena),
    ("spans/granules.rs", "free granules", Shared::Arena),
    ("pages/page_runs.rs", "page runs", Shared::Arena),
    ("pages/arena.rs", "an arena's heap", Shared::Arena),
    ("remote/take_from_heap.rs", "an arena's heap", Shared::Arena),
    ("remote/span_source.rs", "an arena's heap", Shared::Arena),
    ("heaps/remote_queue.rs", "a remote queue", Shared::Arena),
    ("spans/tail.rs", "the block", Shared::Thread),
    ("spans/page_map.rs", "the block", Shared::Thread),
    ("heaps/heap.rs", "the thread's heap", Shared::Thread),
    ("thread/", "the thread", Shared::Thread),
];

/// Functions that run while a lock of the place is held, by their file and the end of their name.
const HELD: &[(&str, &str, &str)] = &[
    ("pages/page_runs.rs", "get", "page runs"),
    ("pages/page_runs.rs", "occupy", "page runs"),
    ("pages/page_runs.rs", "release", "page runs"),
];

/// What an operation does at a place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Visits {
    /// Locked instructions.
    pub(super) writes: f64,
    /// Instructions while its lock is held.
    pub(super) held: f64,
}

/// By what is shared, and its name.
pub(super) type Places = BTreeMap<(Shared, &'static str), Visits>;

/// A function that an instruction is in.
struct Frame {
    file: String,
    function: String,
}

impl Frame {
    fn is_in(&self, part: &str) -> bool {
        self.file.split_once("allocator-core/src/").is_some_and(|(_, rest)| rest.starts_with(part))
    }
}

/// The place of an instruction, given the functions that it is in, innermost first.
fn place(frames: &[Frame]) -> Option<(Shared, &'static str)> {
    let named = |frame: &Frame| PLACES.iter().find(|(file, ..)| frame.is_in(file));
    frames.iter().find_map(named).map(|(_, name, shared)| (*shared, *name))
}

fn held(frames: &[Frame]) -> Option<&'static str> {
    let named = |frame: &Frame| {
        HELD.iter().find(|(file, name, _)| frame.is_in(file) && frame.function.ends_with(name))
    };
    frames.iter().find_map(named).map(|(.., name)| *name)
}

/// Finds the places of a program's counts, each of which is of so many operations.
pub(super) fn find(program: &Path, counts: &Counts, operations: f64) -> Result<Places> {
    let code = Disassembly::load(program)?;
    let loader = addr2line::Loader::new(program).map_err(|error| anyhow!("{error}"))?;
    let mut places = Places::new();
    for (at, count) in counts {
        let each = *count as f64 / operations;
        // What is that rare is the start's.
        if each < 0.001 {
            continue;
        }
        let frames = frames(&loader, *at);
        if code.is_locked(*at)
            && let Some(place) = place(&frames)
        {
            places.entry(place).or_default().writes += each;
        }
        if let Some(name) = held(&frames) {
            places.entry((Shared::Arena, name)).or_default().held += each;
        }
    }
    Ok(places)
}

/// The functions that an address is in, innermost first.
fn frames(loader: &addr2line::Loader, at: u64) -> Vec<Frame> {
    let mut all = Vec::new();
    let Ok(mut frames) = loader.find_frames(at) else { return all };
    while let Ok(Some(frame)) = frames.next() {
        let name =
            frame.function.as_ref().and_then(|name| Some(name.demangle().ok()?.into_owned()));
        let file = frame.location.and_then(|location| location.file);
        all.push(Frame {
            file: file.unwrap_or_default().to_owned(),
            function: name.unwrap_or_default(),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str]) -> Option<(Shared, &'static str)> {
        let frame = |file: &&str| Frame { file: (*file).to_owned(), function: String::new() };
        place(&files.iter().map(frame).collect::<Vec<_>>())
    }

    #[test]
    fn the_innermost_function_with_a_place_has_it() {
        let atomic = "/rustc/0/library/core/src/sync/atomic.rs";
        let lock = "/a/allocator-core/src/base/lock.rs";
        let runs = "/a/allocator-core/src/pages/page_runs.rs";
        let usage = "/a/allocator-core/src/pages/usage.rs";
        assert_eq!(of(&[atomic, lock, runs]), Some((Shared::Arena, "page runs")));
        assert_eq!(of(&[atomic, usage, runs]).unwrap().0, Shared::Process);
        assert_eq!(of(&[atomic, lock]), None);
        assert_eq!(of(&["/a/benches/src/pages/usage.rs"]), None);
    }

    #[test]
    fn every_file_is_there() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../allocator-core/src");
        let files = PLACES.iter().map(|it| it.0).chain(HELD.iter().map(|it| it.0));
        let gone: Vec<_> = files.filter(|file| !source.join(file).exists()).collect();
        assert!(gone.is_empty(), "{gone:?}");
    }
}
