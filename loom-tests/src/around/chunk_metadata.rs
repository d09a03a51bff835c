//! Replaces what describes a chunk: it has its spans from the start.

use crate::spans::page_map::Chunk;

pub(super) fn ensure_spans(_chunk: &Chunk) -> bool {
    true
}
