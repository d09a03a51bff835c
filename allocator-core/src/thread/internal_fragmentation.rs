//! Estimate of internal fragmentation: the bytes of blocks that nobody requested. Sizes
//! of requests are not recorded; one request per refill is sampled, and stands for all.

use crossbeam_utils::CachePadded;

use crate::base::geometry::{MAX_ARENAS, SMALL_MAX};
use crate::base::ordering;
use crate::base::size_class::{self, CLASSES};
use crate::base::sync::AtomicU64;

/// Sampled requests of one class, and the excess bytes of their blocks, in one word:
/// count and sum are always consistent. It is written without a read-modify-write: if
/// two threads of a shard write at once, one sample is lost.
struct Seen {
    word: AtomicU64,
}

/// Maximum count: at this, count and sum are halved, so that recent requests weigh more
/// than old ones.
const MAX_REQUESTS: u64 = 1 << 16;

// The sum has half of the word.
const _: () = assert!(MAX_REQUESTS * (SMALL_MAX as u64) < 1 << 32);

impl Seen {
    fn add(&self, bytes: u64) {
        let (mut count, mut sum) = self.get();
        if count == MAX_REQUESTS - 1 {
            (count, sum) = (count / 2, sum / 2);
        }
        self.word.store((count + 1) << 32 | (sum + bytes), ordering::request_sample());
    }

    fn get(&self) -> (u64, u64) {
        let word = self.word.load(ordering::request_sample());
        (word >> 32, word & u64::from(u32::MAX))
    }
}

/// One per shard, so that threads on different CPUs write different cache lines.
static SEEN: [CachePadded<[Seen; CLASSES]>; MAX_ARENAS] =
    [const { CachePadded::new([const { Seen { word: AtomicU64::new(0) } }; CLASSES]) }; MAX_ARENAS];

/// Records a request for `size` bytes by a thread of a shard, served by a block of
/// `class`.
pub(crate) fn sample(shard: usize, class: usize, size: usize) {
    SEEN[shard][class].add((size_class::size(class) - size) as u64);
}

/// Estimates how many of `bytes` of blocks of `class` nobody requested.
pub(crate) fn part_of(bytes: usize, class: usize) -> usize {
    let (count, sum) = SEEN
        .iter()
        .map(|seen| seen[class].get())
        .fold((0, 0), |all, seen| (all.0 + seen.0, all.1 + seen.1));
    let blocks = u128::from(count.max(1)) * size_class::size(class) as u128;
    (bytes as u128 * u128::from(sum) / blocks) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_requests_weigh_more_than_old_ones() {
        let seen = Seen { word: AtomicU64::new(0) };
        (0..3).for_each(|_| seen.add(5));
        assert_eq!(seen.get(), (3, 15));
        (3..MAX_REQUESTS - 1).for_each(|_| seen.add(5));
        assert_eq!(seen.get(), (MAX_REQUESTS - 1, (MAX_REQUESTS - 1) * 5));
        seen.add(1000);
        assert_eq!(seen.get(), (MAX_REQUESTS / 2, (MAX_REQUESTS - 1) * 5 / 2 + 1000));
    }

    #[test]
    fn samples_stand_for_all_blocks_of_a_class() {
        let class = size_class::of(1000, 1);
        assert_eq!(part_of(1 << 20, class), 0);
        // Of two blocks of 1024 bytes, 24 and 40 bytes were not requested: one byte in 32.
        sample(0, class, 1000);
        sample(MAX_ARENAS - 1, class, 984);
        assert_eq!(part_of(1 << 20, class), 1 << 15);
    }
}
