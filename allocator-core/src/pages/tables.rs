//! The tables that describe the window: where they lie, and how they grow with it.
//!
//! ```text
//!  area   │ entries ···│ chunk records ···│ words ···│ tops ·│ taken ·│ spare ·│
//!         └────────────────┬──────────────────────────┘└──────────┬───────────┘
//!            opened a step of chunks at a time      opened a stage of chunks at a time
//! ```
//! Each has room for all chunks that the addresses of a process can hold; what is not
//! opened is neither mapped nor reserved. The system places its own mappings from high
//! addresses down, and the area is low: nothing else gets there.

use core::ptr::NonNull;

use crate::base::geometry::{AREA_PART, CHUNK, GUARD, MAX_ARENAS, STAGE, TABLE_STEP};
use crate::base::lock::Lock;
use crate::base::ordering;
use crate::base::sync::AtomicUsize;
use crate::base::table::Table;
use crate::pages::free_space_index;
use crate::spans::page_map::{self, MAP};
use crate::sys::{self, MapError};

/// The words and tops of all free-space indexes.
static WORDS: Table = Table::new();
static TOPS: Table = Table::new();

/// The bits of chunks that are taken, and of those that are spare.
static TAKEN: Table = Table::new();
static SPARES: Table = Table::new();

/// Held to open steps.
static OPENING: Lock = Lock::new();

/// Bytes of all addresses, as far as the tables are made for them.
static SPACE: AtomicUsize = AtomicUsize::new(0);

/// All tables, in the order of their addresses.
pub(crate) fn all() -> [&'static Table; 6] {
    let [entries, chunks] = MAP.tables();
    [entries, chunks, &WORDS, &TOPS, &TAKEN, &SPARES]
}

/// Bytes of each table for a number of chunks, in whole pages.
fn bytes(chunks: usize) -> [usize; 6] {
    let bytes = [
        page_map::entries_bytes(chunks),
        page_map::chunks_bytes(chunks),
        MAX_ARENAS * free_space_index::words_bytes(chunks),
        MAX_ARENAS * free_space_index::tops_bytes(chunks),
        chunks / 8,
        chunks / 8,
    ];
    bytes.map(|bytes| bytes.next_multiple_of(sys::page_size()))
}

/// Places the tables in an area for `space` bytes of addresses. Called while no other
/// thread uses them, and none is opened.
pub(crate) fn place(area: *mut u8, space: usize) {
    SPACE.store(space, ordering::table_place());
    let most = space / CHUNK;
    let [entries, chunks, words, ..] = bytes(most);
    let [.., tops, taken, spares] = bytes(most.next_multiple_of(STAGE));
    let mut at = 0;
    for (table, bytes) in all().into_iter().zip([entries, chunks, words, tops, taken, spares]) {
        table.place(area.wrapping_add(at));
        at += bytes + GUARD;
    }
    debug_assert!(at <= space / AREA_PART);
}

/// Where the tables are placed, and for how many bytes of addresses, if any is opened.
pub(crate) fn placed() -> Option<(*mut u8, usize)> {
    let opened = all().iter().any(|table| table.opened() != 0);
    opened.then(|| (all()[0].start(), SPACE.load(ordering::table_place())))
}

/// Opens the first step and the first stage. The first of these tables claims the area.
///
/// # Errors
/// As [`Table::open`].
pub(crate) fn begin() -> Result<(), MapError> {
    open_step(TABLE_STEP)?;
    open_stage(STAGE)
}

/// Makes entries, chunk records and indexes readable for the chunks below `end`. Returns
/// whether they are. The caller does not hold the lock of the address space.
pub(crate) fn make_readable(end: usize) -> bool {
    let readable =
        end <= MAP.readable_chunks() || open_step(end.next_multiple_of(TABLE_STEP)).is_ok();
    if readable {
        MAP.use_chunks(end);
    }
    readable
}

#[cold]
fn open_step(end: usize) -> Result<(), MapError> {
    let _held = OPENING.lock().ok_or(MapError::NoMemory)?;
    let mut tables = all().into_iter().zip(bytes(end)).take(3);
    tables.try_for_each(|(table, bytes)| table.open(bytes))?;
    MAP.set_readable(end);
    Ok(())
}

/// Opens the tables of bits for the chunks below `end`, a multiple of [`STAGE`]. Called
/// under the lock of the address space, or at the set-up.
pub(super) fn open_stage(end: usize) -> Result<(), MapError> {
    let mut tables = all().into_iter().zip(bytes(end)).skip(3);
    tables.try_for_each(|(table, bytes)| table.open(bytes))
}

/// A page that reads as zero, and is not needed yet.
pub(crate) fn spare_page() -> *mut u8 {
    SPARES.start()
}

/// The bits of taken chunks, and those of spare ones.
pub(super) fn bits() -> [*mut u64; 2] {
    [TAKEN.start().cast(), SPARES.start().cast()]
}

/// The words and tops of free-space indexes.
pub(super) fn indexes() -> Option<[NonNull<u8>; 2]> {
    Some([NonNull::new(WORDS.start())?, NonNull::new(TOPS.start())?])
}

/// Unmaps all tables. Where the system refuses, some stay opened.
///
/// # Safety
/// Nobody uses them any more.
pub(crate) unsafe fn close() {
    for table in all() {
        // SAFETY: by the caller.
        unsafe { table.close() };
    }
}

/// Whether the calling thread is opening steps: the caller runs in a signal handler.
pub(super) fn is_held_here() -> bool {
    OPENING.is_held_here()
}

/// In the child of a fork: what a vanished thread was opening is opened.
pub(crate) fn after_fork() {
    all().into_iter().for_each(Table::after_fork);
    if OPENING.is_orphaned() {
        OPENING.force_unlock();
    }
}
