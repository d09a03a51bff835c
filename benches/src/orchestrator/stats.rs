//! Medians, spreads and paired ratios.

/// The median of some values, with the lowest and the highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values`; `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }

    /// Half of the range, as a share of the median.
    pub(crate) fn half_range(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.max - self.min) / 2.0 / self.median.abs() }
    }
}

/// The spread of `ours / theirs`, taken round by round: each pair was measured
/// within seconds, so that a slow period of the machine affects both. Rounds
/// that only one of them has are skipped.
pub(crate) fn paired_ratio(ours: &[(u32, f64)], theirs: &[(u32, f64)]) -> Option<Spread> {
    Spread::of(ours.iter().filter_map(|(round, our)| {
        let (_, their) = theirs.iter().find(|(other, _)| other == round)?;
        (*their != 0.0).then(|| our / their)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        let odd = Spread::of([9.0, 1.0, 4.0]).unwrap();
        assert_eq!(odd, Spread { median: 4.0, min: 1.0, max: 9.0 });
        assert_eq!(odd.half_range(), 1.0);
        let even = Spread::of([8.0, 1.0, 4.0, 2.0]).unwrap();
        assert_eq!(even, Spread { median: 3.0, min: 1.0, max: 8.0 });
    }

    #[test]
    fn no_values_have_no_spread_and_infinities_are_no_values() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN, f64::INFINITY]), None);
        assert_eq!(Spread::of([f64::NAN, 2.0]).unwrap().median, 2.0);
        assert_eq!(Spread { median: 0.0, min: -1.0, max: 1.0 }.half_range(), 0.0);
    }

    #[test]
    fn ratios_are_paired_by_round_and_not_by_place() {
        // The machine is twice as fast in round 2; the ratio is unaffected.
        let ours = [(1, 110.0), (2, 220.0), (4, 5.0)];
        let theirs = [(2, 200.0), (3, 1.0), (1, 100.0)];
        let ratio = paired_ratio(&ours, &theirs).unwrap();
        assert!((ratio.median - 1.1).abs() < 1e-12);
        assert!((ratio.max - ratio.min).abs() < 1e-12);
        assert_eq!(paired_ratio(&ours, &[(9, 1.0)]), None);
        assert_eq!(paired_ratio(&[(1, 1.0)], &[(1, 0.0)]), None);
    }
}
