//! The scope that the calling thread is in: on whose behalf it allocates. It is a word of the
//! thread's own, which samples are read with, and nothing else.

use core::ptr;

use crate::profile::labels::{self, Label};
use crate::thread::tls;

/// The label of what the calling thread allocates.
#[inline]
pub(crate) fn label() -> &'static Label {
    // SAFETY: [HEAPS-STAY] it was a reference when it was set.
    unsafe { tls::label().as_ref() }.unwrap_or(&labels::NONE)
}

/// The calling thread has the label of a scope until this is dropped. It stays with the thread.
pub(crate) struct Entered {
    /// The label of the scope around it; null: there is none.
    before: *const Label,
}

impl Entered {
    #[inline]
    pub(crate) fn new(label: &'static Label) -> Self {
        let before = tls::label();
        tls::set_label(ptr::from_ref(label));
        Entered { before }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        tls::set_label(self.before);
    }
}
