//! What is known of the block in a slot, or of the last one there: read in a handler of a signal,
//! while another thread may write it. So each word is an atomic, and a record stays for ever.

use core::ptr::NonNull;

use crate::base::ordering;
use crate::base::published::Published;
use crate::base::sync::AtomicUsize;
use crate::guarded::slots::MOST;
use crate::pages::metadata;
use crate::profile;
use crate::sys;

/// Most functions of a stack: the innermost ones.
const FUNCTIONS: usize = 56;

static RECORDS: [Published<Record>; MOST] = [const { Published::new() }; MOST];

/// The block in a slot.
pub(crate) struct Record {
    block: AtomicUsize,
    /// Bytes as requested.
    size: AtomicUsize,
    /// Bytes of its class.
    bytes: AtomicUsize,
    pub(super) allocated: Trace,
    pub(super) freed: Trace,
}

const _: () = assert!(size_of::<Record>() <= 1024);

/// Who did something, and where in the program.
pub(super) struct Trace {
    /// The thread; 0: nobody did.
    thread: AtomicUsize,
    len: AtomicUsize,
    frames: [AtomicUsize; FUNCTIONS],
}

/// The record of a slot, if it ever had a block.
pub(super) fn of(slot: usize) -> Option<&'static Record> {
    RECORDS.get(slot)?.get()
}

/// The record of a slot that the caller has. `None`: there is no memory for one.
pub(super) fn get_or_create(slot: usize) -> Option<&'static Record> {
    let place = RECORDS.get(slot)?;
    if let Some(record) = place.get() {
        return Some(record);
    }
    let memory: NonNull<Record> = metadata::alloc(size_of::<Record>())?.cast();
    // SAFETY: the memory is the caller's, large enough and aligned to its size.
    let record = unsafe {
        memory.write(Record::new());
        memory.as_ref()
    };
    place.publish(record);
    Some(record)
}

impl Record {
    const fn new() -> Self {
        Record {
            block: AtomicUsize::new(0),
            size: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            allocated: Trace::new(),
            freed: Trace::new(),
        }
    }

    /// A block is about to be handed out.
    pub(super) fn begin(&self, block: *mut u8, size: usize, bytes: usize) {
        self.freed.forget();
        self.block.store(block.addr(), ordering::guarded_record());
        self.size.store(size, ordering::guarded_record());
        self.bytes.store(bytes, ordering::guarded_record());
        self.allocated.write();
    }

    /// The address of the block.
    pub(super) fn block(&self) -> usize {
        self.block.load(ordering::guarded_record())
    }

    /// Bytes of the block, as requested.
    pub(super) fn size(&self) -> usize {
        self.size.load(ordering::guarded_record())
    }

    /// Bytes of its class.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(ordering::guarded_record())
    }
}

impl Trace {
    const fn new() -> Self {
        Trace {
            thread: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            frames: [const { AtomicUsize::new(0) }; FUNCTIONS],
        }
    }

    fn forget(&self) {
        self.thread.store(0, ordering::guarded_record());
    }

    /// The calling thread does it, here.
    pub(super) fn write(&self) {
        let mut frames = [0; FUNCTIONS];
        let len = profile::record::stack_here(&mut frames);
        for (place, frame) in self.frames.iter().zip(&frames[..len]) {
            place.store(*frame, ordering::guarded_record());
        }
        self.len.store(len, ordering::guarded_record());
        self.thread.store(sys::thread_id(), ordering::guarded_record());
    }

    /// The thread that did it, if any did.
    pub(super) fn thread(&self) -> Option<usize> {
        Some(self.thread.load(ordering::guarded_record())).filter(|thread| *thread != 0)
    }

    /// The address behind the call in each function, the innermost first.
    pub(super) fn frames(&self) -> impl Iterator<Item = usize> {
        let len = self.len.load(ordering::guarded_record());
        self.frames.iter().take(len).map(|frame| frame.load(ordering::guarded_record()))
    }
}
