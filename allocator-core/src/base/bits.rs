//! Searches for runs of set bits, in one word and in a table of words.
//!
//! A table is a function from an index to a word. It can therefore be an
//! array, a single word, or memory that a lock guards.

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// The bits `first..first + len` of a word; `len` is 1 to 64.
#[inline(always)]
pub(crate) const fn mask(first: usize, len: usize) -> u64 {
    (u64::MAX >> (BITS - len)) << first
}

/// The lowest `len` bits; `len` is 0 to 64.
#[inline(always)]
pub(crate) const fn low(len: usize) -> u64 {
    if len == 0 { 0 } else { mask(0, len) }
}

/// The first position of each run of `len` (1, 2, 4, 8) set bits that starts
/// at a multiple of `len`.
#[inline]
pub(crate) const fn aligned_runs(word: u64, len: usize) -> u64 {
    match len {
        1 => word,
        2 => word & (word >> 1) & 0x5555_5555_5555_5555,
        4 => {
            let two = word & (word >> 1);
            two & (two >> 2) & 0x1111_1111_1111_1111
        }
        _ => {
            let two = word & (word >> 1);
            let four = two & (two >> 2);
            four & (four >> 4) & 0x0101_0101_0101_0101
        }
    }
}

/// The indices of the words that hold the bits `first..first + len` of a
/// table, each with the mask of those bits.
#[inline]
pub(crate) fn masks(first: usize, len: usize) -> impl Iterator<Item = (usize, u64)> {
    let end = first + len;
    let mut at = first;
    core::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (word, bit) = (at / BITS, at % BITS);
        let bits = (BITS - bit).min(end - at);
        at += bits;
        Some((word, mask(bit, bits)))
    })
}

/// The first set bit in `from..end`.
#[inline]
pub(crate) fn next_set(word: impl Fn(usize) -> u64, from: usize, end: usize) -> Option<usize> {
    let mut at = from;
    while at < end {
        let rest = word(at / BITS) >> (at % BITS);
        if rest != 0 {
            return Some(at + rest.trailing_zeros() as usize).filter(|at| *at < end);
        }
        at = (at / BITS + 1) * BITS;
    }
    None
}

/// The first clear bit in `from..end`.
#[inline]
pub(crate) fn next_clear(word: impl Fn(usize) -> u64, from: usize, end: usize) -> Option<usize> {
    next_set(|i| !word(i), from, end)
}

/// Each run of set bits below `end`: its first bit and its length.
#[inline]
pub(crate) fn runs(
    word: impl Fn(usize) -> u64,
    end: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let first = next_set(&word, at, end)?;
        at = next_clear(&word, first, end).unwrap_or(end);
        Some((first, at - first))
    })
}

/// Each set bit of a word, lowest first.
#[inline]
pub(crate) fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(lowest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables with long runs, short runs, and none.
    fn tables() -> impl Iterator<Item = [u64; 3]> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) | state >> 3;
            state
        };
        let random = (0..2_000).map(move |round| match round % 4 {
            0 => [next(), next(), next()],
            1 => [next() | next(), u64::MAX, next()],
            2 => [next() & next() & next(), 0, next()],
            _ => [u64::MAX << (next() % 64), u64::MAX, u64::MAX >> (next() % 64)],
        });
        random.chain([[0; 3], [u64::MAX; 3]])
    }

    fn bit(table: &[u64; 3], at: usize) -> bool {
        table[at / 64] >> (at % 64) & 1 != 0
    }

    #[test]
    fn aligned_runs_agree_with_a_look_at_each_position() {
        for word in tables().flatten() {
            for len in [1, 2, 4, 8] {
                let want = (0..64)
                    .step_by(len)
                    .filter(|&at| (at..at + len).all(|bit| word >> bit & 1 != 0))
                    .fold(0, |bits, at| bits | 1 << at);
                assert_eq!(aligned_runs(word, len), want, "{word:#x} {len}");
            }
        }
    }

    #[test]
    fn searches_agree_with_a_look_at_each_bit() {
        for (round, table) in tables().enumerate() {
            let end = 192 - round % 70;
            let word = |i: usize| table[i];
            for from in [0, 1, 63, 64, 100, 128, end - 1, end] {
                let set = (from..end).find(|&at| bit(&table, at));
                assert_eq!(next_set(word, from, end), set, "{table:x?} {from} {end}");
                let clear = (from..end).find(|&at| !bit(&table, at));
                assert_eq!(next_clear(word, from, end), clear, "{table:x?} {from} {end}");
            }
        }
    }

    #[test]
    fn runs_agree_with_a_look_at_each_bit() {
        for (round, table) in tables().enumerate() {
            let end = 192 - round % 130;
            let mut found = runs(|i| table[i], end);
            let mut at = 0;
            while at < end {
                let len = (at..end).take_while(|&at| bit(&table, at)).count();
                if len != 0 {
                    assert_eq!(found.next(), Some((at, len)), "{table:x?} {end}");
                }
                at += len.max(1);
            }
            assert_eq!(found.next(), None, "{table:x?} {end}");
        }
    }

    #[test]
    fn masks_cover_each_bit_once() {
        for (first, len) in [(0, 1), (0, 64), (63, 2), (5, 0), (10, 128), (100, 92), (64, 64)] {
            let mut covered = [0u64; 3];
            for (word, mask) in masks(first, len) {
                assert_eq!(covered[word] & mask, 0);
                covered[word] |= mask;
            }
            let ones: usize = covered.iter().map(|word| word.count_ones() as usize).sum();
            assert_eq!(ones, len);
            assert!((first..first + len).all(|at| bit(&covered, at)), "{first} {len}");
        }
    }

    #[test]
    fn ones_are_the_set_bits() {
        for word in tables().flatten().take(500) {
            assert!(ones(word).eq((0..64).filter(|bit| word >> bit & 1 != 0)));
        }
    }
}
