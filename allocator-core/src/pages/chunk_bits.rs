//! Two bits for each chunk of the window's addresses: whether it is taken, and whether it is
//! *spare*: taken, mapped as a whole, and nobody's. Searches look for chunks that lie side by
//! side.
//!
//! ```text
//!  chunk   0  1  2  3  4  5  6  7  8  9
//!  taken   1  1  1  1  1  1  1  0  0  0
//!  spare   0  0  1  1  1  0  1  0  0  0
//!                └ three ┘     └──┴──┴── two more addresses make three of the last one
//! ```

use core::ptr;

use crate::base::bits;
use crate::base::geometry::{AREA_PART, CHUNK, REGIONS, STAGE};
use crate::pages::tables;
use crate::spans::page_map::MAP;

/// \[SPACE-LOCKED\] The bits, and what is counted of them.
pub(super) struct ChunkBits {
    /// One bit a chunk; set: the chunk is taken.
    taken: *mut u64,
    /// Chunks in the window so far.
    chunks: usize,
    /// Chunks that it can have.
    most: usize,
    /// Bytes of a region.
    region: usize,
    /// All chunks below this one are taken.
    low: usize,
    /// One bit a chunk; set: the chunk is spare.
    spare: *mut u64,
    /// No chunk below the first is spare, nor one from the second on.
    spares_in: (usize, usize),
    /// Number of spare chunks.
    spares: usize,
    /// Free stretches between taken chunks, and the one behind the last.
    gaps: usize,
    /// Mappings that end within a chunk.
    pub(super) rests: usize,
}

/// Chunks that lie side by side, and those of them where nothing is mapped.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub(super) at: usize,
    pub(super) count: usize,
    /// The first that is not mapped, and how many are not.
    pub(super) unmapped: (usize, usize),
}

/// Runs of spare chunks that are long enough, of which a search takes the shortest.
const LOOKS: usize = 64;

impl ChunkBits {
    pub(super) const EMPTY: Self = Self::new([ptr::null_mut(); 2], 0, 0);

    const fn new([taken, spare]: [*mut u64; 2], most: usize, region: usize) -> Self {
        ChunkBits {
            taken,
            chunks: 0,
            most,
            region,
            low: 0,
            spare,
            spares_in: (usize::MAX, 0),
            spares: 0,
            gaps: 1,
            rests: 0,
        }
    }

    /// The bits of a window that ends with `space` bytes of addresses, which are divided into
    /// regions.
    pub(super) fn begin(space: usize) -> Self {
        let most = (space - MAP.chunk_base(0).addr()) / CHUNK;
        let mut bits = Self::new(tables::bits(), most, space / REGIONS);
        bits.grow();
        bits
    }

    /// Makes the window larger by a stage. The areas for tables of all regions in it are
    /// taken: other copies of the allocator may have theirs there. Returns false if it
    /// cannot grow.
    #[cold]
    fn grow(&mut self) -> bool {
        let now = self.chunks;
        if now == self.most || tables::open_stage(now + STAGE).is_err() {
            return false;
        }
        let end = self.most.min(now + STAGE);
        self.chunks = end;
        let base = MAP.chunk_base(0).addr();
        let chunk_at = |at: usize| (at.saturating_sub(base) / CHUNK).clamp(now, end);
        let region = self.region;
        let area = region * REGIONS / AREA_PART;
        let regions = (base + now * CHUNK) / region..=(base + end * CHUNK) / region;
        for start in regions.map(|index| index * region) {
            let (from, to) = (chunk_at(start), chunk_at(start + area));
            self.mark(from, to - from, true);
        }
        true
    }

    /// About as many mappings the window has.
    pub(super) fn mappings(&self) -> usize {
        self.gaps + self.rests
    }

    /// Whether unmapping these chunks would add a mapping.
    pub(super) fn splits(&self, at: usize, count: usize) -> bool {
        self.is_taken_before(at) && self.is_taken(at + count)
    }

    fn is_taken_before(&self, at: usize) -> bool {
        at.checked_sub(1).is_none_or(|before| self.is_taken(before))
    }

    fn is_taken(&self, at: usize) -> bool {
        at < self.chunks && self.taken_word(at / 64) >> (at % 64) & 1 != 0
    }

    fn is_spare(&self, at: usize) -> bool {
        at < self.chunks && self.spare_word(at / 64) >> (at % 64) & 1 != 0
    }

    fn taken_word(&self, i: usize) -> u64 {
        // SAFETY: [SPACE-LOCKED] the table covers the window.
        unsafe { self.taken.add(i).read() }
    }

    fn spare_word(&self, i: usize) -> u64 {
        // SAFETY: [SPACE-LOCKED] the table covers the window.
        unsafe { self.spare.add(i).read() }
    }

    /// The first chunk in `from..end` that is taken and not spare.
    pub(super) fn next_in_use(&self, from: usize, end: usize) -> Option<usize> {
        let word = |i| self.taken_word(i) & !self.spare_word(i);
        bits::next_set(word, from, end.min(self.chunks))
    }

    /// The last such chunk below `end`.
    pub(super) fn last_in_use(&self, end: usize) -> Option<usize> {
        let end = end.min(self.chunks);
        (0..end.div_ceil(64)).rev().find_map(|i| {
            let below = bits::low((end - i * 64).min(64));
            let word = self.taken_word(i) & !self.spare_word(i) & below;
            (word != 0).then(|| i * 64 + 63 - word.leading_zeros() as usize)
        })
    }

    /// Takes `count` free chunks, the first a multiple of `align` chunks.
    pub(super) fn take(&mut self, count: usize, align: usize) -> Option<usize> {
        loop {
            let at = self.find(count, align);
            if at.is_some() || !self.grow() {
                return at;
            }
        }
    }

    fn find(&mut self, count: usize, align: usize) -> Option<usize> {
        let mut at = self.next_free(self.low);
        self.low = at;
        loop {
            at = at.next_multiple_of(align);
            if at.checked_add(count)? > self.chunks {
                return None;
            }
            match self.first_taken(at, count) {
                None => break,
                Some(taken) => at = self.next_free(taken + 1),
            }
        }
        self.mark(at, count, true);
        Some(at)
    }

    /// Takes as many of the chunks from `at` to `end` as are free before the first that is not.
    pub(super) fn take_free_before(&mut self, at: usize, end: usize) {
        let end = end.min(self.chunks);
        let taken = bits::next_set(|i| self.taken_word(i), at, end).unwrap_or(end);
        self.mark(at, taken.saturating_sub(at), true);
    }

    /// Frees chunks.
    pub(super) fn give_back(&mut self, at: usize, count: usize) {
        self.mark(at, count, false);
        self.low = self.low.min(at);
    }

    /// Takes `count` spare chunks, the first a multiple of `align` chunks: the smallest run of
    /// them that is long enough. If there is none, as long a one as there is, and free chunks
    /// beside it.
    #[inline]
    pub(super) fn take_spares(&mut self, count: usize, align: usize) -> Option<Stretch> {
        if self.spares == 0 {
            return None;
        }
        self.find_spares(count, align)
    }

    #[cold]
    fn find_spares(&mut self, count: usize, align: usize) -> Option<Stretch> {
        let mut least = usize::MAX;
        let (mut whole, mut part) = (None, None);
        let (mut longest, mut looks) = (0, 0);
        for (at, len) in self.spare_runs() {
            let first = at.next_multiple_of(align);
            if first + count <= at + len {
                if len < least {
                    let stretch = Stretch { at: first, count, unmapped: (first, 0) };
                    (least, whole) = (len, Some(stretch));
                }
                looks += 1;
            } else if align == 1
                && len < count
                && len > longest
                && let Some(stretch) = self.beside(at, len, count)
            {
                (longest, part) = (len, Some(stretch));
            }
            if least == count || looks == LOOKS {
                break;
            }
        }
        let found = whole.or(part)?;
        self.take_stretch(found);
        Some(found)
    }

    /// Whether `count` spare chunks lie side by side.
    pub(super) fn has_spares(&self, count: usize) -> bool {
        self.spares >= count && self.spare_runs().any(|(_, len)| len >= count)
    }

    /// A run of spare chunks with as many free ones behind or before it as make `count`.
    fn beside(&self, at: usize, len: usize, count: usize) -> Option<Stretch> {
        let more = count - len;
        if self.are_free(at + len, more) {
            return Some(Stretch { at, count, unmapped: (at + len, more) });
        }
        let first = at.checked_sub(more).filter(|first| self.are_free(*first, more))?;
        Some(Stretch { at: first, count, unmapped: (first, more) })
    }

    /// Takes `count` chunks from `at` on: spare ones, and then free ones. `None` if others
    /// are among them.
    pub(super) fn take_at(&mut self, at: usize, count: usize) -> Option<Stretch> {
        let end = at.checked_add(count).filter(|end| *end <= self.chunks)?;
        let spares = bits::next_clear(|i| self.spare_word(i), at, end).unwrap_or(end) - at;
        let more = count - spares;
        let stretch = Stretch { at, count, unmapped: (at + spares, more) };
        (more == 0 || self.are_free(at + spares, more)).then(|| {
            self.take_stretch(stretch);
            stretch
        })
    }

    fn take_stretch(&mut self, stretch: Stretch) {
        let (at, count) = stretch.unmapped;
        self.mark(at, count, true);
        self.unset_spares(stretch);
    }

    /// Makes those chunks of a stretch that are mapped spare again, and frees the others,
    /// unless they are to stay taken.
    pub(super) fn put_stretch(&mut self, stretch: Stretch, stay: bool) {
        let (at, count) = stretch.unmapped;
        for (at, count) in stretch.mapped() {
            self.set_spares(at, count);
        }
        if !stay && count != 0 {
            self.give_back(at, count);
        }
    }

    /// Takes up to `most` chunks off the end of the last run of spare ones below `end`.
    #[cold]
    pub(super) fn take_last_spares(&mut self, end: usize, most: usize) -> Option<Stretch> {
        if self.spares == 0 {
            return None;
        }
        let (from, to) = self.spares_in;
        let words = (from / 64..to.min(end).div_ceil(64)).rev();
        let word_of = |i: usize| self.spare_word(i) & bits::low((end - i * 64).min(64));
        let i = words.into_iter().find(|&i| word_of(i) != 0)?;
        let last = i * 64 + 63 - word_of(i).leading_zeros() as usize;
        let before = (from..last).rev().take(most.saturating_sub(1));
        let count = 1 + before.take_while(|&at| self.is_spare(at)).count();
        let at = last + 1 - count;
        let stretch = Stretch { at, count, unmapped: (at, 0) };
        self.unset_spares(stretch);
        Some(stretch)
    }

    /// The first spare chunk from `at` on.
    pub(super) fn next_spare(&self, at: usize) -> Option<usize> {
        let (from, end) = self.spares_in;
        bits::next_set(|i| self.spare_word(i), from.max(at), end)
    }

    /// In the child of a fork: counts the spare chunks again.
    pub(super) fn count_again(&mut self) {
        self.spares_in = (0, self.chunks);
        self.spares = self.spare_runs().map(|(_, count)| count).sum();
    }

    /// Each run of spare chunks.
    fn spare_runs(&self) -> impl Iterator<Item = (usize, usize)> {
        let (mut at, end) = self.spares_in;
        let word = |i| self.spare_word(i);
        core::iter::from_fn(move || {
            let first = bits::next_set(word, at, end)?;
            at = bits::next_clear(word, first, end).unwrap_or(end);
            Some((first, at - first))
        })
    }

    /// Makes taken chunks spare.
    pub(super) fn set_spares(&mut self, at: usize, count: usize) {
        // SAFETY: [SPACE-LOCKED] the table covers the window.
        unsafe { set(self.spare, at, count, true) };
        self.spares += count;
        let (from, to) = self.spares_in;
        self.spares_in = (from.min(at), to.max(at + count));
    }

    /// Makes the spare ones of a stretch taken.
    fn unset_spares(&mut self, stretch: Stretch) {
        for (at, count) in stretch.mapped() {
            // SAFETY: [SPACE-LOCKED] the table covers the window.
            unsafe { set(self.spare, at, count, false) };
            self.spares -= count;
        }
        if self.spares == 0 {
            self.spares_in = (usize::MAX, 0);
        }
    }

    /// The first free chunk at or after `at`, or the window's end.
    fn next_free(&self, at: usize) -> usize {
        bits::next_clear(|i| self.taken_word(i), at, self.chunks).unwrap_or(self.chunks)
    }

    /// The first taken chunk among the `count` from `from`.
    fn first_taken(&self, from: usize, count: usize) -> Option<usize> {
        bits::next_set(|i| self.taken_word(i), from, from + count)
    }

    fn are_free(&self, at: usize, count: usize) -> bool {
        at + count <= self.chunks && self.first_taken(at, count).is_none()
    }

    fn mark(&mut self, at: usize, count: usize, taken: bool) {
        if count == 0 {
            return;
        }
        // One free stretch becomes none, one or two; or the other way round.
        let beside =
            usize::from(!self.is_taken_before(at)) + usize::from(!self.is_taken(at + count));
        self.gaps = if taken { self.gaps + beside - 1 } else { self.gaps + 1 - beside };
        // SAFETY: [SPACE-LOCKED] the table covers the window.
        unsafe { set(self.taken, at, count, taken) };
    }
}

impl Stretch {
    /// The chunks that are mapped: those before the ones that are not, and those behind.
    pub(super) fn mapped(self) -> impl Iterator<Item = (usize, usize)> {
        let (first, count) = self.unmapped;
        let behind = first + count;
        [(self.at, first - self.at), (behind, self.at + self.count - behind)]
            .into_iter()
            .filter(|(_, count)| *count != 0)
    }
}

/// # Safety
/// \[SPACE-LOCKED\] The table covers the window.
unsafe fn set(words: *mut u64, at: usize, count: usize, value: bool) {
    for (i, mask) in bits::masks(at, count) {
        // SAFETY: by the caller.
        let word = unsafe { &mut *words.add(i) };
        *word = if value { *word | mask } else { *word & !mask };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::boxed::Box;
    use std::vec::Vec;

    use super::*;
    use Kind::{Free, Spare, Used};

    /// What a chunk is.
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Free,
        Used,
        Spare,
    }

    /// The last word of the tables is not used whole.
    const CHUNKS: usize = 150;

    /// Numbers of a stretch: its chunks, and those that are not mapped.
    type Numbers = (usize, usize, (usize, usize));

    /// What a window does, told simply, beside its bits.
    struct Window {
        kinds: [Kind; CHUNKS],
        bits: ChunkBits,
    }

    impl Window {
        fn new() -> Self {
            let tables = Box::leak(Box::new([[0; CHUNKS.div_ceil(64)]; 2]));
            let [taken, spare] = tables.each_mut().map(|table| table.as_mut_ptr());
            let bits = ChunkBits::new([taken, spare], CHUNKS, CHUNK * CHUNKS);
            Window { kinds: [Free; CHUNKS], bits: ChunkBits { chunks: CHUNKS, ..bits } }
        }

        /// How many chunks from `at` on are of a kind.
        fn many(&self, at: usize, kind: Kind) -> usize {
            self.kinds[at.min(CHUNKS)..].iter().take_while(|is| **is == kind).count()
        }

        fn are(&self, at: usize, count: usize, kind: Kind) -> bool {
            self.many(at, kind) >= count
        }

        /// All runs of a kind.
        fn runs(&self, kind: Kind) -> Vec<(usize, usize)> {
            let starts = |at: &usize| *at == 0 || self.kinds[at - 1] != kind;
            let runs = (0..CHUNKS).filter(starts).map(|at| (at, self.many(at, kind)));
            runs.filter(|(_, len)| *len != 0).collect()
        }

        fn set(&mut self, at: usize, count: usize, kind: Kind) {
            self.kinds[at..at + count].fill(kind);
        }

        /// The lowest free chunks.
        fn lowest(&self, count: usize, align: usize) -> Option<usize> {
            (0..CHUNKS).step_by(align).find(|at| self.are(*at, count, Free))
        }

        /// Spare chunks of the shortest run; else of the longest that free ones complete.
        fn spares(&self, count: usize, align: usize) -> Option<Numbers> {
            let first = |at: usize| at.next_multiple_of(align);
            let runs = self.runs(Spare);
            let whole = runs.iter().filter(|(at, len)| first(*at) + count <= at + len);
            if let Some((at, _)) = whole.min_by_key(|(_, len)| len) {
                return Some((first(*at), count, (first(*at), 0)));
            }
            let beside = |(at, len): &(usize, usize)| {
                let more = count.checked_sub(*len).filter(|_| align == 1)?;
                if self.are(at + len, more, Free) {
                    return Some((*len, (*at, count, (at + len, more))));
                }
                let before = at.checked_sub(more).filter(|at| self.are(*at, more, Free))?;
                Some((*len, (before, count, (before, more))))
            };
            let parts = runs.iter().filter_map(beside);
            parts.rev().max_by_key(|(len, _)| *len).map(|(_, numbers)| numbers)
        }

        fn numbers(&mut self, taken: Option<Stretch>) -> Option<Numbers> {
            let Stretch { at, count, unmapped } = taken?;
            self.set(at, count, Used);
            Some((at, count, unmapped))
        }

        fn take(&mut self, count: usize, align: usize) {
            let at = self.bits.take(count, align);
            assert_eq!(at, self.lowest(count, align));
            at.into_iter().for_each(|at| self.set(at, count, Used));
        }

        fn take_spares(&mut self, count: usize, align: usize) -> Option<Stretch> {
            let (taken, expected) =
                (self.bits.take_spares(count, align), self.spares(count, align));
            assert_eq!(self.numbers(taken), expected);
            taken
        }

        fn take_at(&mut self, at: usize, count: usize) -> Option<Stretch> {
            let spare = self.many(at, Spare).min(count);
            let is_there = self.are(at + spare, count - spare, Free);
            let expected = is_there.then_some((at, count, (at + spare, count - spare)));
            let taken = self.bits.take_at(at, count);
            assert_eq!(self.numbers(taken), expected);
            taken
        }

        fn take_last_spares(&mut self, end: usize, most: usize) {
            let last = (0..end).rev().find(|at| self.kinds[*at] == Spare);
            let expected = last.map(|last| {
                let from = (0..=last).rev().take(most);
                let count = from.take_while(|at| self.kinds[*at] == Spare).count();
                (last + 1 - count, count, (last + 1 - count, 0))
            });
            let taken = self.bits.take_last_spares(end, most);
            assert_eq!(self.numbers(taken), expected);
        }

        fn take_free_before(&mut self, at: usize, count: usize) {
            self.bits.take_free_before(at, at + count);
            let free = self.many(at, Free).min(count);
            self.set(at, free, Used);
        }

        /// What was mapped of a stretch is spare again.
        fn put(&mut self, stretch: Stretch, stay: bool) {
            self.bits.put_stretch(stretch, stay);
            self.set(stretch.at, stretch.count, Spare);
            self.set(stretch.unmapped.0, stretch.unmapped.1, if stay { Used } else { Free });
        }

        /// Whatever is asked of the bits is answered rightly.
        fn check(&self) {
            let spares = self.runs(Spare);
            let longest = spares.iter().map(|(_, len)| *len).max().unwrap_or(0);
            let is_free = |at: usize| self.kinds.get(at).is_none_or(|kind| *kind == Free);
            // What is behind the window is free, too.
            let gaps = (0..=CHUNKS).filter(|at| is_free(*at) && (*at == 0 || !is_free(at - 1)));
            assert_eq!(self.bits.mappings(), gaps.count());
            for at in 0..CHUNKS {
                assert_eq!(self.bits.has_spares(at + 1), longest > at);
                let next = |kind| (at..CHUNKS).find(|at| self.kinds[*at] == kind);
                assert_eq!(self.bits.next_spare(at), next(Spare));
                assert_eq!(self.bits.next_in_use(at, usize::MAX), next(Used));
                let first = (0..at).find(|at| self.kinds[*at] == Used);
                assert_eq!(self.bits.next_in_use(0, at), first);
                let last = (0..at).rev().find(|at| self.kinds[*at] == Used);
                assert_eq!(self.bits.last_in_use(at), last);
                let splits = (at == 0 || !is_free(at - 1)) && !is_free(at + 3);
                assert_eq!(self.bits.splits(at, 3), splits);
            }
        }

        fn step(&mut self, mut below: impl FnMut(usize) -> usize) {
            let (at, count) = (below(CHUNKS), 1 + below(8));
            let align = 1 << below(6).saturating_sub(3);
            let used = self.many(at, Used).min(count);
            match below(12) {
                0..=2 => self.take(count, align),
                3..=5 if used != 0 => {
                    self.bits.give_back(at, used);
                    self.set(at, used, Free);
                }
                6..=7 if used != 0 => {
                    self.bits.set_spares(at, used);
                    self.set(at, used, Spare);
                }
                8..=9 => {
                    let spares = below(2) == 0;
                    let taken = if spares {
                        self.take_spares(count, align)
                    } else {
                        self.take_at(at, count)
                    };
                    if let Some(taken) = taken.filter(|_| below(3) != 0) {
                        self.put(taken, below(2) == 0);
                    }
                }
                10 => self.take_last_spares(at, count),
                11 if below(4) == 0 => self.take_free_before(at, count),
                _ => self.bits.count_again(),
            }
        }
    }

    #[test]
    fn a_window_agrees_with_one_told_simply() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut window = Window::new();
        window.check();
        for _ in 0..4000 {
            window.step(|end| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as usize % end
            });
            window.check();
        }
    }
}
