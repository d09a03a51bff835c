//! What is done before memory is refused: blocks that are free, but not in their spans, go
//! there. One of them may be what is missing, or the last one of a span or a chunk.

use crate::background::sleepers;
use crate::base::nested;
use crate::thread::cache::Cache;
use crate::thread::registry;

/// Flushes what the calling thread keeps, ends the spare caches, and drains the arenas. Returns
/// whether there was anything: then it makes sense to ask once more. The caller holds no lock.
#[cold]
#[inline(never)]
pub(crate) fn flush(cache: Option<&Cache>) -> bool {
    // SAFETY: [OWNER-ONLY] it is the calling thread's.
    let flushed = cache.is_some_and(|cache| unsafe { cache.flush_if_any() });
    // Where a lock refuses, blocks of these would be lost.
    let ended = !nested::is_here() && registry::end_spares(true);
    sleepers::drain_arenas_now() || flushed || ended
}
