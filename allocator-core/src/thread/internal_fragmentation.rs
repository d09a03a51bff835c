//! How much of a block its user did not ask for. Sizes are not recorded; but
//! one request of each refill is known, and those stand for all.

use crossbeam_utils::CachePadded;

use crate::base::geometry::{MAX_ARENAS, SMALL_MAX};
use crate::base::ordering;
use crate::base::size_class::{self, CLASSES};
use crate::base::sync::AtomicU64;

/// Requests of one class that were seen, and the bytes by which their blocks
/// were larger, in one word: count and sum always belong together. Written
/// without a read-modify-write: of two threads of a shard, one may be
/// forgotten.
struct Seen {
    word: AtomicU64,
}

/// Requests that are remembered: at so many, half of the weight is dropped, so
/// that what a program asks for now counts more than what it once did.
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

/// By shard, so that threads on different CPUs write different lines.
static SEEN: [CachePadded<[Seen; CLASSES]>; MAX_ARENAS] =
    [const { CachePadded::new([const { Seen { word: AtomicU64::new(0) } }; CLASSES]) }; MAX_ARENAS];

/// Notes a request for `size` bytes that a block of `class` serves, by a
/// thread of a shard.
pub(crate) fn sample(shard: usize, class: usize, size: usize) {
    SEEN[shard][class].add((size_class::size(class) - size) as u64);
}

/// Of `bytes` of blocks of `class`, about how many nobody asked for.
pub(crate) fn part_of(bytes: usize, class: usize) -> usize {
    let (count, sum) = SEEN
        .iter()
        .map(|seen| seen[class].get())
        .fold((0, 0), |all, seen| (all.0 + seen.0, all.1 + seen.1));
    let blocks = u128::from(count.max(1)) * size_class::size(class) as u128;
    (bytes as u128 * u128::from(sum) / blocks) as usize
}
