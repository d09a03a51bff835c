//! Random operations from several threads at once, for as long as is wanted. Every few
//! seconds all threads are stopped and everything is checked; now and then everything is
//! freed, and memory must be back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::checks::Found;
use crate::filter::Filter;
use crate::handler;
use crate::lanes::{perform, put_on};
use crate::locks::RwLock;
use crate::operation::{Deed, Operation};
use crate::threads;
use crate::violation::say;
use crate::world::World;

/// Of the operations for a whole thread or process that are drawn, one in so many is done.
const RARE: u32 = 300;

/// Checks after which everything is freed.
const TO_REST: u32 = 5;

/// What the threads of a run share.
struct Soak {
    world: &'static World,
    seed: u64,
    /// Threads hold it for reading during an operation; whoever stops them, for writing.
    gate: RwLock<()>,
    over: AtomicBool,
    /// The task of each thread; 0 while there is none.
    tasks: Vec<AtomicI32>,
    started: AtomicU64,
}

/// The figures of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Bytes of the allocator when everything was freed first, and last.
    pub rest: Option<(usize, usize)>,
    /// Most resident bytes that were seen.
    pub peak: usize,
}

/// Runs for so long, with so many threads, and checks all `pause`.
///
/// # Panics
/// If the system gives no threads.
pub fn run(
    world: &'static World,
    seed: u64,
    threads: usize,
    time: Duration,
    pause: Duration,
) -> Figures {
    handler::install(world);
    let soak = Arc::new(Soak {
        world,
        seed,
        gate: RwLock::new(()),
        over: AtomicBool::new(false),
        tasks: (0..threads).map(|_| AtomicI32::new(0)).collect(),
        started: AtomicU64::new(0),
    });
    let (start, mut figures) = (Instant::now(), Figures::default());
    let lanes: Vec<_> = (0..threads)
        .map(|lane| {
            let soak = soak.clone();
            std::thread::spawn(move || soak.lane(lane))
        })
        .collect();
    let sender = {
        let soak = soak.clone();
        std::thread::spawn(move || soak.send_signals())
    };
    let mut round = 0;
    while start.elapsed() < time {
        std::thread::sleep(pause.min(time.saturating_sub(start.elapsed())));
        round += 1;
        let _stopped = soak.gate.write().unwrap();
        let found = world.check();
        let rest = round % TO_REST == 0;
        let found = if rest { soak.rest(&mut figures) } else { found };
        figures.peak = figures.peak.max(found.explained.resident);
        soak.say(start.elapsed(), &found, if rest { ", all was freed" } else { "" });
    }
    soak.over.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
    let found = soak.rest(&mut figures);
    soak.say(start.elapsed(), &found, ", the end");
    figures
}

impl Soak {
    /// Starts one thread after another.
    fn lane(self: Arc<Self>, lane: usize) {
        let mut filter = None;
        while !self.over.load(Ordering::Relaxed) {
            let (next, soak) = (Arc::new(AtomicU64::new(0)), self.clone());
            let (result, number) = (next.clone(), self.started.fetch_add(1, Ordering::Relaxed));
            let body = move || {
                put_on(soak.world, filter);
                soak.tasks[lane].store(handler::own_task(), Ordering::Relaxed);
                let filter = soak.operations(number);
                soak.tasks[lane].store(0, Ordering::Relaxed);
                result.store(filter.map_or(0, |it| 256 | u64::from(it.bits())), Ordering::Relaxed);
            };
            match threads::start(body) {
                Some(thread) => thread.join(),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
            let next = next.load(Ordering::Relaxed);
            filter = (next != 0).then(|| Filter::new(next as u8));
        }
    }

    /// Operations until one ends the thread: then the filter for the next.
    fn operations(&self, number: u64) -> Option<Filter> {
        let world = self.world;
        world.tally.threads.fetch_add(1, Ordering::Relaxed);
        let mut random = Rng::with_seed(self.seed ^ (number << 32));
        while !self.over.load(Ordering::Relaxed) {
            let _running = self.gate.read().unwrap();
            for _ in 0..64 {
                let operation = Operation::random(&mut random, world.classes(), RARE);
                if let Deed::Restart { filter } = operation.deed {
                    return filter;
                }
                perform(world, &operation);
            }
        }
        None
    }

    /// Interrupts a thread now and then.
    fn send_signals(&self) {
        let mut random = Rng::with_seed(self.seed);
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_micros(random.u64(..4000)));
            let _running = self.gate.read().unwrap();
            let task = self.tasks[random.usize(..self.tasks.len())].load(Ordering::Relaxed);
            if task != 0 && self.world.settings.interrupts {
                handler::send(self.world, task);
            }
        }
    }

    /// Frees everything.
    fn rest(&self, figures: &mut Figures) -> Found {
        let found = self.world.finish();
        let own = found.explained.own;
        figures.rest = Some((figures.rest.map_or(own, |(first, _)| first), own));
        found
    }

    fn say(&self, time: Duration, found: &Found, what: &str) {
        let tally = &self.world.tally;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mib = |bytes: usize| bytes >> 20;
        say(format_args!(
            "{:>6} s: {} operations, {} refused, {} threads, {} with filters, {} forks, \
             {} signals, {} limits; {} blocks, MiB: live {}, committed {}, its own {}, RSS {}{what}",
            time.as_secs(),
            of(&tally.operations),
            of(&tally.refused),
            of(&tally.threads),
            of(&tally.filters),
            of(&tally.forks),
            of(&tally.signals),
            of(&tally.limits),
            found.blocks,
            mib(found.numbers.live),
            mib(found.numbers.committed),
            mib(found.explained.own),
            mib(found.explained.resident),
        ));
    }
}
