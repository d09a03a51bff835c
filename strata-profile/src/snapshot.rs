//! What the profile has recorded at a moment, and what became of it since another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use allocator_core::{Amount, Scope, Strata};

use crate::own::Own;
use crate::process::Process;
use crate::symbols::Symbols;
use crate::unwinder;

/// Blocks and bytes, or by how many they changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Blocks.
    pub blocks: i64,
    /// Bytes.
    pub bytes: i64,
}

impl Change {
    fn of(amount: Amount) -> Self {
        Change { blocks: amount.blocks as i64, bytes: amount.bytes as i64 }
    }

    fn since(self, before: Change) -> Self {
        Change { blocks: self.blocks - before.blocks, bytes: self.bytes - before.bytes }
    }
}

/// A stack, and what was allocated there in one scope, or outside of all.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who it was allocated for; `None`: the thread was in no scope.
    pub scope: Option<Scope>,
    /// The address behind the call in each function, the innermost first.
    pub frames: Vec<usize>,
    /// What is in use.
    pub in_use: Change,
    /// What was allocated while the profile was on.
    pub allocated: Change,
}

impl Entry {
    /// What no other entry of a snapshot has.
    fn place(&self) -> (Option<(&str, &str)>, &[usize]) {
        (self.scope.map(|scope| (scope.key(), scope.value())), &self.frames)
    }

    /// The functions from the outermost on, for a flame graph. The scope is a root of its own.
    pub(crate) fn names(&self, symbols: &mut Symbols<'_>) -> Vec<String> {
        let scope = self.scope.iter().map(ToString::to_string);
        scope.chain(symbols.names(&self.frames)).collect()
    }
}

/// What the profile has recorded at a moment, or the difference of two such.
#[derive(Clone, Debug)]
pub struct Snapshot {
    process: Arc<dyn Process>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) rate: usize,
    pub(crate) taken: SystemTime,
    pub(crate) spent: Duration,
}

impl Snapshot {
    /// Reads the profile. Libraries that were loaded since the last time are known to samples from
    /// now on.
    #[must_use]
    pub fn take() -> Self {
        unwinder::refresh();
        let entries = Strata::profile().map(|stack| Entry {
            scope: stack.scope(),
            frames: stack.frames().to_vec(),
            in_use: Change::of(stack.in_use()),
            allocated: Change::of(stack.allocated()),
        });
        let rate = Strata::profile_rate().unwrap_or(Strata::PROFILE_BYTES);
        Snapshot::of(Arc::new(Own), entries, rate)
    }

    /// What somebody else has read of a process now, such as `strata-top` of another one: its
    /// stacks, each with one sample in `rate` bytes, in the mean.
    #[must_use]
    pub fn of(
        process: Arc<dyn Process>,
        entries: impl IntoIterator<Item = Entry>,
        rate: usize,
    ) -> Self {
        let entries = entries.into_iter().filter(|entry| entry.allocated.blocks != 0);
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by(|a, b| b.in_use.bytes.cmp(&a.in_use.bytes).then(a.frames.cmp(&b.frames)));
        Snapshot { process, entries, rate, taken: SystemTime::now(), spent: Duration::ZERO }
    }

    /// The process that it is of.
    pub(crate) fn process(&self) -> &dyn Process {
        &*self.process
    }

    /// For the names of its functions.
    pub(crate) fn symbols(&self) -> Symbols<'_> {
        Symbols::of(self.process())
    }

    /// What changed since an earlier snapshot: blocks that were allocated since and are in use
    /// count, those that were freed since are taken off.
    #[must_use]
    pub fn since(&self, earlier: &Snapshot) -> Self {
        let before: HashMap<_, _> =
            earlier.entries.iter().map(|entry| (entry.place(), entry)).collect();
        let changed = self.entries.iter().map(|entry| match before.get(&entry.place()) {
            None => entry.clone(),
            Some(before) => Entry {
                scope: entry.scope,
                frames: entry.frames.clone(),
                in_use: entry.in_use.since(before.in_use),
                allocated: entry.allocated.since(before.allocated),
            },
        });
        let nothing = Change::default();
        let mut entries: Vec<_> =
            changed.filter(|entry| entry.in_use != nothing || entry.allocated != nothing).collect();
        entries.sort_by_key(|entry| -entry.in_use.bytes);
        let spent = self.taken.duration_since(earlier.taken).unwrap_or_default();
        let process = self.process.clone();
        Snapshot { process, entries, rate: self.rate, taken: self.taken, spent }
    }

    /// The stacks, those with most bytes in use first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The sum of all stacks, in use.
    #[must_use]
    pub fn in_use(&self) -> Change {
        self.entries.iter().fold(Change::default(), |sum, entry| Change {
            blocks: sum.blocks + entry.in_use.blocks,
            bytes: sum.bytes + entry.in_use.bytes,
        })
    }
}
