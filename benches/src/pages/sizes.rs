//! Random sizes.

use std::ops::Range;

use fastrand::Rng;

/// One tenth of a MiB, rounded.
pub(super) const TENTH: usize = (1 << 20) / 10;

/// A size between these, each as likely as any other.
pub(super) fn even(rng: &mut Rng, sizes: &Range<usize>) -> usize {
    rng.usize(sizes.clone())
}

/// A size between these, each doubling as likely as any other.
pub(super) fn doubling(rng: &mut Rng, sizes: &Range<usize>) -> usize {
    let (least, most) = (sizes.start as f64, sizes.end as f64);
    (least * (most / least).powf(rng.f64())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stay_in_their_range_and_half_are_below_the_middle_doubling() {
        let (mut rng, sizes) = (Rng::with_seed(1), 16..1 << 20);
        let drawn: Vec<usize> = (0..1000).map(|_| doubling(&mut rng, &sizes)).collect();
        assert!(drawn.iter().all(|size| sizes.contains(size)));
        let small = drawn.iter().filter(|size| **size < 4096).count();
        assert!((400..600).contains(&small), "{small}");
        assert!((0..1000).all(|_| sizes.contains(&even(&mut rng, &sizes))));
    }
}
