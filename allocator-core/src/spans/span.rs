//! A span: a run of granules in one chunk that holds blocks of one class. Its
//! record is out of band: a free block is one set bit, and the block's own
//! memory is not touched.
//!
//! ```text
//!  ├──────── 48 B ─────────┼──────────── 64 B ─────────────┼8 B┼8 B┤  to scale
//!  │heap│class…│base│…     │ 512 bits of free blocks       │   │   │
//!                            (classes under 64 B: up to      │   └ unused
//!                             2048 bits elsewhere)           └ holes
//! ```
//!
//! A unit (4 KiB) without a live block can be purged while the span stays in
//! use. The unit is then a *hole*, with one bit, until a block there is taken.

use core::ptr::{self, NonNull};

use crate::base::bits;
use crate::base::geometry::{GRANULE, GRANULE_UNITS, UNIT};
use crate::base::misuse::{Location, Misuse, Report};
use crate::base::ordering;
use crate::base::size_class::{self, SHAPES, Shape};
use crate::base::sync::{AtomicU32, Guarded};

/// Words of the bitmap in the span itself. A longer bitmap is elsewhere.
const INLINE_WORDS: usize = 8;

/// No heap: the span is not in use.
pub(crate) const NO_HEAP: u32 = 0;

/// Which of its heap's lists a span is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum List {
    /// On no list: just made, or on its way to another heap.
    Detached,
    /// On the list of the spans with free blocks.
    Partial,
    /// On the list of the spans without free blocks.
    Full,
}

#[repr(C, align(128))]
pub(crate) struct Span {
    /// The heap whose lock guards the body. This word is authoritative; the
    /// entries of the page map are a published copy.
    heap: AtomicU32,
    body: Guarded<Body>,
}

/// \[HEAP-LOCKED\] Touched only under the lock of the span's heap or, while
/// the span has no heap, by the thread that claimed its granules.
#[repr(C)]
pub(crate) struct Body {
    pub(crate) class: u8,
    pub(crate) list: List,
    /// No word of the bitmap below this one has a free block.
    low: u8,
    /// Whether a block was taken since the last [`reset_taken`](Self::reset_taken).
    taken: bool,
    pub(crate) free: u16,
    pub(crate) base: *mut u8,
    /// The bitmap: set bits are free blocks.
    bits: *mut u64,
    pub(crate) next: *mut Span,
    prev: *mut Span,
    inline: [u64; INLINE_WORDS],
    /// One bit per unit: its memory was purged, and no block there is out.
    holes: u64,
}

const _: () = assert!(size_of::<Span>() == 128);

impl Span {
    #[cfg(strata_loom)]
    pub(crate) fn new() -> Self {
        Span {
            heap: AtomicU32::new(NO_HEAP),
            body: Guarded::new(Body {
                class: 0,
                list: List::Detached,
                low: 0,
                taken: false,
                free: 0,
                base: ptr::null_mut(),
                bits: ptr::null_mut(),
                next: ptr::null_mut(),
                prev: ptr::null_mut(),
                inline: [0; INLINE_WORDS],
                holes: 0,
            }),
        }
    }

    /// The heap of the span. It cannot change while the caller holds that
    /// heap's lock.
    #[inline]
    pub(crate) fn heap(&self) -> u32 {
        self.heap.load(ordering::span_heap_check())
    }

    /// Moves the span to another heap. This is the last step under the lock of
    /// the present heap, after the entries of the page map.
    #[inline]
    pub(crate) fn set_heap(&self, heap: u32) {
        self.heap.store(heap, ordering::span_heap_set());
    }

    /// Runs `f` on the body. The caller may touch it.
    ///
    /// # Safety
    /// \[HEAP-LOCKED\]
    #[inline(always)]
    pub(crate) unsafe fn body<R>(&self, f: impl FnOnce(&mut Body) -> R) -> R {
        // SAFETY: [HEAP-LOCKED] by the caller.
        self.body.with(|body| f(unsafe { &mut *body }))
    }
}

/// The effect of a put on the span.
#[derive(PartialEq, Eq)]
pub(crate) enum Put {
    /// The span stays on its list.
    Kept,
    /// The span had no free block and has one now.
    NoLongerFull,
    /// All blocks of the span are free now.
    Emptied,
}

impl Body {
    /// Makes the span one of `class` at `base`, with all blocks free. `long` is
    /// the place for a bitmap that does not fit into the span.
    ///
    /// # Safety
    /// \[HEAP-LOCKED\], and `long` has room for [`size_class::MAX_WORDS`].
    pub(crate) unsafe fn carve(&mut self, class: usize, base: *mut u8, long: *mut u64) {
        let shape = &SHAPES[class];
        self.class = class as u8;
        self.list = List::Detached;
        self.low = 0;
        self.taken = true;
        self.holes = 0;
        self.free = shape.blocks as u16;
        self.base = base;
        self.bits = if shape.words() <= INLINE_WORDS { self.inline.as_mut_ptr() } else { long };
        self.next = ptr::null_mut();
        self.prev = ptr::null_mut();
        let blocks = shape.blocks as usize;
        for i in 0..shape.words() {
            let left = blocks - i * 64;
            let word = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
            // SAFETY: i < words, which fit where `bits` points.
            unsafe { self.bits.add(i).write(word) };
        }
    }

    /// Takes up to `want` free blocks, lowest addresses first, and stores them
    /// downwards from `end`, so that a stack hands out the lowest first.
    /// Returns how many. The memory of the blocks is not touched. If possible,
    /// stops before a block whose index is a multiple of `group`, a power of
    /// two.
    ///
    /// # Safety
    /// \[HEAP-LOCKED\]; `want` slots below `end` are the caller's to write.
    pub(crate) unsafe fn take(
        &mut self,
        mut end: *mut *mut u8,
        mut want: usize,
        group: usize,
    ) -> usize {
        let shape = &SHAPES[self.class as usize];
        let size = shape.size as usize;
        let words = shape.words();
        let mut i = self.low as usize;
        let mut got = 0;
        self.taken = true;
        while i < words {
            // SAFETY: i < words.
            let bits = unsafe { self.bits.add(i) };
            // SAFETY: as above.
            let mut word = unsafe { bits.read() };
            // Baseline x86-64 counts zeros slowly. Taking whole runs of blocks
            // needs two counts per run instead of one per block.
            while word != 0 && got < want {
                let start = word.trailing_zeros() as usize;
                let left = want - got;
                let mut run =
                    ((!(word >> start)).trailing_zeros() as usize).min(left).min(64 - start);
                if run == left {
                    run = trim_to_line_group(start, run, group, got);
                    want = got + run;
                    if run == 0 {
                        break;
                    }
                }
                word &= !bits::mask(start, run);
                got += run;
                if self.holes != 0 {
                    self.clear_holes(i * 64 + start, run);
                }
                let mut block = self.base.wrapping_add((i * 64 + start) * size);
                for _ in 0..run {
                    // SAFETY: at most `want` slots are written in all.
                    unsafe {
                        end = end.sub(1);
                        end.write(block);
                    }
                    block = block.wrapping_add(size);
                }
            }
            // SAFETY: i < words.
            unsafe { bits.write(word) };
            if got == want {
                break;
            }
            i += 1;
        }
        self.low = i as u8;
        self.free -= got as u16;
        got
    }

    /// Clears the holes under `run` blocks from `first` on.
    #[cold]
    fn clear_holes(&mut self, first: usize, run: usize) {
        let size = SHAPES[self.class as usize].size as usize;
        let low = first * size / UNIT;
        let high = ((first + run) * size - 1) / UNIT;
        self.holes &= !bits::mask(low, high - low + 1);
    }

    /// The purged units, one bit each.
    #[inline]
    pub(crate) fn holes(&self) -> u64 {
        self.holes
    }

    /// Records that these units were purged. No block was taken meanwhile.
    pub(crate) fn note_holes(&mut self, units: u64) {
        self.holes |= units;
    }

    /// Clears `taken`. Returns whether a block was taken since the last call.
    pub(crate) fn reset_taken(&mut self) -> bool {
        core::mem::replace(&mut self.taken, false)
    }

    /// The units that can become holes, in whole pages of `page` units (a power
    /// of two). No block that overlaps such a page is out.
    pub(crate) fn purgeable_units(&self, page: usize) -> u64 {
        let shape = &SHAPES[self.class as usize];
        let (size, last) = (shape.size as usize, shape.blocks as usize - 1);
        let mut purgeable_units = 0;
        for unit in 0..shape.granules as usize * GRANULE_UNITS {
            // The rest behind the last block belongs to no block.
            let from = unit * UNIT / size;
            let to = (((unit + 1) * UNIT - 1) / size).min(last);
            if self.holes >> unit & 1 == 0 && (from > to || self.all_free(from, to)) {
                purgeable_units |= 1 << unit;
            }
        }
        bits::aligned_runs(purgeable_units, page).wrapping_mul(bits::mask(0, page))
    }

    /// Returns whether the blocks `from..=to` are all free.
    fn all_free(&self, from: usize, to: usize) -> bool {
        bits::masks(from, to + 1 - from).all(|(word, mask)| {
            // SAFETY: a block that lies in the span has a bit.
            let bits = unsafe { self.bits.add(word).read() };
            bits & mask == mask
        })
    }

    /// Sets the bit of the first of `blocks`, and of the following ones as long
    /// as they are adjacent in order. Returns how many, and the effect on the
    /// span. A pointer that is not the start of a block, or a block that is free
    /// already, is noted as misuse and has no effect.
    ///
    /// # Safety
    /// \[HEAP-LOCKED\]; the first block lies in this span.
    #[inline]
    pub(crate) unsafe fn put(&mut self, blocks: &[*mut u8]) -> (usize, Put) {
        let shape = &SHAPES[self.class as usize];
        let block = blocks[0];
        let index = shape.block_at(block.addr() - self.base.addr());
        let Some(index) = index.filter(|&index| index < shape.blocks as usize) else {
            return self.refuse(Misuse::Interior, block);
        };
        let (low, mut run) = match blocks.get(1) {
            Some(next) if next.addr().abs_diff(block.addr()) == shape.size as usize => {
                run(blocks, index, shape)
            }
            _ => (index, 1),
        };
        // SAFETY: these blocks lie in the span.
        if !unsafe { self.set(low, run) } {
            // One of them is free already. The first one alone tells which.
            // SAFETY: by the caller.
            if run == 1 || !unsafe { self.set(index, 1) } {
                return self.refuse(Misuse::DoubleFree, block);
            }
            run = 1;
        }
        let was_full = self.free == 0;
        self.low = 0;
        self.free += run as u16;
        let put = if u32::from(self.free) == shape.blocks {
            Put::Emptied
        } else if was_full {
            Put::NoLongerFull
        } else {
            Put::Kept
        };
        (run, put)
    }

    /// Sets the bits of `run` blocks from `low` on. False if one of them is set
    /// already; then nothing changes.
    ///
    /// # Safety
    /// \[HEAP-LOCKED\]; the blocks lie in this span.
    #[inline(always)]
    unsafe fn set(&mut self, low: usize, run: usize) -> bool {
        if run == 1 {
            // SAFETY: a block that lies in the span has a bit.
            let word = unsafe { &mut *self.bits.add(low / 64) };
            let after = *word | 1 << (low % 64);
            let twice = after == *word;
            *word = after;
            return !twice;
        }
        for (i, mask) in bits::masks(low, run) {
            // SAFETY: a block that lies in the span has a bit.
            let word = unsafe { &mut *self.bits.add(i) };
            if *word & mask != 0 {
                // SAFETY: as above.
                unsafe { self.unset(low, i) };
                return false;
            }
            *word |= mask;
        }
        true
    }

    /// Clears the bits from `low` on, up to word `end`.
    ///
    /// # Safety
    /// As for [`set`](Self::set).
    #[cold]
    unsafe fn unset(&mut self, low: usize, end: usize) {
        for (i, mask) in bits::masks(low, (end * 64).saturating_sub(low)) {
            // SAFETY: a block that lies in the span has a bit.
            unsafe { *self.bits.add(i) &= !mask };
        }
    }

    /// In the child of a fork: counts the free blocks again. A vanished thread may have
    /// taken or put some, and not counted them yet.
    pub(crate) fn count_again(&mut self) {
        let words = SHAPES[self.class as usize].words();
        // SAFETY: the bitmap has so many words.
        let free = (0..words).map(|i| unsafe { self.bits.add(i).read() }.count_ones()).sum::<u32>();
        self.free = free as u16;
        self.low = 0;
    }

    /// Whether a quarter of the span is loose, or more.
    pub(crate) fn is_sparse(&self) -> bool {
        self.loose_bytes() >= self.bytes() / 4
    }

    /// Bytes of the free blocks that hold memory.
    pub(crate) fn loose_bytes(&self) -> usize {
        self.free_bytes().saturating_sub(self.holes().count_ones() as usize * UNIT)
    }

    /// Whether the span is the only one on its list.
    pub(crate) fn is_alone(&self) -> bool {
        self.next.is_null() && self.prev.is_null()
    }

    /// Bytes of the free blocks.
    pub(crate) fn free_bytes(&self) -> usize {
        self.free as usize * size_class::size(self.class as usize)
    }

    /// Bytes that the span covers, its unused tail included.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        SHAPES[self.class as usize].granules as usize * GRANULE
    }

    /// Notes a misuse of the first of the blocks to be put, which is then skipped.
    #[cold]
    fn refuse(&self, what: Misuse, block: *mut u8) -> (usize, Put) {
        let location =
            Location { span: self.base.addr(), block: size_class::size(self.class as usize) };
        Report { what, ptr: block, location, size: 0 }.note();
        (1, Put::Kept)
    }
}

/// Of the last `run` blocks to be taken, from `start` on, counts those before
/// the last multiple of `group`. If there are none, counts all, unless blocks
/// were taken `before`.
fn trim_to_line_group(start: usize, run: usize, group: usize, before: usize) -> usize {
    let odd = (start + run) & (group - 1);
    if odd < run || before != 0 { run.saturating_sub(odd) } else { run }
}

/// Returns the lowest block of the leading run of adjacent blocks, and the
/// length of the run. Runs go upwards or downwards: blocks are often freed in
/// the order of allocation or in reverse. `index` is that of the first block.
fn run(blocks: &[*mut u8], index: usize, shape: &Shape) -> (usize, usize) {
    let size = shape.size as usize;
    let up = follow(blocks, shape.blocks as usize - 1 - index, size);
    if up != 0 {
        return (index, up + 1);
    }
    let down = follow(blocks, index, size.wrapping_neg());
    (index - down, down + 1)
}

/// Counts the blocks, at most `most`, that follow the first at one `step` each.
/// Compares four at a time: counting would cost as much as comparing.
fn follow(blocks: &[*mut u8], most: usize, step: usize) -> usize {
    let rest = &blocks[1..blocks.len().min(most + 1)];
    let mut next = blocks[0].wrapping_add(step);
    let mut count = 0;
    let (fours, _) = rest.as_chunks::<4>();
    for four in fours {
        let steps = [0, 1, 2, 3].map(|i| next.wrapping_add(step.wrapping_mul(i)));
        if *four != steps {
            break;
        }
        next = steps[3].wrapping_add(step);
        count += 4;
    }
    while rest.get(count) == Some(&next) {
        next = next.wrapping_add(step);
        count += 1;
    }
    count
}

/// A doubly linked list of spans of one heap \[HEAP-LOCKED\].
pub(crate) struct SpanList {
    pub(crate) head: *mut Span,
}

impl SpanList {
    pub(crate) const fn new() -> Self {
        SpanList { head: ptr::null_mut() }
    }

    /// # Safety
    /// \[HEAP-LOCKED\] for `span` and every span on the list; `span` is on no list.
    pub(crate) unsafe fn push(&mut self, span: NonNull<Span>) {
        let old = self.head;
        // SAFETY: [HEAP-LOCKED] by the caller, for both.
        unsafe {
            span.as_ref().body(|body| {
                body.next = old;
                body.prev = ptr::null_mut();
            });
            if let Some(old) = NonNull::new(old) {
                old.as_ref().body(|body| body.prev = span.as_ptr());
            }
        }
        self.head = span.as_ptr();
    }

    /// # Safety
    /// \[HEAP-LOCKED\] for `span` and every span on the list; `span` is on this list.
    pub(crate) unsafe fn remove(&mut self, span: NonNull<Span>) {
        // SAFETY: [HEAP-LOCKED] by the caller, for the span and its neighbours.
        unsafe {
            let (next, prev) = span.as_ref().body(|body| (body.next, body.prev));
            match NonNull::new(prev) {
                Some(prev) => prev.as_ref().body(|body| body.next = next),
                None => self.head = next,
            }
            if let Some(next) = NonNull::new(next) {
                next.as_ref().body(|body| body.prev = prev);
            }
        }
    }
}

/// Spans that one thread has detached, linked through `next`.
pub(crate) struct DetachedSpans {
    head: *mut Span,
    /// Number of units that are no longer holes.
    filled: u32,
}

impl DetachedSpans {
    pub(crate) const fn new() -> Self {
        DetachedSpans { head: ptr::null_mut(), filled: 0 }
    }

    /// Records that units of spans are no longer holes.
    #[cold]
    pub(crate) fn note_filled(&mut self, units: u64) {
        self.filled += units.count_ones();
    }

    /// Number of units recorded by `note_filled`.
    pub(crate) fn filled(&self) -> usize {
        self.filled as usize
    }

    /// # Safety
    /// The span is on no list. It is \[HEAP-LOCKED\] until it is detached; from
    /// then on no other thread links it.
    pub(crate) unsafe fn push(&mut self, span: NonNull<Span>) {
        let head = self.head;
        // SAFETY: as the caller says.
        unsafe { span.as_ref().body(|body| body.next = head) };
        self.head = span.as_ptr();
    }

    /// Takes the next span off this list, and only that one.
    ///
    /// # Safety
    /// The links of the detached spans belong to this thread.
    pub(crate) unsafe fn pop(&mut self) -> Option<NonNull<Span>> {
        let span = NonNull::new(self.head)?;
        // SAFETY: as the caller says.
        self.head = unsafe { span.as_ref().body(|body| body.next) };
        Some(span)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maximum number of blocks of a span in these tests: of 24 bytes each.
    const MAX_BLOCKS: usize = GRANULE / 24;

    /// The expected state of a span, block by block.
    struct Model {
        size: usize,
        blocks: usize,
        units: usize,
        out: [bool; MAX_BLOCKS],
        holes: u64,
    }

    impl Model {
        /// The units that a block lies in.
        fn units_of(&self, block: usize) -> impl Iterator<Item = usize> {
            let (start, end) = (block * self.size, (block + 1) * self.size);
            (0..self.units).filter(move |unit| start < (unit + 1) * UNIT && end > unit * UNIT)
        }

        fn take(&mut self, block: usize) {
            assert!(!self.out[block], "block {block} of {} is out twice", self.size);
            self.out[block] = true;
            self.holes = self.units_of(block).fold(self.holes, |holes, it| holes & !(1 << it));
        }

        fn purgeable_units(&self, page: usize) -> u64 {
            let mut used = self.holes;
            for block in (0..self.blocks).filter(|&block| self.out[block]) {
                used = self.units_of(block).fold(used, |used, it| used | 1 << it);
            }
            let pages = (0..self.units).step_by(page).map(|first| bits::mask(first, page));
            pages
                .filter(|page| used & page == 0)
                .fold(0, |purgeable_units, page| purgeable_units | page)
        }
    }

    fn body() -> Body {
        Body {
            class: 0,
            list: List::Detached,
            low: 0,
            taken: false,
            free: 0,
            base: ptr::null_mut(),
            bits: ptr::null_mut(),
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
            inline: [0; INLINE_WORDS],
            holes: 0,
        }
    }

    fn below(state: &mut u64, end: usize) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 16) as usize % end
    }

    /// Takes and frees blocks at random; pages become holes now and then.
    fn agrees(size: usize, page: usize) {
        let class = size_class::of(size, 8);
        let shape = &SHAPES[class];
        let mut model = Model {
            size: shape.size as usize,
            blocks: shape.blocks as usize,
            units: shape.granules as usize * GRANULE_UNITS,
            out: [false; MAX_BLOCKS],
            holes: 0,
        };
        assert_eq!(model.size, size);
        // The memory of blocks is not touched, so any addresses do.
        let base = ptr::without_provenance_mut::<u8>(GRANULE * 64);
        let (mut body, mut long) = (body(), [0; size_class::MAX_WORDS]);
        // SAFETY: nobody else has the body, which stays where it is.
        unsafe { body.carve(class, base, long.as_mut_ptr()) };
        let (mut state, mut made_holes, mut filled) = (size as u64 + page as u64, 0, 0);
        for round in 0..400 {
            let held = body.holes();
            // Some rounds fill the span, some empty it.
            if round / 40 % 2 == 0 {
                let mut taken = [ptr::null_mut(); MAX_BLOCKS];
                let held_out = model.out.iter().filter(|out| **out).count();
                let want = 1 + below(&mut state, model.blocks / 8);
                let group = 1 << below(&mut state, 4);
                // SAFETY: there are more slots than blocks.
                let got = unsafe { body.take(taken.as_mut_ptr_range().end, want, group) };
                assert!(got != 0 || held_out == model.blocks);
                if let Some(last) = taken[MAX_BLOCKS - got..].first()
                    && got < want
                    && got + held_out < model.blocks
                {
                    let next = (last.addr() - base.addr()) / size + 1;
                    assert_eq!(next % group, 0, "{got} of {want} blocks");
                }
                for block in &taken[MAX_BLOCKS - got..] {
                    model.take((block.addr() - base.addr()) / size);
                }
                assert!(body.reset_taken() && !body.reset_taken());
            } else {
                // In every second such round, the freed blocks are adjacent.
                let from = below(&mut state, model.blocks);
                for n in 0..model.blocks / 4 {
                    let apart = if round % 2 == 0 { n } else { below(&mut state, model.blocks) };
                    let block = (from + apart) % model.blocks;
                    if core::mem::take(&mut model.out[block]) {
                        // SAFETY: the block was out.
                        unsafe { body.put(&[base.wrapping_add(block * size)]) };
                    }
                }
                assert!(!body.reset_taken(), "nobody took a block");
            }
            assert_eq!(body.holes(), model.holes, "round {round}, {size} bytes, page {page}");
            let purgeable_units = body.purgeable_units(page);
            assert_eq!(
                purgeable_units,
                model.purgeable_units(page),
                "round {round}, {size} bytes, page {page}"
            );
            let first = below(&mut state, model.blocks);
            let last = first + below(&mut state, model.blocks - first);
            let free = model.out[first..=last].iter().all(|out| !out);
            assert_eq!(body.all_free(first, last), free, "{first} to {last} of {size} bytes");
            if below(&mut state, 4) == 0 {
                made_holes += purgeable_units.count_ones();
                body.note_holes(purgeable_units);
                model.holes |= purgeable_units;
                assert_eq!(body.purgeable_units(page), 0, "what is a hole does not become one");
            }
            filled += (held & !body.holes()).count_ones();
        }
        assert!(made_holes != 0 && filled != 0, "{made_holes} {filled} {size} {page}");
    }

    #[test]
    fn holes_agree_with_looking_at_each_block() {
        // A span of 20480-byte blocks has whole units behind the last block.
        for size in [24, 1280, 20_480, 32 << 10] {
            for page in [1, 4] {
                agrees(size, page);
            }
        }
    }

    #[test]
    fn a_span_carved_anew_has_no_holes() {
        let base = ptr::without_provenance_mut::<u8>(GRANULE * 64);
        let mut body = body();
        let class = size_class::of(1280, 8);
        // SAFETY: nobody else has the body; its bitmap fits there.
        unsafe { body.carve(class, base, ptr::null_mut()) };
        assert_eq!(body.purgeable_units(1), 0xffff);
        body.note_holes(0xffff);
        assert_eq!((body.holes(), body.purgeable_units(1)), (0xffff, 0));
        // SAFETY: as above.
        unsafe { body.carve(class, base, ptr::null_mut()) };
        assert_eq!((body.holes(), body.purgeable_units(1)), (0, 0xffff));
    }
}
