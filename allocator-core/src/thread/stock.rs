//! Free blocks of threads without caches, as hardened mode has them. Each CPU has a stock of
//! each class, behind a lock. A freed block first goes into quarantine, takes the place of a
//! random one there, and is not handed out before another takes its place in turn. What leaves
//! quarantine is ready; a random block of what is ready is handed out.
//!
//! ```text
//!  free ──► quarantine ──► ready ──► allocation
//!           at random      ▲   │     at random
//!            refill: spans ┘   └► more than fit: spans
//! ```

use core::mem::{self, offset_of};
use core::ptr::{self, NonNull};

use crate::base::directory::{self, Address};
use crate::base::lock::{Lock, LockGuard};
use crate::base::ordering;
use crate::base::published::Published;
use crate::base::size_class::{self, CLASSES};
use crate::base::sync::{AtomicU32, Guarded};
use crate::pages::arena;
use crate::pages::counters::COUNTERS;
use crate::pages::metadata;
use crate::pages::usage;
use crate::remote::span_source;
use crate::sys;
use crate::thread::registry;

/// Most blocks in quarantine, and most that are ready.
const MOST: usize = 56;
/// But not more bytes than this, as far as there are enough blocks to choose from.
const BYTES: usize = 64 << 10;
/// So many are enough.
const LEAST: usize = 8;
/// Most blocks that one refill takes, or that go back to their spans together.
const STEP: usize = 16;

/// CPUs share stocks if there are more of them.
const SHARDS: usize = 64;

pub(crate) struct Stock {
    lock: Lock,
    /// Blocks in the stock, for statistics.
    count: AtomicU32,
    /// \[STOCK-LOCKED\]
    blocks: Guarded<Blocks>,
}

struct Blocks {
    random: u64,
    quarantine: Pile,
    ready: Pile,
}

/// Blocks in no order.
struct Pile {
    len: usize,
    blocks: [*mut u8; MOST],
}

const _: () = assert!(size_of::<Stock>() <= 1024);

// SAFETY: [STOCK-LOCKED] the blocks are touched only under the lock.
unsafe impl Sync for Stock {}

static STOCKS: [[Published<Stock>; CLASSES]; SHARDS] =
    [const { [const { Published::new() }; CLASSES] }; SHARDS];

/// Where the stocks are, for readers outside of the process.
pub(crate) const fn places() -> directory::Stocks {
    directory::Stocks {
        table: Address::of(&raw const STOCKS),
        rows: SHARDS,
        count: offset_of!(Stock, count),
    }
}

/// Held while a stock is published.
static MAKING: Lock = Lock::new();

/// Most blocks of each class in either pile.
const fn limits() -> [u8; CLASSES] {
    let (mut limits, mut class) = ([0; CLASSES], 0);
    while class < CLASSES {
        let fit = BYTES / size_class::bytes(class);
        limits[class] = if fit < LEAST {
            LEAST as u8
        } else if fit > MOST {
            MOST as u8
        } else {
            fit as u8
        };
        class += 1;
    }
    limits
}

static LIMITS: [u8; CLASSES] = limits();

fn most(class: usize) -> usize {
    LIMITS[class].into()
}

impl Pile {
    const fn new() -> Self {
        Pile { len: 0, blocks: [ptr::null_mut(); MOST] }
    }

    fn add(&mut self, block: *mut u8) {
        self.blocks[self.len] = block;
        self.len += 1;
    }

    /// Takes a random block; null if there is none.
    fn take(&mut self, random: u64) -> *mut u8 {
        let Some(last) = self.len.checked_sub(1) else { return ptr::null_mut() };
        self.blocks.swap(below(random, self.len), last);
        self.len = last;
        self.blocks[last]
    }
}

/// A number below `end`, from a random one.
fn below(random: u64, end: usize) -> usize {
    ((random >> 32) as usize * end) >> 32
}

impl Blocks {
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn count(&self) -> u32 {
        (self.quarantine.len + self.ready.len) as u32
    }
}

impl Stock {
    /// Runs `f` on the blocks, and counts them. `None` if another thread does so now, or what a
    /// signal handler interrupts: outside of slow paths nobody waits here, as a handler may
    /// interrupt whoever has another lock.
    #[inline(always)]
    fn try_with<R>(&self, f: impl FnOnce(&mut Blocks) -> R) -> Option<R> {
        let held = self.lock.try_lock()?;
        self.with_lock(held, f)
    }

    /// Like [`try_with`](Self::try_with), but waits. The caller is in a slow path.
    fn with<R>(&self, f: impl FnOnce(&mut Blocks) -> R) -> Option<R> {
        let held = self.lock.lock()?;
        self.with_lock(held, f)
    }

    #[inline(always)]
    fn with_lock<R>(&self, _held: LockGuard<'_>, f: impl FnOnce(&mut Blocks) -> R) -> Option<R> {
        self.blocks.with(|blocks| {
            // SAFETY: [STOCK-LOCKED]
            let blocks = unsafe { &mut *blocks };
            let result = f(blocks);
            self.count.store(blocks.count(), ordering::stock_count());
            Some(result)
        })
    }
}

/// The place of the stock of a class on the CPU that the calling thread runs on.
#[inline(always)]
fn nearest(class: usize) -> &'static Published<Stock> {
    &STOCKS[sys::current_cpu() % SHARDS][class]
}

/// The stock at a place; makes it if there is none. The caller is in a slow path, and holds no
/// lock.
fn get_or_make(place: &'static Published<Stock>) -> Option<&'static Stock> {
    place.get().or_else(|| make(place))
}

#[cold]
fn make(place: &Published<Stock>) -> Option<&'static Stock> {
    let memory = metadata::alloc(size_of::<Stock>())?.cast::<Stock>();
    let seed = (memory.as_ptr().addr() as u64 ^ sys::monotonic_ms() << 32) | 1;
    // SAFETY: the slot is ours, large enough, and aligned to its size.
    let stock = unsafe {
        memory.write(Stock {
            lock: Lock::new(),
            count: AtomicU32::new(0),
            blocks: Guarded::new(Blocks {
                random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                quarantine: Pile::new(),
                ready: Pile::new(),
            }),
        });
        memory.as_ref()
    };
    let held = MAKING.lock();
    let other = place.get();
    if held.is_some() && other.is_none() {
        place.publish(stock);
        return Some(stock);
    }
    drop(held);
    // SAFETY: it came from there, and nobody knows of it.
    unsafe { metadata::free(memory.cast(), size_of::<Stock>()) };
    other
}

/// Takes a block that is ready; null if there is none.
#[inline]
pub(crate) fn take(class: usize) -> *mut u8 {
    let taken = nearest(class).get().and_then(|stock| {
        stock.try_with(|blocks| {
            let random = blocks.random();
            blocks.ready.take(random)
        })
    });
    taken.unwrap_or(ptr::null_mut())
}

/// Takes blocks from spans, one to return, the others to be ready. Null if there is no memory.
/// The caller is in a slow path, and holds no lock.
#[cold]
pub(crate) fn refill(class: usize) -> *mut u8 {
    let mut slots = [ptr::null_mut(); STEP];
    let want = most(class).min(STEP);
    let end = slots.as_mut_ptr_range().end;
    // SAFETY: there are as many slots below the end.
    let got = unsafe { span_source::take_shared(arena::nearest(), class, end, want) };
    usage::went_out(got * size_class::size(class));
    COUNTERS.small.add(got, got * size_class::size(class));
    let (left, blocks) = slots.split_at_mut(STEP - got);
    debug_assert!(left.iter().all(|block| block.is_null()));
    let Some((last, others)) = blocks.split_last_mut() else { return ptr::null_mut() };
    let taken = get_or_make(nearest(class)).and_then(|stock| {
        stock.with(|stock| {
            let room = most(class).saturating_sub(1 + stock.ready.len);
            let kept = others.len().min(room);
            others[..kept].iter().for_each(|block| stock.ready.add(*block));
            if kept != 0 {
                // One of them, in place of the one that would be the first.
                let at = below(stock.random(), stock.ready.len);
                mem::swap(last, &mut stock.ready.blocks[at]);
            }
            kept
        })
    });
    others[taken.unwrap_or(0)..].iter().for_each(|block| put_back(*block, class));
    *last
}

/// What became of a block that was given.
pub(crate) enum Given {
    /// It is in quarantine.
    Kept,
    /// So it is; and more are ready than need be: [`put_back_some`].
    Full(&'static Stock),
    /// There is no stock, it has no room yet, or another thread has it: [`put_back`].
    Refused,
}

/// Puts a free block into quarantine.
#[inline]
pub(crate) fn give(block: *mut u8, class: usize) -> Given {
    let Some(stock) = nearest(class).get() else { return Given::Refused };
    let given = stock.try_with(|blocks| {
        let most = most(class);
        if blocks.quarantine.len < most {
            blocks.quarantine.add(block);
            return Given::Kept;
        }
        if blocks.ready.len >= most {
            // The thread that was told so has not come to put some back.
            return Given::Refused;
        }
        let at = below(blocks.random(), most);
        let freed = mem::replace(&mut blocks.quarantine.blocks[at], block);
        blocks.ready.add(freed);
        if blocks.ready.len < most { Given::Kept } else { Given::Full(stock) }
    });
    given.unwrap_or(Given::Refused)
}

/// Returns some of the blocks of a stock that are ready to their spans. The caller is in a slow path, and
/// holds no lock.
#[cold]
pub(crate) fn put_back_some(stock: &Stock, class: usize) {
    let mut slots = [ptr::null_mut(); STEP];
    let count = stock.with(|blocks| {
        let count = blocks.ready.len.min(STEP);
        for slot in &mut slots[..count] {
            let random = blocks.random();
            *slot = blocks.ready.take(random);
        }
        count
    });
    slots[..count.unwrap_or(0)].iter().for_each(|block| put_back(*block, class));
}

/// Returns a block to its span. The caller is in a slow path, and holds no lock.
pub(crate) fn put_back(block: *mut u8, class: usize) {
    // SAFETY: [LIVE-PINS-SPAN] the block was in no other place.
    unsafe { registry::return_block(block, class) };
}

/// Returns all blocks of all stocks to their spans. Returns whether there were any. The caller
/// is in a slow path, and holds no lock.
#[cold]
pub(crate) fn flush_all() -> bool {
    let mut any = false;
    for (class, stock) in all() {
        while let Some(Some(block)) = stock.with(|blocks| {
            let pile =
                if blocks.ready.len != 0 { &mut blocks.ready } else { &mut blocks.quarantine };
            NonNull::new(pile.take(0))
        }) {
            put_back(block.as_ptr(), class);
            any = true;
        }
    }
    any
}

fn all() -> impl Iterator<Item = (usize, &'static Stock)> {
    STOCKS
        .iter()
        .flat_map(|shard| shard.iter().enumerate())
        .filter_map(|(class, stock)| Some((class, stock.get()?)))
}

/// Blocks of a class in all stocks.
pub(crate) fn cached(class: usize) -> usize {
    let stocks = STOCKS.iter().filter_map(|shard| shard[class].get());
    stocks.map(|stock| stock.count.load(ordering::stock_count()) as usize).sum()
}

/// In the child of a fork: what vanished threads were changing is lost.
pub(crate) fn after_fork() {
    if MAKING.is_orphaned() {
        MAKING.force_unlock();
    }
    for (_, stock) in all().filter(|(_, stock)| stock.lock.is_orphaned()) {
        // SAFETY: [STOCK-LOCKED] no other thread runs.
        stock.blocks.with(|blocks| unsafe {
            (*blocks).quarantine.len = 0;
            (*blocks).ready.len = 0;
        });
        stock.count.store(0, ordering::stock_count());
        stock.lock.force_unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piles_are_bounded_by_blocks_and_bytes() {
        for (bytes, blocks) in [(16, 56), (1024, 56), (2048, 32), (8 << 10, 8), (32 << 10, 8)] {
            assert_eq!(most(size_class::of(bytes, 1)), blocks, "{bytes}");
        }
    }

    #[test]
    fn a_pile_gives_each_block_once_and_at_random() {
        let block = ptr::without_provenance_mut::<u8>;
        let mut blocks = Blocks { random: 1, quarantine: Pile::new(), ready: Pile::new() };
        assert!(blocks.ready.take(0).is_null());
        let (mut seen, mut in_order) = (0u64, 0);
        (1..=MOST).for_each(|at| blocks.ready.add(block(at)));
        blocks.quarantine.add(block(1));
        for left in (0..MOST).rev() {
            assert_eq!(blocks.count() as usize, left + 2);
            let random = blocks.random();
            let taken = blocks.ready.take(random).addr();
            in_order += usize::from(taken == left + 1);
            assert!(taken != 0 && seen & 1 << taken == 0, "{taken} twice");
            seen |= 1 << taken;
        }
        assert!(blocks.ready.take(0).is_null());
        assert!(in_order < MOST / 4, "{in_order} came in order");
    }
}
