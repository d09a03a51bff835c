//! Replaces freed huge blocks: there are none.

pub(crate) fn free_standby() -> usize {
    0
}

pub(crate) fn purge(_want: usize) -> usize {
    0
}
