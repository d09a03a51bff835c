//! Medians, geometric means, bootstrap intervals and the choice of the peer to
//! compare a row with.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Number of resamples for an interval.
const RESAMPLES: usize = 10_000;
/// Makes intervals reproducible.
const SEED: u64 = 0x5eed;

/// A value with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// An estimate compared with its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The interval is at or below the bound.
    Met,
    /// The bound is within the interval.
    Open,
    /// The whole interval is above the bound.
    Lost,
}

impl Estimate {
    /// Compares the interval with `bound`.
    pub fn verdict(&self, bound: f64) -> Verdict {
        if self.low > bound {
            Verdict::Lost
        } else if self.high <= bound {
            Verdict::Met
        } else {
            Verdict::Open
        }
    }
}

/// The median of `values`; `NaN` for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The geometric mean of positive `values`; `NaN` for none.
pub fn geomean(values: &[f64]) -> f64 {
    let logs: f64 = values.iter().map(|v| v.ln()).sum();
    (logs / values.len() as f64).exp()
}

/// The geometric mean, over rows, of the median of each row's ratios, with the
/// bootstrap interval (percentiles, each row's ratios resampled separately). A
/// single row gives the estimate of that row.
pub fn estimate(rows: &[&[f64]]) -> Option<Estimate> {
    if rows.is_empty() || rows.iter().any(|row| row.is_empty()) {
        return None;
    }
    let middle = |rows: &[Vec<f64>]| geomean(&rows.iter().map(|r| median(r)).collect::<Vec<_>>());
    let mut resampled: Vec<Vec<f64>> = rows.iter().map(|row| row.to_vec()).collect();
    let value = middle(&resampled);
    let mut rng = Rng::with_seed(SEED);
    let mut draws: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            for (draw, row) in resampled.iter_mut().zip(rows) {
                draw.fill_with(|| row[rng.usize(..row.len())]);
            }
            middle(&resampled)
        })
        .collect();
    Some(between(value, &mut draws))
}

/// The median of `ours` over that of `theirs`, with the bootstrap interval: for
/// values that were not taken in the same rounds.
pub fn quotient(ours: &[f64], theirs: &[f64]) -> Option<Estimate> {
    if ours.is_empty() || theirs.is_empty() {
        return None;
    }
    let value = median(ours) / median(theirs);
    let mut rng = Rng::with_seed(SEED);
    let mut draw = |values: &[f64]| {
        let drawn: Vec<f64> = values.iter().map(|_| values[rng.usize(..values.len())]).collect();
        median(&drawn)
    };
    let mut draws: Vec<f64> = (0..RESAMPLES).map(|_| draw(ours) / draw(theirs)).collect();
    Some(between(value, &mut draws))
}

/// A value with the interval that holds 95 % of the draws.
fn between(value: f64, draws: &mut [f64]) -> Estimate {
    draws.sort_by(f64::total_cmp);
    Estimate {
        value,
        low: draws[draws.len() * 25 / 1000],
        high: draws[draws.len() * 975 / 1000 - 1],
    }
}

/// An allocator's values, by round; `None` where there is none.
pub type Rounds = Vec<Option<f64>>;

/// The index of the peer with the lowest median over the rounds that `which`
/// selects.
pub fn best_peer(peers: &[&Rounds], which: impl Fn(usize) -> bool) -> Option<usize> {
    let over = |rounds: &Rounds| {
        let admitted = rounds.iter().enumerate().filter(|(n, _)| which(*n));
        median(&admitted.filter_map(|(_, ns)| *ns).collect::<Vec<_>>())
    };
    let medians = peers.iter().map(|rounds| over(rounds)).enumerate();
    medians.filter(|(_, m)| !m.is_nan()).min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(n, _)| n)
}

/// A row's ratios to its best peer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Indices of the peers chosen for the even and for the odd rounds.
    pub peers: Vec<usize>,
    /// `ours / theirs`, for each round that both have.
    pub ratios: Vec<f64>,
}

/// Compares round by round with the best peer. For the even rounds that is the
/// best of the odd rounds, and vice versa, so that no peer is compared on the
/// rounds that it was selected by.
pub fn compare(ours: &Rounds, peers: &[&Rounds]) -> Comparison {
    let mut comparison = Comparison::default();
    for parity in 0..2 {
        let Some(best) = best_peer(peers, |n| n % 2 != parity) else {
            continue;
        };
        let pairs = ours.iter().zip(peers[best]).enumerate();
        let before = comparison.ratios.len();
        comparison.ratios.extend(
            pairs
                .filter(|(n, _)| n % 2 == parity)
                .filter_map(|(_, (our, their))| Some((*our)? / (*their)?)),
        );
        if comparison.ratios.len() > before && !comparison.peers.contains(&best) {
            comparison.peers.push(best);
        }
    }
    comparison
}

/// Compares with the best peer. With one round there is no other round to choose
/// it by.
pub fn against(ours: &Rounds, peers: &[&Rounds]) -> Comparison {
    let (&[our], Some(best)) = (ours.as_slice(), best_peer(peers, |_| true)) else {
        return compare(ours, peers);
    };
    let ratio = our.zip(peers[best][0]).map(|(our, their)| our / their);
    Comparison { peers: vec![best], ratios: ratio.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(ns: &[f64]) -> Rounds {
        ns.iter().map(|v| v.is_finite().then_some(*v)).collect()
    }

    #[test]
    fn medians_and_geometric_means() {
        assert_eq!(median(&[9.0, 1.0, 4.0]), 4.0);
        assert_eq!(median(&[8.0, 1.0, 4.0, 2.0]), 3.0);
        assert!(median(&[]).is_nan());
        assert!((geomean(&[2.0, 8.0]) - 4.0).abs() < 1e-12);
        assert!((geomean(&[0.5, 2.0, 1.0]) - 1.0).abs() < 1e-12);
        assert!(geomean(&[]).is_nan());
    }

    #[test]
    fn equal_ratios_have_an_interval_without_width() {
        let e = estimate(&[&[1.2; 6]]).unwrap();
        assert!((e.value - 1.2).abs() < 1e-12);
        assert!((e.low - 1.2).abs() < 1e-12 && (e.high - 1.2).abs() < 1e-12);
        assert_eq!(estimate(&[]), None);
        assert_eq!(estimate(&[&[1.0], &[]]), None);
    }

    #[test]
    fn the_interval_holds_the_true_median_about_as_often_as_it_says() {
        // 150 experiments of 15 noisy rounds around a true ratio of 0.9. The
        // percentile bootstrap of a median is slightly conservative or liberal
        // at this size, but never far from 95 %.
        let mut rng = Rng::with_seed(1);
        let mut held = 0;
        for _ in 0..150 {
            let noise = || 0.9 * (1.0 + 0.2 * (rng.f64() + rng.f64() - 1.0));
            let ratios: Vec<f64> = std::iter::repeat_with(noise).take(15).collect();
            let e = estimate(&[&ratios]).unwrap();
            assert!(e.low <= e.value && e.value <= e.high);
            assert!(e.low < e.high);
            held += usize::from(e.low <= 0.9 && 0.9 <= e.high);
        }
        assert!((132..=149).contains(&held), "{held} of 150");
    }

    #[test]
    fn an_outlier_moves_the_interval_and_not_the_median() {
        let calm = estimate(&[&[0.9, 0.91, 0.89, 0.9, 0.9, 0.9, 0.9, 0.9]]).unwrap();
        let wild = estimate(&[&[0.9, 0.91, 0.89, 0.9, 0.9, 0.9, 0.9, 5.0]]).unwrap();
        assert_eq!(calm.value, wild.value);
        assert!(wild.high < 1.0, "one round in eight");
    }

    #[test]
    fn rows_are_joined_by_the_geometric_mean_of_their_medians() {
        let e = estimate(&[&[0.5, 0.5, 9.0], &[2.0, 2.0, 0.1]]).unwrap();
        assert!((e.value - 1.0).abs() < 1e-12);
        // More rows with independent noise give a narrower interval.
        let noisy: &[f64] = &[0.8, 0.85, 0.9, 0.95, 1.0, 1.05];
        let single = estimate(&[noisy]).unwrap();
        let joined = estimate(&[noisy; 9]).unwrap();
        assert!((single.value - joined.value).abs() < 1e-9);
        assert!(joined.high - joined.low < 0.6 * (single.high - single.low));
    }

    #[test]
    fn lost_only_with_the_whole_interval_above_the_bound() {
        let e = Estimate { value: 1.1, low: 1.06, high: 1.2 };
        assert_eq!(e.verdict(1.05), Verdict::Lost);
        assert_eq!(e.verdict(1.06), Verdict::Open);
        assert_eq!(e.verdict(1.19), Verdict::Open);
        assert_eq!(e.verdict(1.2), Verdict::Met);
    }

    #[test]
    fn the_best_peer_has_the_lowest_median_of_the_admitted_rounds() {
        let a = rounds(&[1.0, 9.0, 1.0, 9.0]);
        let b = rounds(&[5.0, 5.0, 5.0, 5.0]);
        let crashed = rounds(&[f64::NAN; 4]);
        let peers = [&crashed, &a, &b];
        assert_eq!(best_peer(&peers, |n| n % 2 == 0), Some(1));
        assert_eq!(best_peer(&peers, |n| n % 2 == 1), Some(2));
        assert_eq!(best_peer(&[&crashed], |_| true), None);
        assert_eq!(best_peer(&[], |_| true), None);
    }

    #[test]
    fn a_peer_is_never_compared_on_the_rounds_it_was_chosen_for() {
        // Peer 0 is lucky in the even rounds, peer 1 in the odd ones. If chosen
        // and compared on the same rounds, each would seem to beat us.
        let ours = rounds(&[2.0; 4]);
        let lucky_even = rounds(&[1.0, 4.0, 1.0, 4.0]);
        let lucky_odd = rounds(&[4.0, 1.0, 4.0, 1.0]);
        let c = compare(&ours, &[&lucky_even, &lucky_odd]);
        assert_eq!(c.peers, [1, 0]);
        assert_eq!(c.ratios, [0.5; 4]);
    }

    #[test]
    fn rounds_that_one_side_lacks_are_left_out() {
        let ours = rounds(&[2.0, f64::NAN, 2.0, 2.0]);
        let peer = rounds(&[1.0, 1.0, f64::NAN, 4.0]);
        let c = compare(&ours, &[&peer]);
        assert_eq!(c.ratios, [2.0, 0.5]);
        assert_eq!(c.peers, [0]);
        // A single round leaves no round to choose a peer by.
        let one = compare(&rounds(&[2.0]), &[&rounds(&[1.0])]);
        assert_eq!(one, Comparison::default());
    }

    #[test]
    fn one_round_is_compared_with_the_best_of_that_round() {
        let c = against(&rounds(&[2.0]), &[&rounds(&[1.0]), &rounds(&[4.0])]);
        assert_eq!(c, Comparison { peers: vec![0], ratios: vec![2.0] });
        let c = against(&rounds(&[2.0]), &[]);
        assert_eq!(c, Comparison::default());
    }

    #[test]
    fn unpaired_values_have_a_quotient() {
        let e = quotient(&[2.2, 2.0, 1.8], &[1.0, 1.0, 1.0]).unwrap();
        assert!((e.value - 2.0).abs() < 1e-12);
        assert!((e.low - 1.8).abs() < 1e-12 && (e.high - 2.2).abs() < 1e-12, "{e:?}");
        assert_eq!(quotient(&[], &[1.0]), None);
        let noisy = [1.0, 2.0, 3.0, 4.0, 5.0];
        let e = quotient(&noisy, &noisy).unwrap();
        assert!(e.low < 1.0 && e.high > 1.0, "{e:?}");
    }
}
