//! Shared by the programs: checksums of bytes, skewed choices, and text.

use std::hash::{BuildHasherDefault, DefaultHasher};

use fastrand::Rng;

use crate::workloads::parts::{fold, product, share};

/// Hashes without a random key: a map has the same shape in every run.
pub(super) type Hasher = BuildHasherDefault<DefaultHasher>;

/// A checksum over all bytes.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum =
        words.iter().fold(bytes.len() as u64, |sum, word| fold(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| fold(sum, u64::from(*byte)))
}

/// One of `n`, small ones more often: the product of two even choices.
pub(super) fn skewed(rng: &mut Rng, n: usize) -> usize {
    share(product(rng.u32(..), rng.u32(..)), n)
}

/// The word with this number: other numbers have other words.
pub(super) fn word(mut number: usize) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "con", "de", "fer", "gi", "hal", "in", "jor", "ka", "lum", "me", "nor", "pi", "qua",
        "ret", "sol",
    ];
    let mut text = String::new();
    loop {
        text.push_str(SYLLABLES[number % SYLLABLES.len()]);
        number /= SYLLABLES.len();
        if number == 0 {
            return text;
        }
    }
}

/// Appends this many of `vocabulary` different words, with spaces between.
pub(super) fn push_words(text: &mut String, rng: &mut Rng, count: usize, vocabulary: usize) {
    for n in 0..count {
        if n > 0 {
            text.push(' ');
        }
        text.push_str(&word(skewed(rng, vocabulary)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_sum_depends_on_every_byte() {
        let bytes: Vec<u8> = (0..21).collect();
        for n in 0..bytes.len() {
            let mut other = bytes.clone();
            other[n] ^= 1;
            assert_ne!(sum(&other), sum(&bytes), "{n}");
        }
        assert_ne!(sum(&bytes[..20]), sum(&bytes));
    }

    #[test]
    fn words_are_different() {
        let words: BTreeSet<String> = (0..5000).map(word).collect();
        assert_eq!(words.len(), 5000);
    }

    #[test]
    fn small_numbers_are_more_likely() {
        let mut rng = Rng::with_seed(1);
        let low = (0..1000).filter(|_| skewed(&mut rng, 100) < 25).count();
        assert!((500..700).contains(&low), "{low}");
    }
}
