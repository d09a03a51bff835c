//! Random programs, run by several threads that pass blocks to each other, against a
//! model that knows every byte.

use super::{fill, in_threads, is_filled, is_zero, layout};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard};

/// What a step does to one of the shared places for blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// Puts a fresh block there, after freeing the block that was there.
    Alloc,
    /// The same, zeroed.
    AllocZeroed,
    /// Reallocates the block there; if there is none, as `Alloc`.
    Realloc,
    /// Frees the block that is there.
    Free,
    /// Calls the function that was passed to [`run`].
    Extra,
}

/// One step of one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) deed: Deed,
    pub(crate) place: usize,
    pub(crate) size: usize,
    pub(crate) align: usize,
}

/// The steps of each thread.
pub(crate) type Program = Vec<Vec<Step>>;

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) served: usize,
    pub(crate) refused: usize,
}

struct Held {
    ptr: *mut u8,
    layout: Layout,
    seed: u64,
}

// SAFETY: a block may be used by any thread that holds it.
unsafe impl Send for Held {}

struct Run<'a, A> {
    alloc: &'a A,
    places: Vec<Mutex<Option<Held>>>,
    seeds: AtomicU64,
    served: AtomicUsize,
    refused: AtomicUsize,
}

/// Runs a program, with a thread for each list of steps, and frees everything at the
/// end. Every byte of a block is checked before the block is freed or moved. Null is
/// allowed; the caller decides how many refusals are too many.
pub(crate) fn run<A: GlobalAlloc + Sync>(
    alloc: &A,
    places: usize,
    program: &Program,
    extra: impl Fn(usize) + Sync,
) -> Outcome {
    let run = Run {
        alloc,
        places: (0..places).map(|_| Mutex::new(None)).collect(),
        seeds: AtomicU64::new(1),
        served: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
    };
    let start = Barrier::new(program.len());
    in_threads(program.iter().map(|steps| {
        let (run, start, extra) = (&run, &start, &extra);
        move || {
            start.wait();
            for step in steps {
                if let Deed::Extra = step.deed {
                    extra(step.size);
                } else {
                    run.step(step);
                }
            }
        }
    }));
    for place in &run.places {
        run.give_back(&mut place.lock().unwrap());
    }
    Outcome { served: run.served.into_inner(), refused: run.refused.into_inner() }
}

impl<A: GlobalAlloc> Run<'_, A> {
    fn step(&self, step: &Step) {
        let mut place = self.places[step.place % self.places.len()].lock().unwrap();
        match step.deed {
            Deed::Realloc if place.is_some() => self.realloc(&mut place, step.size),
            Deed::Free => self.give_back(&mut place),
            deed => {
                self.give_back(&mut place);
                let layout = layout(step.size, step.align);
                // SAFETY: the size is not 0.
                let ptr = unsafe {
                    match deed {
                        Deed::AllocZeroed => self.alloc.alloc_zeroed(layout),
                        _ => self.alloc.alloc(layout),
                    }
                };
                if self.count(ptr) {
                    assert_eq!(ptr.addr() % step.align, 0, "{step:?} at {ptr:p}");
                    if let Deed::AllocZeroed = deed {
                        // SAFETY: the block has so many bytes.
                        assert!(unsafe { is_zero(ptr, step.size) }, "{step:?} at {ptr:p}: dirt");
                    }
                    *place = Some(self.hold(ptr, layout));
                }
            }
        }
    }

    fn count(&self, ptr: *mut u8) -> bool {
        let count = if ptr.is_null() { &self.refused } else { &self.served };
        count.fetch_add(1, Ordering::Relaxed);
        !ptr.is_null()
    }

    fn hold(&self, ptr: *mut u8, layout: Layout) -> Held {
        let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the block has so many bytes.
        unsafe { fill(ptr, layout.size(), seed) };
        Held { ptr, layout, seed }
    }

    fn check(held: &Held, size: usize) {
        // SAFETY: the block has at least so many bytes.
        let whole = unsafe { is_filled(held.ptr, size, held.seed) };
        assert!(whole, "a block of {:?} at {:p} was changed", held.layout, held.ptr);
    }

    fn realloc(&self, place: &mut MutexGuard<'_, Option<Held>>, size: usize) {
        let Some(held) = place.take() else { return };
        Self::check(&held, held.layout.size());
        // SAFETY: the block is ours; the size is not 0.
        let ptr = unsafe { self.alloc.realloc(held.ptr, held.layout, size) };
        if !self.count(ptr) {
            Self::check(&held, held.layout.size());
            **place = Some(held);
            return;
        }
        let kept = held.layout.size().min(size);
        let layout = layout(size, held.layout.align());
        let moved = Held { ptr, layout, seed: held.seed };
        assert_eq!(ptr.addr() % layout.align(), 0);
        Self::check(&moved, kept);
        **place = Some(self.hold(ptr, layout));
    }

    fn give_back(&self, place: &mut MutexGuard<'_, Option<Held>>) {
        if let Some(held) = place.take() {
            Self::check(&held, held.layout.size());
            // SAFETY: the block is ours, and was made with this layout.
            unsafe { self.alloc.dealloc(held.ptr, held.layout) };
        }
    }
}
