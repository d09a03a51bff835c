//! How often allocations are sampled, and for how much a sample stands.
//!
//! The bytes that a thread allocates, one request after the other, are a line. Points fall on
//! it at random, one in `rate` bytes, independent of each other (a Poisson process). A request
//! is sampled if a point falls on its bytes. So a request of `size` bytes is sampled with the
//! probability `p = 1 - exp(-size / rate)`, whatever came before, and a sample stands for `1 / p`
//! requests: in the mean that is exactly what was requested.
//!
//! ```text
//!  requests  ├──┤├─┤├──────────────┤├──┤├─┤├────┤
//!  points          •      •   •                •
//!                  └ sampled ┘                 └ sampled
//! ```

use crate::base::directory::Address;
use crate::base::ordering;
use crate::base::sync::AtomicUsize;

/// What allocations are sampled for. Each has points of its own.
#[derive(Clone, Copy)]
pub(crate) enum For {
    /// The heap profile.
    Profile,
    /// Guarded sampling.
    Guards,
}

/// How many there are.
pub(super) const ALL: usize = 2;

/// For each one sample in so many bytes, in the mean; 0: it is off.
static RATES: [AtomicUsize; ALL] = [const { AtomicUsize::new(0) }; ALL];

/// Where the rate of the profile is, for readers outside of the process.
pub(super) const fn place() -> Address {
    Address::of(&raw const RATES[For::Profile as usize])
}

/// Bytes between two samples, in the mean; 0: it is off.
#[inline(always)]
pub(crate) fn get(what: For) -> usize {
    RATES[what as usize].load(ordering::profile_rate())
}

/// The rates of all, in order.
pub(super) fn all() -> [usize; ALL] {
    [get(For::Profile), get(For::Guards)]
}

/// Whether any is on.
#[inline(always)]
pub(crate) fn is_any_on() -> bool {
    get(For::Profile) | get(For::Guards) != 0
}

/// Sets a rate; 0 switches it off.
pub(crate) fn set(what: For, rate: usize) {
    RATES[what as usize].store(rate, ordering::profile_rate());
}

/// The next random number after `state`, which is not 0.
pub(crate) fn next_random(state: u64) -> u64 {
    let mut next = state;
    next ^= next << 13;
    next ^= next >> 7;
    next ^ next << 17
}

/// Bytes before the next point, by a random number: exponentially distributed, and rounded down,
/// as a point in the first byte has none before it.
pub(crate) fn gap(random: u64, rate: usize) -> usize {
    // In (0, 1], from the 53 high bits of what is uniform by a multiplication.
    let mixed = random.wrapping_mul(0x2545_f491_4f6c_dd1d);
    let uniform = ((mixed >> 11) + 1) as f64 / (1u64 << 53) as f64;
    (-log(uniform) * rate as f64) as usize
}

/// For what a sample stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weight {
    /// Requests, in parts of 1 / [`PARTS`].
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

/// Parts of a block that weights are counted in.
pub(crate) const PARTS: u64 = 1 << 16;

/// For what a sample of `size` bytes stands.
pub(crate) fn weight(size: usize, rate: usize) -> Weight {
    let size = size.max(1) as f64;
    let share = 1.0 / probability(size / rate.max(1) as f64);
    Weight { blocks: (share * PARTS as f64 + 0.5) as u64, bytes: (share * size + 0.5) as u64 }
}

/// `1 - exp(-x)`: that a point falls on a stretch of `x` mean distances. Without the standard
/// library: by its series, which is exact for small numbers, and `p(2x) = 2 p(x) - p(x)²`.
fn probability(x: f64) -> f64 {
    let (mut small, mut doublings) = (x.min(64.0), 0);
    while small > 0.25 {
        small /= 2.0;
        doublings += 1;
    }
    let (mut term, mut sum) = (small, small);
    for k in 2..14 {
        term *= -small / f64::from(k);
        sum += term;
    }
    for _ in 0..doublings {
        sum = sum * (2.0 - sum);
    }
    sum
}

/// The natural logarithm of a number in (0, 1]. The number is `m · 2^e`, with `m` near 1.
fn log(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut near = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if near > core::f64::consts::SQRT_2 {
        near /= 2.0;
        exponent += 1;
    }
    let ratio = (near - 1.0) / (near + 1.0);
    let square = ratio * ratio;
    let (mut power, mut sum) = (ratio, ratio);
    for k in 1..10 {
        power *= square;
        sum += power / f64::from(2 * k + 1);
    }
    f64::from(exponent) * core::f64::consts::LN_2 + 2.0 * sum
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn logarithms_and_probabilities_are_those_of_the_standard_library() {
        for k in 1..100_000 {
            let x = f64::from(k) / 100_000.0;
            assert!((log(x) - x.ln()).abs() < 1e-13, "ln {x}");
        }
        assert!((log(f64::EPSILON / 2.0) - (f64::EPSILON / 2.0).ln()).abs() < 1e-12);
        assert!(log(1.0).abs() < 1e-15);
        let mut x = 1e-9;
        while x < 50.0 {
            let exact = -f64::exp_m1(-x);
            assert!((probability(x) / exact - 1.0).abs() < 1e-13, "{x}");
            x *= 1.1;
        }
    }

    #[test]
    fn weights_are_unbiased() {
        const RATE: usize = 1000;
        let mut state = 88_172_645_463_325_252;
        for size in [1, 16, 300, 1000, 5000] {
            let requests = 4_000_000 / size.clamp(1, 100);
            let (mut blocks, mut bytes, mut before) = (0, 0, gap(state, RATE));
            for _ in 0..requests {
                if size <= before {
                    before -= size;
                    continue;
                }
                let weight = weight(size, RATE);
                blocks += weight.blocks;
                bytes += weight.bytes;
                state = next_random(state);
                before = gap(state, RATE);
            }
            let samples = (requests as f64 * probability(size as f64 / RATE as f64)).max(1.0);
            let near = |found: u64, exact: usize| {
                let error = (found as f64 / exact as f64 - 1.0).abs();
                assert!(error < 4.0 / samples.sqrt(), "{size}: {found} for {exact}");
            };
            near(blocks / PARTS, requests);
            near(bytes, requests * size);
        }
    }

    #[test]
    fn a_rate_of_one_byte_samples_nearly_everything() {
        let one = weight(64, 1);
        assert_eq!(one, Weight { blocks: PARTS, bytes: 64 });
        assert_eq!(weight(usize::MAX / 2, 1 << 19).blocks, PARTS);
    }
}
