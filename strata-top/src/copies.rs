//! Finds the copies of the allocator in a process: in its program, in libraries. Each has a note in
//! its file, which the loader has mapped, and the note leads to the directory. Only memory is
//! read: the file may be gone, or in a container.

use std::mem::size_of;

use allocator_core::directory::{Directory, LAYOUT, MAGIC, NOTE_NAME, NOTE_TYPE};
use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, NoteIterator, ProgramHeader as _};

use crate::memory::{Memory, Range, words};
use crate::problem::Problem;
use crate::process::{Object, Watched};

type Header = FileHeader64<Endianness>;

/// Where the header of an object and its list of segments are.
const HEAD: usize = 4096;

/// Notes are small.
const NOTES: usize = 64 << 10;

/// Most size classes, arenas, threads, places for stacks and bytes of a record that make sense.
const CLASSES: usize = 1 << 10;
const ARENAS: usize = 1 << 10;
const THREADS: usize = 1 << 20;
const PLACES: usize = 1 << 20;
const BYTES: usize = 1 << 12;

/// A copy of the allocator.
#[derive(Clone)]
pub(crate) struct Copy {
    /// The program or library that has it.
    pub(crate) object: String,
    /// Where its directory is.
    at: usize,
    pub(crate) version: String,
    pub(crate) directory: Directory,
}

/// The copies in a process, whether they are in use or not.
///
/// # Errors
/// There is none, or none that can be read.
pub(crate) fn find(process: &Watched, memory: &Memory) -> Result<Vec<Copy>, Problem> {
    let (mut copies, mut problem) = (Vec::new(), None);
    let objects = process.objects()?;
    // The first read tells whether any is allowed; a mapping may vanish, or have no memory behind it.
    let mut is_allowed = false;
    for object in objects {
        match directories(memory, &object) {
            Ok(found) => {
                is_allowed = true;
                for at in found {
                    match Copy::read(memory, &object.path, at) {
                        Ok(copy) => copies.extend(copy),
                        Err(error) => problem = Some(error),
                    }
                }
            }
            Err(error @ (Problem::Denied { .. } | Problem::Ended(_))) if !is_allowed => {
                return Err(error);
            }
            Err(_) => {}
        }
    }
    match problem {
        Some(problem) if copies.is_empty() => Err(problem),
        _ if copies.is_empty() => Err(Problem::NotStrata(memory.pid)),
        _ => Ok(copies),
    }
}

/// Where the notes of an object say that directories are.
fn directories(memory: &Memory, object: &Object) -> Result<Vec<usize>, Problem> {
    let head = memory.one(object.at, HEAD)?;
    let Some((endian, notes)) = notes(&head, object.at) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for range in notes {
        let notes = memory.one(range.at, range.bytes)?;
        found.extend(
            distances(endian, &notes).into_iter().map(|(offset, distance)| {
                range.at.wrapping_add(offset).wrapping_add_signed(distance)
            }),
        );
    }
    Ok(found)
}

/// The segments of notes of an object that is mapped at an address. `None`: it is something else.
fn notes(head: &[u8], at: usize) -> Option<(Endianness, Vec<Range>)> {
    let header = Header::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, head).ok()?;
    let first = segments
        .iter()
        .find(|it| it.p_type(endian) == elf::PT_LOAD && it.p_offset(endian) < HEAD as u64)?;
    let start = first.p_vaddr(endian).wrapping_sub(first.p_offset(endian)) as usize;
    let notes = segments.iter().filter(|it| it.p_type(endian) == elf::PT_NOTE);
    let ranges = notes.map(|it| Range {
        at: at.wrapping_sub(start).wrapping_add(it.p_vaddr(endian) as usize),
        bytes: (it.p_memsz(endian) as usize).min(NOTES),
    });
    Some((endian, ranges.collect()))
}

/// The build id of an object that is mapped at an address.
pub(crate) fn build_id(memory: &Memory, at: usize) -> Option<Vec<u8>> {
    let (endian, ranges) = notes(&memory.one(at, HEAD).ok()?, at)?;
    ranges.iter().find_map(|range| {
        let notes = memory.one(range.at, range.bytes).ok()?;
        let list = NoteIterator::<Header>::new(endian, 4, &notes).ok()?;
        let mut ids = list.map_while(Result::ok).filter(|note| {
            note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID
        });
        ids.next().map(|note| note.desc().to_vec())
    })
}

/// In a segment of notes, where ours have their words, and the words.
fn distances(endian: Endianness, notes: &[u8]) -> Vec<(usize, isize)> {
    // Where a segment has notes of another alignment as well, they are in a segment of their own,
    // too.
    let Ok(list) = NoteIterator::<Header>::new(endian, 4, notes) else { return Vec::new() };
    let ours = list.map_while(Result::ok).filter(|note| {
        note.name() == NOTE_NAME.as_bytes() && note.n_type(endian) == elf::NoteType(NOTE_TYPE)
    });
    let distance = ours.filter_map(|note| {
        let word: [u8; 4] = note.desc().try_into().ok()?;
        let offset = note.desc().as_ptr().addr() - notes.as_ptr().addr();
        Some((offset, i32::from_ne_bytes(word) as isize))
    });
    distance.collect()
}

impl Copy {
    /// Reads a directory. `None`: there is none.
    ///
    /// # Errors
    /// It has another layout, or cannot be read.
    fn read(memory: &Memory, object: &str, at: usize) -> Result<Option<Self>, Problem> {
        let Ok(bytes) = memory.one(at, size_of::<Directory>()) else { return Ok(None) };
        let (magic, rest) = bytes.split_at(MAGIC.len());
        if magic != MAGIC {
            return Ok(None);
        }
        let layout = words(rest).next().unwrap_or(0);
        let version = &rest[size_of::<usize>()..][..32];
        let version = String::from_utf8_lossy(version).trim_end_matches('\0').to_owned();
        let pid = memory.pid;
        if layout != LAYOUT {
            return Err(Problem::Layout { pid, version, layout });
        }
        // SAFETY: a directory is valid whatever its bytes are, and there are as many.
        let directory = unsafe { bytes.as_ptr().cast::<Directory>().read_unaligned() };
        if !makes_sense(&directory) {
            return Err(Problem::Damaged(pid));
        }
        Ok(Some(Copy { object: object.to_owned(), at, version, directory }))
    }

    /// Whether it is still there.
    pub(crate) fn is_there(&self, memory: &Memory) -> bool {
        memory.one(self.at, MAGIC.len()).is_ok_and(|magic| magic == MAGIC)
    }
}

fn makes_sense(directory: &Directory) -> bool {
    directory.classes.count <= CLASSES
        && directory.stocks.rows <= ARENAS
        && directory.records.most <= THREADS
        && directory.records.first <= directory.records.most
        && directory.profile.places <= PLACES
        && [
            directory.profile.most_frames,
            directory.profile.most_text,
            directory.profile.stack.bytes,
            directory.profile.label.bytes,
        ]
        .iter()
        .all(|bytes| *bytes <= BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A note with the name, the type and the word, as the assembler writes it.
    fn note(name: &[u8], kind: u32, word: i32) -> Vec<u8> {
        let mut note = Vec::new();
        note.extend((name.len() as u32).to_ne_bytes());
        note.extend(4_u32.to_ne_bytes());
        note.extend(kind.to_ne_bytes());
        note.extend(name);
        note.resize(note.len().next_multiple_of(4), 0);
        note.extend(word.to_ne_bytes());
        note
    }

    #[test]
    fn our_notes_are_found_among_others() {
        let before = note(b"GNU\0", 1, 7);
        let notes =
            [before.clone(), note(b"Strata\0", NOTE_TYPE, -8), note(b"Strata\0", 9, 5)].concat();
        let found = distances(Endianness::default(), &notes);
        assert_eq!(found, [(before.len() + 20, -8)]);
        assert_eq!(distances(Endianness::default(), &notes[..notes.len() - 1]).len(), 1);
        assert!(distances(Endianness::default(), &[1, 2, 3]).is_empty());
    }

    #[test]
    fn other_files_have_no_notes() {
        assert!(notes(&[0; HEAD], 0).is_none());
        assert!(notes(b"#!/bin/sh\n", 0).is_none());
    }
}
