//! Size classes: the map from a size and an alignment to a class, and the shape of
//! each class. This is pure arithmetic; the compiler builds all tables.
//!
//! Classes are 16 bytes apart up to 256 bytes. Above, each doubling has eight
//! classes, up to 32 KiB, so at most an eighth is wasted. In addition, there are 24,
//! 40 and 56 bytes for layouts aligned to 8 or less, which are frequent in programs
//! with many pointers.
//!
//! ```text
//!  16 24 32 40 48 56 64 │ 80 96 ··· 256 │ 288 320 ··· 512 │ 576 ··· │ ··· 32 KiB
//!   8 bytes apart       │ 16 apart      │ 8 to a doubling │ 8       │ 8
//! ```

use crate::base::geometry::{GRANULE, LINE, SMALL_MAX};

/// The number of size classes.
pub(crate) const CLASSES: usize = 75;

/// Most words in the bitmap of a span (of the 16-byte class).
pub(crate) const MAX_WORDS: usize = GRANULE / 16 / 64;

/// Up to this size, tables with an entry for each 8 or 16 bytes tell the class;
/// above, it is computed.
const TABLE_MAX: usize = 1024;

/// The alignment of every block for which the program names none.
pub(crate) const ANY: usize = 16;

/// The smallest class whose blocks hold `size` bytes and are naturally aligned to
/// `align`; [`CLASSES`] if there is none. A span starts at a multiple of the granule,
/// so a block is aligned to every power of two that divides its size: no padding is
/// needed, and no block starts inside another.
#[inline(always)]
pub(crate) const fn of(size: usize, align: usize) -> usize {
    if size > SMALL_MAX || align > SMALL_MAX {
        return CLASSES;
    }
    if align <= 8 {
        return by_size(size);
    }
    of_aligned(size, align)
}

/// The smallest class of at least `size` bytes (at most [`SMALL_MAX`]).
#[inline(always)]
const fn by_size(size: usize) -> usize {
    if size <= TABLE_MAX {
        BY_EIGHTHS[(size + 7) >> 3] as usize
    } else {
        let last = size - 1;
        let log = last.ilog2();
        TABLE_LAST + 1 + ((log as usize - 10) << 3) + ((last >> (log - 3)) & 7)
    }
}

#[inline(always)]
const fn of_aligned(size: usize, align: usize) -> usize {
    // The step between classes near a size is at most an eighth of it. If it is
    // a multiple of the alignment, rounding the size up to the alignment is
    // enough; otherwise at most seven classes are skipped.
    let size = if size == 0 { align } else { (size + (align - 1)) & !(align - 1) };
    if size > SMALL_MAX {
        return CLASSES;
    }
    let mut class = by_size(size);
    while class < CLASSES && SIZES[class] as usize & (align - 1) != 0 {
        class += 1;
    }
    class
}

/// Like [`of`] with an alignment of [`ANY`], for sizes that are not constants;
/// `None` above [`TABLE_MAX`].
#[inline(always)]
pub(crate) fn of_any(size: usize) -> Option<usize> {
    if size > TABLE_MAX {
        return None;
    }
    let class = BY_SIXTEENTHS[(size + 15) >> 4] as usize;
    // SAFETY: all sizes in the table are small, and so have a class.
    unsafe { core::hint::assert_unchecked(class < CLASSES) };
    Some(class)
}

/// What all blocks and spans of a class have in common.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Shape {
    /// Bytes of a block.
    pub(crate) size: u32,
    /// Blocks in a span.
    pub(crate) blocks: u32,
    /// 2^64 / size, rounded up: to divide offsets in a span exactly.
    reciprocal: u64,
    /// Granules of a span: 1, 2, 4 or 8.
    pub(crate) granules: u32,
}

const fn shapes() -> [Shape; CLASSES] {
    let mut table = [Shape { size: 0, blocks: 0, reciprocal: 0, granules: 0 }; CLASSES];
    let mut class = 0;
    let mut size = 16usize;
    while class < CLASSES {
        let granules = match size {
            0..=512 => 1,
            513..=2048 => 2,
            2049..=8192 => 4,
            _ => 8,
        };
        table[class] = Shape {
            size: size as u32,
            blocks: (granules * GRANULE / size) as u32,
            reciprocal: u64::MAX / size as u64 + 1,
            granules: granules as u32,
        };
        class += 1;
        size = match size {
            0..=63 => size + 8,
            64..=255 => size + 16,
            _ => size + (1 << (size.ilog2() - 3)),
        };
    }
    table
}

/// The shape of each class.
pub(crate) static SHAPES: [Shape; CLASSES] = shapes();

impl Shape {
    /// The index of the block that starts at `offset` in a span; `None` if none
    /// starts there.
    ///
    /// With r = ceil(2^64 / size), the upper 64 bits of offset * r are the quotient.
    /// The lower 64 bits are below r exactly if there is no remainder: rounding adds
    /// less than offset to them, and r is larger than any offset.
    #[inline(always)]
    pub(crate) fn block_at(&self, offset: usize) -> Option<usize> {
        let product = u128::from(offset as u64) * u128::from(self.reciprocal);
        ((product as u64) < self.reciprocal).then_some((product >> 64) as usize)
    }

    /// Words in the bitmap of a span.
    #[inline]
    pub(crate) fn words(&self) -> usize {
        (self.blocks as usize).div_ceil(64)
    }
}

/// Bytes of a block of `class`.
#[inline]
pub(crate) fn size(class: usize) -> usize {
    SHAPES[class].size as usize
}

/// Bytes of a block of `class`, in a constant.
pub(crate) const fn bytes(class: usize) -> usize {
    SIZES[class] as usize
}

/// Blocks of at least this size share cache lines with few others or none.
const WIDE: usize = 128;

/// How many blocks of a class fill cache lines evenly: a group of so many, from
/// the start of a line, shares no line with other blocks. For wide blocks, 1.
#[inline]
pub(crate) fn line_group(class: usize) -> usize {
    match size(class) {
        size @ ..WIDE => LINE >> size.trailing_zeros().min(LINE.trailing_zeros()),
        _ => 1,
    }
}

const fn by_eighths() -> [u8; TABLE_MAX / 8 + 1] {
    let shapes = shapes();
    let mut table = [0u8; TABLE_MAX / 8 + 1];
    let mut class = 0;
    let mut i = 0;
    while i < table.len() {
        while (shapes[class].size as usize) < i * 8 {
            class += 1;
        }
        table[i] = class as u8;
        i += 1;
    }
    table
}

const BY_EIGHTHS: [u8; TABLE_MAX / 8 + 1] = by_eighths();

/// The class for [`TABLE_MAX`] bytes.
const TABLE_LAST: usize = BY_EIGHTHS[TABLE_MAX / 8] as usize;

const fn by_sixteenths() -> [u8; TABLE_MAX / ANY + 1] {
    let mut table = [0; TABLE_MAX / ANY + 1];
    let mut i = 0;
    while i < table.len() {
        table[i] = of_aligned(i * ANY, ANY) as u8;
        i += 1;
    }
    table
}

static BY_SIXTEENTHS: [u8; TABLE_MAX / ANY + 1] = by_sixteenths();

const fn sizes() -> [u16; CLASSES] {
    let shapes = shapes();
    let mut table = [0u16; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        table[class] = shapes[class].size as u16;
        class += 1;
    }
    table
}

/// Bytes of a block of each class, a constant that folds into the fast path.
const SIZES: [u16; CLASSES] = sizes();

const _: () = assert!(shapes()[CLASSES - 1].size as usize == SMALL_MAX);
const _: () = assert!(SMALL_MAX <= u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_and_alignment_gets_the_smallest_class_that_fits() {
        let mut align = 1;
        while align <= SMALL_MAX {
            for size in 0..=SMALL_MAX {
                let want = (0..CLASSES)
                    .find(|&c| {
                        let block = SHAPES[c].size as usize;
                        block >= size && (align <= 8 || block.is_multiple_of(align))
                    })
                    .unwrap_or(CLASSES);
                assert_eq!(of(size, align), want, "size {size}, alignment {align}");
            }
            align *= 2;
        }
        assert_eq!(of(SMALL_MAX + 1, 1), CLASSES);
        assert_eq!(of(1, SMALL_MAX * 2), CLASSES);
        assert_eq!(of(usize::MAX, 16), CLASSES);
    }

    #[test]
    fn the_short_way_to_a_class_leads_to_the_same() {
        for size in 0..=TABLE_MAX {
            assert_eq!(of_any(size), Some(of(size, ANY)), "size {size}");
        }
        assert_eq!(of_any(TABLE_MAX + 1), None);
        assert_eq!(of_any(usize::MAX), None);
    }

    #[test]
    fn at_most_an_eighth_is_wasted_above_64_bytes() {
        for class in 1..CLASSES {
            let (below, size) = (SHAPES[class - 1].size, SHAPES[class].size);
            assert!(size > below);
            if below >= 64 {
                // 16-byte steps are coarser than an eighth up to 128 bytes.
                assert!(size - below <= (below / 8).max(16), "{below} to {size}");
            }
        }
    }

    #[test]
    fn division_by_reciprocal_is_exact() {
        for shape in &SHAPES {
            for offset in 0..shape.granules as usize * GRANULE {
                let size = shape.size as usize;
                let block = offset.is_multiple_of(size).then_some(offset / size);
                assert_eq!(shape.block_at(offset), block, "{offset} / {size}");
            }
        }
    }

    #[test]
    fn spans_hold_at_least_eight_blocks_and_the_bitmaps_fit() {
        for shape in &SHAPES {
            assert!(shape.blocks >= 8);
            assert!(shape.words() <= MAX_WORDS);
            assert!(
                shape.size as usize * shape.blocks as usize <= shape.granules as usize * GRANULE
            );
        }
    }
}
