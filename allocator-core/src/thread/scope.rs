//! The scope that the calling thread is in: on whose behalf it allocates. It is a word of the
//! thread's own, which samples are read with, and nothing else.

use core::ptr;

use crate::profile::tags::{self, Tag};
use crate::thread::tls;

/// The tag of what the calling thread allocates.
#[inline]
pub(crate) fn tag() -> &'static Tag {
    // SAFETY: [HEAPS-STAY] it was a reference when it was set.
    unsafe { tls::tag().as_ref() }.unwrap_or(&tags::NONE)
}

/// The calling thread has the tag of a scope until this is dropped. It stays with the thread.
pub(crate) struct Entered {
    /// The tag of the scope around it; null: there is none.
    before: *const Tag,
}

impl Entered {
    #[inline]
    pub(crate) fn new(tag: &'static Tag) -> Self {
        let before = tls::tag();
        tls::set_tag(ptr::from_ref(tag));
        Entered { before }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        tls::set_tag(self.before);
    }
}
