//! Replaces entering and leaving slow paths: no signal handler comes.

use core::ptr;

use crate::thread::cache::{Cache, ENDED, IN_SLOW_PATH, NO_CACHE};
use crate::thread::tls;

pub(crate) struct SlowPath {
    word: &'static Cache,
}

impl SlowPath {
    pub(crate) fn enter() -> Self {
        let word = tls::get();
        tls::set(&IN_SLOW_PATH);
        // SAFETY: [HEAPS-STAY] the word of a thread leads to its cache, or to a static.
        SlowPath { word: unsafe { &*word } }
    }

    pub(crate) fn is_nested(&self) -> bool {
        ptr::eq(self.word, &IN_SLOW_PATH)
    }

    pub(super) fn has_no_cache_yet(&self) -> bool {
        ptr::eq(self.word, &NO_CACHE)
    }

    pub(crate) fn cache(&self) -> Option<&'static Cache> {
        let stand_in = self.has_no_cache_yet() || self.is_nested() || ptr::eq(self.word, &ENDED);
        (!stand_in).then_some(self.word)
    }

    pub(super) fn set_cache(&mut self, cache: &'static Cache) {
        self.word = cache;
    }

    pub(crate) fn leave(self) {
        tls::set(self.word);
    }
}
