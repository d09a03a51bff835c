//! Operations, and the bytes that stand for them: any eight bytes are an operation, so a
//! fuzzer may change, leave out and repeat operations without changing the others.
//!
//! ```text
//!  byte  0     1     2  3   4          5  6    7
//!        kind  lane  place  order of   size    alignment, count,
//!                           magnitude          what else there is to choose
//! ```

use std::alloc::Layout;

use fastrand::Rng;

use crate::filter::Filter;

/// Bytes of an operation.
pub const BYTES: usize = 8;

/// What an operation does. A place is one of those for live blocks; where one is put, the
/// block that was there is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Allocates a block.
    Allocate { layout: Layout, zeroed: bool },
    /// Allocates a block for each of some places in a row.
    AllocateMany { layout: Layout, count: usize },
    /// Frees a block.
    Free,
    /// Frees the blocks of every `step`-th of some places.
    FreeMany { count: usize, step: usize },
    /// Reallocates a block.
    Reallocate { size: usize },
    /// Reallocates a block again and again: by an eighth more each time, or less.
    Chain { times: usize, grows: bool },
    /// Flushes the thread's cache.
    Idle,
    /// Returns free memory.
    Purge,
    /// Allocates blocks above a soft limit.
    SoftLimit { size: usize, count: usize },
    /// Allocates blocks until a hard limit refuses them.
    HardLimit { size: usize, count: usize },
    /// Asks for more than there can be.
    Refused { size: usize },
    /// Forks; bits say what the child does.
    Fork { work: u8 },
    /// Raises a signal, whose handler allocates; bits say what.
    Signal { work: u8 },
    /// Ends the thread. The next one has a filter, or none.
    Restart { filter: Option<Filter> },
    /// System calls fail, in this thread or all.
    Fail { calls: u8, nth: u64, count: u64 },
    /// Checks everything.
    Check,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// Which thread.
    pub(crate) lane: u8,
    /// The first place that it is about.
    pub(crate) place: usize,
    /// What it does.
    pub(crate) deed: Deed,
}

/// Kinds from here on are for a whole thread or process.
const RARE: u8 = 208;

/// Largest sizes, and largest alignment.
const MOST: usize = 8 << 20;
const MOST_ALIGN: u32 = 22;

/// Adds -4 to 4.
fn near(size: usize, by: u8) -> usize {
    (size + usize::from(by % 9)).saturating_sub(4).max(1)
}

/// A size, near the edges of what the allocator distinguishes as often as not.
fn size(classes: &[usize], order: u8, value: u16) -> usize {
    let (value, high) = (usize::from(value), (value >> 8) as u8);
    match order % 32 {
        0..=10 => 1 + value % 1024,
        11..=17 => near(classes[value % classes.len()], high),
        18..=21 => 1 + value % (32 << 10),
        22..=25 => near((1 + value % 270) * 4096, high),
        26..=27 => near(1 << (value % 23), high),
        28..=29 => (1 << (value % 20)) + value,
        30 => near((1 + value % 12) * (512 << 10), high),
        _ => 1 + (value * 128) % MOST,
    }
}

/// An alignment: 8 in half of all cases.
fn align(order: u8, choice: u8) -> usize {
    match choice % 32 {
        0..=15 => 8,
        log @ 16..=30 => 1 << (log - 16),
        _ => 1 << (15 + u32::from(order) % (MOST_ALIGN - 14)),
    }
}

impl Operation {
    /// The operation for eight bytes.
    pub(crate) fn decode(classes: &[usize], bytes: [u8; BYTES]) -> Operation {
        let [kind, lane, p0, p1, order, s0, s1, choice] = bytes;
        let value = u16::from_le_bytes([s0, s1]);
        let size = size(classes, order, value);
        let layout =
            |align| Layout::from_size_align(size, align).unwrap_or_else(|_| Layout::new::<u64>());
        let many = if size > 32 << 10 { 4 } else { 128 };
        let count = (1 + usize::from(choice) % 64) * 2;
        let few = 1 + usize::from(choice) % 16;
        let deed = match kind {
            0..=63 => Deed::Allocate {
                layout: layout(align(order / 32, choice)),
                zeroed: choice & 128 != 0,
            },
            64..=95 => Deed::AllocateMany { layout: layout(8), count: count.min(many) },
            96..=143 => Deed::Free,
            144..=167 => Deed::FreeMany { count, step: 1 + usize::from(order) % 5 },
            168..=199 => Deed::Reallocate { size },
            200..RARE => Deed::Chain { times: few, grows: order & 1 == 0 },
            RARE..=215 => Deed::Idle,
            216..=221 => Deed::Purge,
            222..=225 => Deed::SoftLimit { size, count: few },
            226..=229 => Deed::HardLimit { size, count: few },
            230..=235 => Deed::Restart { filter: None },
            236..=237 => Deed::Restart { filter: Some(Filter::new(choice)) },
            238..=239 => {
                Deed::Fail { calls: order, nth: u64::from(s0), count: u64::from(choice % 8) + 1 }
            }
            240..=243 => Deed::Fork { work: choice },
            244..=247 => Deed::Signal { work: choice },
            248..=251 => Deed::Refused { size: usize::MAX >> (1 + choice % 17) },
            252.. => Deed::Check,
        };
        Operation { lane, place: usize::from(u16::from_le_bytes([p0, p1])), deed }
    }

    /// The operations of an input.
    pub(crate) fn of(classes: &[usize], input: &[u8]) -> impl Iterator<Item = Operation> {
        let (whole, _) = input.as_chunks::<BYTES>();
        whole.iter().map(|bytes| Operation::decode(classes, *bytes))
    }

    /// A random one. Of those that are for a whole thread or process, one in `rare` that
    /// are drawn is kept.
    pub(crate) fn random(random: &mut Rng, classes: &[usize], rare: u32) -> Operation {
        loop {
            let bytes = random.u64(..).to_le_bytes();
            if bytes[0] < RARE || random.u32(..rare) == 0 {
                return Operation::decode(classes, bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_and_edges_are_drawn() {
        let classes = crate::subject::strata().classes();
        let mut random = Rng::with_seed(1);
        let all: Vec<_> =
            (0..200_000).map(|_| Operation::random(&mut random, &classes, 1)).collect();
        for kind in 0..=255 {
            let of_kind = |it: &&Operation| {
                let bytes = [kind, 0, 0, 0, 0, 0, 0, 0];
                std::mem::discriminant(&it.deed)
                    == std::mem::discriminant(&Operation::decode(&classes, bytes).deed)
            };
            assert!(all.iter().find(of_kind).is_some(), "{kind}");
        }
        let layouts: Vec<Layout> = all
            .iter()
            .filter_map(|it| match it.deed {
                Deed::Allocate { layout, .. } => Some(layout),
                _ => None,
            })
            .collect();
        for class in &classes {
            for size in [class - 1, *class, class + 1] {
                assert!(layouts.iter().any(|it| it.size() == size), "{size}");
            }
        }
        for log in 0..=MOST_ALIGN {
            assert!(layouts.iter().any(|it| it.align() == 1 << log), "alignment {}", 1 << log);
        }
        assert!(layouts.iter().any(|it| it.size() == 2 << 20));
    }
}
