//! Replaces huge blocks: there are none.

pub(crate) fn purge_tail(_index: usize) -> usize {
    unreachable!()
}
