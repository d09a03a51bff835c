//! The table of owned ranges.

/// State of an owned page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No access and no contents.
    Reserved,
    /// Readable and writable.
    Committed,
    /// Readable and writable; was zero when it was purged.
    Purged,
    /// No access; the contents are kept.
    Protected,
}

/// Maximum number of ranges.
pub(super) const CAPACITY: usize = 1 << 15;

/// Consecutive pages in the same state.
#[derive(Clone, Copy)]
struct Range {
    start: usize,
    end: usize,
    state: State,
}

/// The table has no room for another range.
#[derive(Debug)]
pub(super) struct Full;

/// The owned ranges in address order. Adjacent ranges are in different states.
pub(super) struct Table {
    ranges: [Range; CAPACITY],
    len: usize,
}

impl Table {
    /// An empty table.
    pub(super) const fn new() -> Self {
        let none = Range { start: 0, end: 0, state: State::Reserved };
        Self { ranges: [none; CAPACITY], len: 0 }
    }

    /// Whether all of the range is owned and in a state for which `fits` holds.
    pub(super) fn all(&self, start: usize, end: usize, fits: impl Fn(State) -> bool) -> bool {
        let mut covered = start;
        for range in self.overlapping(start, end) {
            if range.start > covered || !fits(range.state) {
                return false;
            }
            covered = range.end;
        }
        covered >= end
    }

    /// Whether part of the range is owned and in a state for which `fits`
    /// holds.
    pub(super) fn any(&self, start: usize, end: usize, fits: impl Fn(State) -> bool) -> bool {
        self.overlapping(start, end).iter().any(|r| fits(r.state))
    }

    /// Bytes in a state for which `fits` holds.
    pub(super) fn bytes(&self, fits: impl Fn(State) -> bool) -> usize {
        let fitting = self.ranges().iter().filter(|range| fits(range.state));
        fitting.map(|range| range.end - range.start).sum()
    }

    /// The state of the byte at an address, if it is owned.
    pub(super) fn state(&self, at: usize) -> Option<State> {
        self.overlapping(at, at + 1).first().map(|range| range.state)
    }

    /// Number of ranges.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds the range to the table in the given state, or changes its state.
    pub(super) fn set(&mut self, start: usize, end: usize, state: State) -> Result<(), Full> {
        self.clear(start, end)?;
        let at = self.first_from(start);
        self.insert(at, Range { start, end, state })?;
        self.merge(at, at + 1);
        Ok(())
    }

    /// Removes the range from the table.
    pub(super) fn clear(&mut self, start: usize, end: usize) -> Result<(), Full> {
        let (from, to) = self.split_at_ends(start, end)?;
        self.remove(from, to);
        Ok(())
    }

    /// Replaces the state of each part of the range by `next` of that state.
    pub(super) fn update(
        &mut self,
        start: usize,
        end: usize,
        next: impl Fn(State) -> State,
    ) -> Result<(), Full> {
        let (from, to) = self.split_at_ends(start, end)?;
        for range in &mut self.ranges[from..to] {
            range.state = next(range.state);
        }
        self.merge(from, to);
        Ok(())
    }

    /// The ranges in use.
    fn ranges(&self) -> &[Range] {
        &self.ranges[..self.len]
    }

    /// The ranges that overlap the given one.
    fn overlapping(&self, start: usize, end: usize) -> &[Range] {
        let from = self.ranges().partition_point(|range| range.end <= start);
        let to = self.ranges().partition_point(|range| range.start < end);
        &self.ranges()[from..to.max(from)]
    }

    /// The index of the first range that starts at `at` or later.
    fn first_from(&self, at: usize) -> usize {
        self.ranges().partition_point(|range| range.start < at)
    }

    /// Splits the ranges that extend across `start` or `end`. Returns the
    /// indices of those in between.
    fn split_at_ends(&mut self, start: usize, end: usize) -> Result<(usize, usize), Full> {
        self.split(start)?;
        self.split(end)?;
        Ok((self.first_from(start), self.first_from(end)))
    }

    /// Splits the range that extends across `at`, if there is one.
    fn split(&mut self, at: usize) -> Result<(), Full> {
        let next = self.first_from(at);
        let Some(before) = next.checked_sub(1) else {
            return Ok(());
        };
        let Range { end, state, .. } = self.ranges[before];
        if end <= at {
            return Ok(());
        }
        self.insert(next, Range { start: at, end, state })?;
        self.ranges[before].end = at;
        Ok(())
    }

    /// Merges adjacent ranges in the same state, from the one before `from` up
    /// to `to`.
    fn merge(&mut self, from: usize, to: usize) {
        let mut at = to.min(self.len.saturating_sub(1));
        while at > 0 && at >= from {
            let (left, right) = (self.ranges[at - 1], self.ranges[at]);
            if left.end == right.start && left.state == right.state {
                self.ranges[at - 1].end = right.end;
                self.remove(at, at + 1);
            }
            at -= 1;
        }
    }

    /// Inserts a range at an index.
    fn insert(&mut self, at: usize, range: Range) -> Result<(), Full> {
        if self.len == CAPACITY {
            return Err(Full);
        }
        self.ranges.copy_within(at..self.len, at + 1);
        self.ranges[at] = range;
        self.len += 1;
        Ok(())
    }

    /// Removes the ranges with these indices.
    fn remove(&mut self, from: usize, to: usize) {
        self.ranges.copy_within(to..self.len, from);
        self.len -= to - from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::collections::BTreeMap;

    /// The state of each byte: a simple model to compare with.
    type Model = BTreeMap<usize, State>;

    fn agree(table: &Table, model: &Model) {
        for at in 0..64 {
            assert_eq!(table.state(at), model.get(&at).copied(), "at {at}");
        }
        for pair in table.ranges().windows(2) {
            let apart = pair[0].end < pair[1].start;
            let differ = pair[0].end == pair[1].start && pair[0].state != pair[1].state;
            assert!(apart || differ);
        }
        assert_eq!(table.bytes(|_| true), model.len());
    }

    #[test]
    fn the_table_agrees_with_a_map_of_bytes() {
        let mut table = Box::new(Table::new());
        let mut model = Model::new();
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            let start = (seed >> 33) as usize % 60;
            let end = start + 1 + (seed >> 43) as usize % 4;
            let state =
                [State::Reserved, State::Committed, State::Purged][(seed >> 53) as usize % 3];
            let owned = (start..end).filter(|at| model.contains_key(at)).count();
            assert_eq!(table.all(start, end, |_| true), owned == end - start);
            assert_eq!(table.any(start, end, |_| true), owned > 0);
            match (seed >> 58) % 3 {
                0 => {
                    table.set(start, end, state).unwrap();
                    model.extend((start..end).map(|at| (at, state)));
                }
                1 => {
                    table.clear(start, end).unwrap();
                    model.retain(|at, _| !(start..end).contains(at));
                }
                _ => {
                    table.update(start, end, |_| state).unwrap();
                    model.range_mut(start..end).for_each(|(_, old)| *old = state);
                }
            }
            agree(&table, &model);
        }
    }
}
