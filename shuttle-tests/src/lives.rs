//! What the threads of an execution do, and what must hold at its end.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use std::collections::BTreeMap;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::base::bits;
use crate::base::geometry::UNIT;
use crate::base::size_class::SHAPES;
use crate::pages::{address_space, arena, usage};
use crate::scheduled::{self, Handle, Word, Work};
use crate::spans::page_map::MAP;
use crate::spans::span::NO_HEAP;
use crate::strata::Strata;
use crate::thread::tls;

static ALLOC: Strata = Strata::new();

/// How the next thread is chosen.
#[derive(Clone, Copy, Debug)]
pub enum Schedules {
    /// Any of those that can go on.
    Random,
    /// The one with the highest priority; at so many random points one loses its own.
    Pct(usize),
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How threads are chosen.
    pub schedules: Schedules,
    /// Chooses schedules and what threads do. With the same one, the same happens.
    pub seed: u64,
    /// Executions. The heap stays from one to the next.
    pub executions: usize,
    /// Seconds after which no other execution begins.
    pub seconds: u64,
    /// Threads of an execution at once, besides the first one.
    pub threads: usize,
    /// What each of them does, in steps.
    pub steps: usize,
    /// How many of a thousand steps fork.
    pub forks: u32,
    /// A labelled step of the allocator's protocols that is left out, to see whether that is
    /// found.
    pub left_out: Option<String>,
}

/// Executions of one scheduler.
const BATCH: usize = 32;

/// Runs executions. Returns how many there were.
///
/// # Panics
/// If a block was damaged or lost, if threads wait for each other, or if the allocator reports
/// misuse. The message says how to repeat it.
#[must_use]
pub fn run(plan: &Plan) -> usize {
    scheduled::set_word(Word { none: tls::word_without_cache().value, get: word, set: set_word });
    if let Some(step) = &plan.left_out {
        scheduled::leave_out(step);
    }
    let before = panic::take_hook();
    let text = format!("{plan:?}");
    panic::set_hook(Box::new(move |info| {
        before(info);
        eprintln!("execution {} of {text}", DONE.load(Ordering::Relaxed));
    }));
    let begin = Instant::now();
    while DONE.load(Ordering::Relaxed) < plan.executions
        && begin.elapsed() < Duration::from_secs(plan.seconds)
    {
        batch(plan);
    }
    DONE.load(Ordering::Relaxed)
}

fn word() -> usize {
    tls::get().expose_provenance()
}

fn set_word(value: usize) {
    // SAFETY: [HEAPS-STAY] it is the address of a cache, or of a stand-in.
    tls::set(unsafe { &*ptr::with_exposed_provenance(value) });
}

/// Executions that ended.
static DONE: AtomicUsize = AtomicUsize::new(0);

fn batch(plan: &Plan) {
    let done = DONE.load(Ordering::Relaxed);
    let count = BATCH.min(plan.executions - done);
    let seed = plan.seed ^ (done as u64) << 32;
    let scheduler: Box<dyn Scheduler + Send> = match plan.schedules {
        Schedules::Random => Box::new(RandomScheduler::new_from_seed(seed, count)),
        Schedules::Pct(depth) => Box::new(PctScheduler::new_from_seed(seed, depth, count)),
    };
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.max_steps = MaxSteps::FailAfter(50_000_000);
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let plan = plan.clone();
    let body = move || {
        let random = fastrand::Rng::with_seed(seed ^ DONE.load(Ordering::Relaxed) as u64);
        scheduled::execution(|| execution(&plan, random));
        DONE.fetch_add(1, Ordering::Relaxed);
    };
    Runner::new(scheduler, config).run(body);
}

/// A block, filled with a pattern of its own.
struct Block {
    at: *mut u8,
    layout: Layout,
    mark: u8,
}

// SAFETY: a block belongs to whoever has it.
unsafe impl Send for Block {}

/// All blocks that threads have, by address: the layout and the mark of each.
static HELD: Mutex<BTreeMap<usize, (Layout, u8)>> = Mutex::new(BTreeMap::new());

/// Blocks that any thread may take.
type Shared = Arc<Mutex<Vec<Block>>>;

fn execution(plan: &Plan, mut random: fastrand::Rng) {
    let shared: Shared = Arc::default();
    let threads: Vec<Handle<()>> =
        (0..plan.threads).map(|_| life(plan, random.fork(), &shared)).collect();
    threads.into_iter().for_each(Handle::join);
    for block in shared.lock().unwrap().drain(..) {
        block.free();
    }
    if random.u8(..) < 64 {
        Strata::purge();
    }
    let stats = Strata::stats();
    assert_eq!(stats.live_bytes(), 0, "of the blocks that were freed");
    assert_eq!((stats.huge_blocks(), stats.huge_bytes()), (0, 0), "huge blocks that were freed");
}

/// A thread's life. One in four has a child.
fn life(plan: &Plan, mut random: fastrand::Rng, shared: &Shared) -> Handle<()> {
    let (plan, shared) = (plan.clone(), shared.clone());
    scheduled::spawn(move || {
        let mut mine = Vec::new();
        let mut child = None;
        for _ in 0..random.usize(1..=plan.steps) {
            if random.u32(..1000) < plan.forks {
                // With a cache a thread knows that it is in no slow path.
                mine.push(Block::of(SMALL, &mut random));
                let random = random.fork();
                scheduled::fork(|| alone(random));
            }
            step(&mut random, &mut mine, &shared);
            if child.is_none() && random.usize(..plan.steps * 4) == 0 {
                child = Some(life(&plan, random.fork(), &shared));
            }
        }
        // What it leaves, others free.
        shared.lock().unwrap().append(&mut mine);
        child.into_iter().for_each(Handle::join);
    })
}

fn step(random: &mut fastrand::Rng, mine: &mut Vec<Block>, shared: &Shared) {
    match random.u32(..100) {
        0..40 => mine.push(Block::new(random)),
        40..52 => {
            if let Some(block) = take(random, mine) {
                block.free();
            }
        }
        52..66 => {
            if let Some(block) = take(random, mine) {
                shared.lock().unwrap().push(block);
            }
        }
        66..88 => {
            let block = take(random, &mut shared.lock().unwrap());
            if let Some(block) = block {
                block.free();
            }
        }
        88..94 => {
            if let Some(block) = take(random, mine) {
                mine.push(block.resize(random));
            }
        }
        94..98 => {
            let _work = scheduled::work(0);
            Strata::thread_idle();
        }
        _ => {
            let _work = scheduled::work(0);
            Strata::purge();
        }
    }
}

/// Blocks that the child of a fork allocates.
const AFTER_FORK: usize = 60;

/// What a thread that vanished in the allocator may have had on its way, besides the block of
/// its request: see `docs/fork.md`.
const ON_THE_WAY: usize = 1 << 19;

/// In the child of a fork: the blocks of all threads are whole, whatever is allocated, freed and
/// purged now. They are freed; then no more is in use than what vanished threads had on their
/// way.
fn alone(mut random: fastrand::Rng) {
    check_granules();
    let (working, bytes) = scheduled::working();
    let held = HELD.lock().unwrap().clone();
    let of = |(at, (layout, mark)): (&usize, &(Layout, u8))| {
        let at = ptr::with_exposed_provenance_mut(*at);
        Block { at, layout: *layout, mark: *mark }
    };
    let mut all: Vec<Block> = held.iter().map(of).collect();
    all.iter_mut().for_each(Block::check);
    for _ in 0..AFTER_FORK {
        all.push(Block::new(&mut random));
        if random.bool() {
            take(&mut random, &mut all).into_iter().for_each(Block::free);
        }
    }
    Strata::purge();
    let fresh: Vec<_> = (0..AFTER_FORK).map(|_| Block::new(&mut random)).collect();
    all.into_iter().chain(fresh).for_each(Block::free);
    Strata::purge();
    let live = Strata::stats().live_bytes();
    let most = bytes + working * ON_THE_WAY;
    assert!(live <= most, "{live} bytes are lost, of {working} threads with {bytes} bytes");
    // A page run or huge block is lost with its own request, and resizing has two.
    let (large, most) = (usage::large(), bytes + 2 * working * UNIT);
    assert!(large <= most, "{large} large bytes are lost, of {working} threads with {bytes} bytes");
}

/// In the child of a fork: each granule of a chunk of spans is free, or part of one in use.
fn check_granules() {
    for index in address_space::in_use(0, MAP.used_chunks()) {
        let chunk = MAP.chunk(index);
        let mut covered = chunk.granules.free_hint();
        for granule in bits::ones(!covered).filter(|_| arena::has_spans(chunk)) {
            let Some(span) = chunk.span_from(granule) else { continue };
            // SAFETY: [HEAP-LOCKED] no other thread runs.
            unsafe {
                if span.as_ref().heap() != NO_HEAP {
                    let class = span.as_ref().body(|body| usize::from(body.class));
                    covered |= bits::mask(granule, SHAPES[class].granules as usize);
                }
            }
        }
        assert!(!arena::has_spans(chunk) || covered == u64::MAX, "granules that nobody has");
    }
}

fn take(random: &mut fastrand::Rng, from: &mut Vec<Block>) -> Option<Block> {
    (!from.is_empty()).then(|| from.swap_remove(random.usize(..from.len())))
}

/// Bytes of the smallest blocks.
const SMALL: usize = 48;

/// Few classes, so that threads meet; page runs, and seldom a huge block.
fn size(random: &mut fastrand::Rng) -> usize {
    match random.u32(..100) {
        0..50 => SMALL,
        50..75 => 1_000,
        75..90 => 20_000,
        90..99 => random.usize(40_000..700_000),
        _ => random.usize(2 << 20..6 << 20),
    }
}

impl Block {
    fn new(random: &mut fastrand::Rng) -> Block {
        let size = size(random);
        Block::of(size, random)
    }

    fn of(size: usize, random: &mut fastrand::Rng) -> Block {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let work = scheduled::work(layout.size());
        // SAFETY: the layout has bytes.
        let at = unsafe { ALLOC.alloc(layout) };
        drop(work);
        Block::filled(at, layout, random)
    }

    /// The block at an address, which the allocator handed out.
    fn filled(at: *mut u8, layout: Layout, random: &mut fastrand::Rng) -> Block {
        assert!(!at.is_null(), "there is memory");
        let mut block = Block { at, layout, mark: random.u8(..) };
        block.fill();
        let other = HELD.lock().unwrap().insert(at.expose_provenance(), (layout, block.mark));
        assert!(other.is_none(), "the block at {at:p} has two users");
        block
    }

    /// Before it is freed. Its work is under way while the guard lives.
    fn give_up(&mut self) -> Work {
        self.check();
        HELD.lock().unwrap().remove(&self.at.addr());
        scheduled::work(self.layout.size())
    }

    /// Its first and last bytes.
    fn ends(&mut self) -> [&mut [u8]; 2] {
        let len = self.layout.size().min(64);
        // SAFETY: the block is whoever's has it, and has so many bytes.
        unsafe {
            let last = self.at.add(self.layout.size() - len);
            [
                core::slice::from_raw_parts_mut(self.at, len / 2),
                core::slice::from_raw_parts_mut(last.add(len / 2), len - len / 2),
            ]
        }
    }

    fn fill(&mut self) {
        let mark = self.mark;
        self.ends().into_iter().for_each(|end| end.fill(mark));
    }

    fn check(&mut self) {
        let mark = self.mark;
        let whole = self.ends().iter().all(|end| end.iter().all(|byte| *byte == mark));
        assert!(whole, "the block at {:p} has other contents", self.at);
    }

    fn free(mut self) {
        let _work = self.give_up();
        // SAFETY: it came from there, with this layout.
        unsafe { ALLOC.dealloc(self.at, self.layout) };
    }

    fn resize(mut self, random: &mut fastrand::Rng) -> Block {
        let mut work = self.give_up();
        let new = size(random);
        work.also(new);
        // SAFETY: it came from there, with this layout.
        let at = unsafe { ALLOC.realloc(self.at, self.layout, new) };
        drop(work);
        assert!(!at.is_null(), "there is memory");
        // SAFETY: so many bytes were kept.
        assert_eq!(unsafe { at.read() }, self.mark, "the contents were not kept");
        Block::filled(at, Layout::from_size_align(new, 8).unwrap(), random)
    }
}
