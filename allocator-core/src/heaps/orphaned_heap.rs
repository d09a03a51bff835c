//! Heaps in the child of a fork. A vanished thread may have had the lock of a heap: then the
//! lists of the heap may be half changed, and so may a span. Which spans the heap has, and
//! which of their blocks are free, is told by words that are valid after every single store.
//! The lists are made again from them.
//!
//! All functions are called in the child of a fork, where no other thread runs.

use core::ptr::NonNull;

use crate::base::size_class::SHAPES;
use crate::heaps::heap::Heap;
use crate::spans::span::{List, Span, SpanList};

impl Heap {
    /// Whether a vanished thread has the lock.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.lock.is_orphaned()
    }

    /// Empties the lists. Batches that were received stay.
    pub(crate) fn forget_spans(&self) {
        self.offer_all();
        let lists = self.lists();
        lists.partial.iter_mut().for_each(|list| *list = SpanList::new());
        lists.full = SpanList::new();
    }

    /// Unlocks the heap, whose lists were made again.
    pub(crate) fn free_orphaned_lock(&self) {
        self.lock.force_unlock();
    }

    /// Puts a span that names this heap on its list; if all its blocks are free, returns
    /// it instead, detached.
    ///
    /// # Safety
    /// The span names this heap and is on no list.
    pub(crate) unsafe fn relist(&self, span: NonNull<Span>) -> Option<NonNull<Span>> {
        let lists = self.lists();
        // SAFETY: [HEAP-LOCKED] no other thread runs.
        unsafe {
            let (class, free) = span.as_ref().body(|body| {
                body.count_again();
                (body.class as usize, u32::from(body.free))
            });
            let list = match free {
                0 => List::Full,
                all if all == SHAPES[class].blocks => List::Detached,
                _ => List::Partial,
            };
            span.as_ref().body(|body| body.list = list);
            match list {
                List::Full => lists.full.push(span),
                List::Partial => {
                    lists.partial[class].push(span);
                    self.offer_all();
                }
                List::Detached => return Some(span),
            }
        }
        None
    }
}
