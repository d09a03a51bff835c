//! The heap profile of a process, read from its memory: the stacks that allocated, and what is in
//! use of that. They are not freed, and do not change but for their amounts.

use std::collections::HashMap;

use allocator_core::directory::{Address, Profile};
use allocator_core::{Scope, Strata};
use strata_profile::{Change, Entry};

use crate::memory::{Memory, Range, words};
use crate::problem::Problem;

const WORD: usize = size_of::<usize>();

/// What was recorded.
pub(crate) struct Recorded {
    pub(crate) entries: Vec<Entry>,
    /// One sample in so many bytes, in the mean.
    pub(crate) rate: usize,
    /// Samples that there was no room for.
    pub(crate) dropped: usize,
}

/// The word at an offset.
fn word(bytes: &[u8], offset: usize) -> usize {
    bytes.get(offset..).and_then(|rest| words(rest).next()).unwrap_or(0)
}

/// A stack in the process.
struct Stack {
    frames: Range,
    label: usize,
    in_use: Change,
    allocated: Change,
}

impl Stack {
    /// # Errors
    /// It makes no sense.
    fn of(bytes: &[u8], profile: &Profile, pid: i32) -> Result<Self, Problem> {
        let stack = &profile.stack;
        let amount = |blocks, bytes_at| Change {
            blocks: ((word(bytes, blocks) + profile.parts / 2) / profile.parts.max(1)) as i64,
            bytes: word(bytes, bytes_at) as i64,
        };
        let len = word(bytes, stack.len);
        if len > profile.most_frames {
            return Err(Problem::Damaged(pid));
        }
        Ok(Stack {
            frames: Range { at: word(bytes, stack.frames), bytes: len * WORD },
            label: word(bytes, stack.label),
            in_use: amount(stack.used_blocks, stack.used_bytes),
            allocated: amount(stack.allocated_blocks, stack.allocated_bytes),
        })
    }
}

/// Reads what a copy of the allocator has recorded.
///
/// # Errors
/// The process has ended, or what it has makes no sense.
pub(crate) fn read(memory: &Memory, profile: &Profile) -> Result<Recorded, Problem> {
    let one = |at: Address| memory.one(at.get(), WORD).map(|bytes| word(&bytes, 0));
    let (rate, dropped) = (one(profile.rate)?, one(profile.dropped)?);
    let table = memory.one(profile.stacks.get(), profile.places * WORD)?;
    let places = words(&table).filter(|at| *at != 0).chain([profile.others.get()]);
    let ranges: Vec<_> = places.map(|at| Range { at, bytes: profile.stack.bytes }).collect();
    let stacks = memory.read(&ranges)?;
    let stacks: Result<Vec<_>, _> =
        stacks.iter().map(|bytes| Stack::of(bytes, profile, memory.pid)).collect();
    let mut stacks = stacks?;
    stacks.retain(|stack| stack.allocated.blocks != 0);
    let frames = memory.read(&stacks.iter().map(|stack| stack.frames).collect::<Vec<_>>())?;
    let labels = stacks.iter().map(|stack| stack.label);
    let scopes = scopes(memory, profile, labels.filter(|at| *at != profile.no_label.get()))?;
    let entries = stacks.iter().zip(&frames).map(|(stack, frames)| Entry {
        scope: scopes.get(&stack.label).copied(),
        frames: words(frames).collect(),
        in_use: stack.in_use,
        allocated: stack.allocated,
    });
    let rate = if rate == 0 { Strata::PROFILE_BYTES } else { rate };
    Ok(Recorded { entries: entries.collect(), rate, dropped })
}

/// The scopes of labels, by address.
fn scopes(
    memory: &Memory,
    profile: &Profile,
    labels: impl Iterator<Item = usize>,
) -> Result<HashMap<usize, Scope>, Problem> {
    let mut places: Vec<_> = labels.collect();
    places.sort_unstable();
    places.dedup();
    let ranges: Vec<_> =
        places.iter().map(|at| Range { at: *at, bytes: profile.label.bytes }).collect();
    let labels = memory.read(&ranges)?;
    // The key and the value of each, one after the other.
    let texts = labels.iter().flat_map(|label| {
        [profile.label.key, profile.label.value]
            .map(|text| Range { at: word(label, text), bytes: word(label, text + WORD) })
    });
    let texts: Vec<_> = texts.collect();
    if texts.iter().any(|text| text.bytes > profile.most_text) {
        return Err(Problem::Damaged(memory.pid));
    }
    let texts = memory.read(&texts)?;
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let scopes = texts.chunks(2).map(|texts| Scope::new(&text(&texts[0]), text(&texts[1])));
    Ok(places.iter().copied().zip(scopes).collect())
}
