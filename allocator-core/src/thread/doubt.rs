//! What the child of a fork cannot rely on in the cache of a thread that vanished.

use crate::base::size_class::CLASSES;

/// Some of the blocks of one magazine may be elsewhere already.
pub(super) struct Doubt {
    /// The class of the magazine; [`CLASSES`]: there is no doubt.
    pub(super) class: usize,
    /// How many, the oldest ones; [`ALL`](Self::ALL): the magazine itself is in doubt.
    pub(super) oldest: usize,
}

impl Doubt {
    pub(super) const ALL: usize = usize::MAX;
    /// All blocks, but not the magazine.
    pub(super) const ALL_BLOCKS: usize = usize::MAX - 1;

    pub(super) const fn new() -> Self {
        Doubt { class: CLASSES, oldest: 0 }
    }
}
