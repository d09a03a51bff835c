//! The directory of this copy of the allocator, and the note that leads to it. A note is a part of
//! a program or library that stays in its stripped file, and that the loader maps: so whoever
//! reads the memory of a process finds it there.

use core::arch::global_asm;
use core::mem::offset_of;

use crate::base::directory::{Address, Classes, Directory, LAYOUT, MAGIC, NOTE_NAME, NOTE_TYPE};
use crate::base::size_class::{CLASSES, SHAPES, Shape};
use crate::heaps::heap::Heap;
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::cgroup;
use crate::pages::committed;
use crate::pages::counters;
use crate::pages::freed_huge;
use crate::pages::held_back;
use crate::pages::helped;
use crate::pages::metadata;
use crate::pages::usage;
use crate::profile::record;
use crate::thread::cache::Cache;
use crate::thread::registry;
use crate::thread::stock;

#[used]
static DIRECTORY: Directory = Directory {
    magic: MAGIC,
    layout: LAYOUT,
    version: padded(env!("CARGO_PKG_VERSION")),
    classes: Classes {
        bytes: Address::of(&raw const SHAPES).plus(offset_of!(Shape, size)),
        stride: size_of::<Shape>(),
        count: CLASSES,
    },
    usage: usage::places(),
    committed: committed::places(),
    counters: counters::places(),
    huge: freed_huge::places(),
    held_back: held_back::places(),
    mapped: address_space::place_of_mapped(),
    metadata: metadata::place_of_used(),
    threads: helped::place_of_caches(),
    container: cgroup::places(),
    arenas: arena::places(),
    records: registry::places(),
    heap: Heap::OFFSETS,
    cache: Cache::OFFSETS,
    stocks: stock::places(),
    profile: record::places(),
};

/// A text, cut if it is too long, and zeros.
const fn padded(text: &str) -> [u8; 32] {
    let (mut padded, mut at) = ([0; 32], 0);
    while at < text.len() && at < padded.len() {
        padded[at] = text.as_bytes()[at];
        at += 1;
    }
    padded
}

// The distance is known when the file is made: the loader writes nothing here, so that notes may
// lie in memory that nobody can write to.
global_asm!(
    ".pushsection .note.strata, \"a\", %note",
    ".balign 4",
    ".long {name_bytes}, 4, {kind}",
    ".asciz \"Strata\"",
    ".balign 4",
    ".hidden {directory}",
    ".long {directory} - .",
    ".popsection",
    name_bytes = const NOTE_NAME.len() + 1,
    kind = const NOTE_TYPE,
    directory = sym DIRECTORY,
);

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::pages::counters::COUNTERS;

    /// A reader knows the fields by their places: where these change, the layout is another.
    #[test]
    fn the_layout_is_that_of_its_number() {
        assert_eq!((LAYOUT, size_of::<Directory>()), (2, 704));
        assert_eq!(offset_of!(Directory, layout), 16);
        assert_eq!(offset_of!(Directory, version), 24);
        assert_eq!(offset_of!(Directory, stocks), 520);
    }

    /// What keeps words on cache lines of their own keeps them at its start.
    #[test]
    fn words_are_where_it_says() {
        let purges = (&raw const COUNTERS.purges).addr();
        assert_eq!(DIRECTORY.counters.purges.get(), purges);
    }

    #[test]
    fn versions_end_with_zeros() {
        let version = padded("1.2.3");
        assert!(version.starts_with(b"1.2.3\0") && version.ends_with(&[0; 27]));
        assert_eq!(padded(&"9".repeat(40)), [b'9'; 32]);
    }
}
