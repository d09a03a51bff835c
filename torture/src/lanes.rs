//! Operations one at a time, in several threads: what happens depends on nothing but the
//! operations, as far as the helper and the system let it.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::child;
use crate::filter::Filter;
use crate::handler;
use crate::operation::{Deed, Operation};
use crate::threads::{self, Thread};
use crate::world::{Tally, World, set_filtered};

/// Threads that take turns. The first is the caller's.
const LANES: usize = 4;

/// A thread that waits for operations.
struct Lane {
    thread: Thread,
    send: SyncSender<Vec<Operation>>,
    done: Receiver<()>,
}

/// All threads of a run.
pub struct Lanes {
    world: &'static World,
    lanes: [Option<Lane>; LANES],
    /// What the next thread of a lane gets.
    filters: [Option<Filter>; LANES],
}

impl Lane {
    fn start(world: &'static World, filter: Option<Filter>) -> Option<Lane> {
        let (send, receive) = sync_channel::<Vec<Operation>>(1);
        let (tell, done) = sync_channel(1);
        Tally::count(&world.tally.threads);
        let thread = threads::start(move || {
            put_on(world, filter);
            while let Ok(operations) = receive.recv() {
                operations.iter().for_each(|it| perform(world, it));
                if tell.send(()).is_err() {
                    return;
                }
            }
        })?;
        Some(Lane { thread, send, done })
    }

    fn end(self) {
        drop(self.send);
        self.thread.join();
    }
}

/// Puts a filter on this thread.
pub(crate) fn put_on(world: &World, filter: Option<Filter>) {
    let Some(filter) = filter.filter(|_| world.settings.filters) else { return };
    if filter.install() {
        set_filtered();
        Tally::count(&world.tally.filters);
    }
}

/// Does all that a thread does, but for its own end and checks.
pub(crate) fn perform(world: &'static World, operation: &Operation) {
    match operation.deed {
        Deed::Fork { work } if world.settings.forks => child::fork(world, work),
        Deed::Signal { work } if world.settings.signals => handler::raise(world, work),
        Deed::Fail { calls, nth, count } => {
            if world.subject.fail(calls, nth, count) {
                world.fails.store(true, Ordering::Relaxed);
            }
        }
        _ => world.work(operation),
    }
}

impl Lanes {
    /// Threads that do nothing yet.
    #[must_use]
    pub fn new(world: &'static World) -> Lanes {
        if world.settings.signals {
            handler::install(world);
        }
        Lanes { world, lanes: [const { None }; LANES], filters: [None; LANES] }
    }

    fn end(&mut self, lane: usize) {
        if let Some(lane) = self.lanes[lane].take() {
            lane.end();
        }
    }

    /// Runs operations in one lane. The first is the caller's own thread; so is one that the
    /// system gives no thread.
    fn run_in(&mut self, lane: usize, operations: Vec<Operation>) {
        if lane != 0 && self.lanes[lane].is_none() {
            self.lanes[lane] = Lane::start(self.world, self.filters[lane].take());
        }
        match &self.lanes[lane] {
            Some(lane) => {
                lane.send.send(operations).expect("the thread waits");
                lane.done.recv().expect("the thread answers");
            }
            None => operations.iter().for_each(|it| perform(self.world, it)),
        }
    }

    fn stop_failing(&self) {
        let failed = self.world.subject.stop_failing();
        self.world.tally.failed_calls.fetch_add(failed, Ordering::Relaxed);
        self.world.fails.store(false, Ordering::Relaxed);
    }

    /// Runs an input, frees everything, and checks that all is as before.
    pub fn run(&mut self, input: &[u8]) {
        let mut batch: Vec<Operation> = Vec::new();
        let of = |operation: &Operation| usize::from(operation.lane) % LANES;
        for operation in Operation::of(&self.world.classes, input) {
            if batch.last().is_some_and(|last| of(last) != of(&operation)) {
                self.run_in(of(&batch[0]), std::mem::take(&mut batch));
            }
            let lane = of(&operation);
            let restart = match operation.deed {
                Deed::Restart { filter } => filter,
                Deed::Check => None,
                _ => {
                    batch.push(operation);
                    continue;
                }
            };
            if !batch.is_empty() {
                self.run_in(lane, std::mem::take(&mut batch));
            }
            if operation.deed == Deed::Check {
                self.stop_failing();
                self.world.check();
            } else {
                self.end(lane);
                self.filters[lane] = restart;
            }
        }
        if !batch.is_empty() {
            self.run_in(of(&batch[0]), batch);
        }
        self.stop_failing();
        self.world.free_all();
        self.world.check_blocks();
        (0..LANES).for_each(|lane| self.end(lane));
        self.filters = [None; LANES];
        self.world.check_blocks();
    }
}
