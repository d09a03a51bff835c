//! The allocator's door to atomics, as `allocator-core/src/base/sync.rs` describes it, in the
//! models: each word has an object of loom's in the execution that is under way.
//!
//! A word is as large as it ships, and constant until an execution uses it: so statics, and
//! tables in memory that reads as zero, are what they are in the allocator. loom's object of
//! a word is found by its address. Before threads are spawned, it begins with what the word
//! holds. Afterwards a thread that is the first to use a word gets one of some that the
//! execution began with, so that no thread seems to have written it.

use core::cell::{Cell, UnsafeCell};
use core::hash::{BuildHasherDefault, Hasher};
use core::ptr;
use core::sync::atomic::Ordering;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::futex;

/// Objects of one kind in the execution.
struct Objects<T> {
    /// By the address of the word; with it what is to be added to the object's value.
    known: HashMap<usize, (Rc<T>, u64), Addresses>,
    /// Those that no word has yet.
    fresh: Vec<Rc<T>>,
}

/// Hashes addresses: words are looked up all the time.
type Addresses = BuildHasherDefault<AddressHasher>;

#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("addresses are numbers")
    }

    fn write_usize(&mut self, address: usize) {
        self.0 = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// Objects of each kind that an execution begins with.
const FRESH: usize = 40;

impl<T> Objects<T> {
    fn new() -> Self {
        Objects { known: HashMap::default(), fresh: Vec::new() }
    }

    fn begin(&mut self, new: fn() -> T) {
        self.known.clear();
        self.fresh = (0..FRESH).map(|_| Rc::new(new())).collect();
    }

    /// The object of the word at an address, which begins with a value.
    fn of(&mut self, at: usize, value: u64, new: impl FnOnce() -> T) -> (Rc<T>, u64) {
        let (object, base) = self.known.entry(at).or_insert_with(|| {
            if SPAWNED.get() {
                (self.fresh.pop().expect("enough objects: see `FRESH`"), value)
            } else {
                (Rc::new(new()), 0)
            }
        });
        (object.clone(), *base)
    }
}

thread_local! {
    /// Whether the execution has more threads than the first.
    static SPAWNED: Cell<bool> = const { Cell::new(false) };
    static CELLS: RefCell<Objects<loom::cell::UnsafeCell<()>>> = RefCell::new(Objects::new());
    /// What guarded data in statics begins with: its address and bytes.
    static FIRST: RefCell<HashMap<usize, Vec<u8>>> = RefCell::new(HashMap::new());
}

/// An execution begins.
pub(crate) fn begin() {
    SPAWNED.set(false);
    CELLS.with_borrow_mut(|cells| cells.begin(|| loom::cell::UnsafeCell::new(())));
    begin_words();
    FIRST.with_borrow(|first| {
        for (at, bytes) in first {
            let at: *mut u8 = ptr::with_exposed_provenance_mut(*at);
            // SAFETY: no thread of the execution before is left, and the data is a static's.
            unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
    });
}

/// The first thread of the execution spawns another.
pub(crate) fn spawned() {
    SPAWNED.set(true);
}

/// Whether an address is that of a static.
fn is_static(at: usize) -> bool {
    unsafe extern "C" {
        safe static __executable_start: u8;
        safe static _end: u8;
    }
    (&raw const __executable_start).addr() <= at && at < (&raw const _end).addr()
}

/// Atomics of each size.
macro_rules! words {
    ($($name:ident $word:ident $objects:ident)*) => {
        $(
            thread_local! {
                static $objects: RefCell<Objects<loom::sync::atomic::$name>> =
                    RefCell::new(Objects::new());
            }

            atomic!($name, $word, $word, $name, $objects);

            #[allow(dead_code, reason = "each type has the same methods")]
            impl $name {
                pub(crate) const fn new(value: $word) -> Self {
                    $name(UnsafeCell::new(value))
                }

                fn decode(value: $word, base: u64) -> $word {
                    value.wrapping_add(base as $word)
                }

                fn encode(value: $word, base: u64) -> $word {
                    value.wrapping_sub(base as $word)
                }

                pub(crate) fn fetch_add(&self, value: $word, order: Ordering) -> $word {
                    let (object, base) = self.object();
                    Self::decode(object.fetch_add(value, order), base)
                }

                pub(crate) fn fetch_sub(&self, value: $word, order: Ordering) -> $word {
                    let (object, base) = self.object();
                    Self::decode(object.fetch_sub(value, order), base)
                }
            }

            bits!($name, $word, fetch_and fetch_or fetch_max fetch_min);
        )*

        fn begin_words() {
            $(
                $objects.with_borrow_mut(|objects| {
                    objects.begin(|| loom::sync::atomic::$name::new(0));
                });
            )*
        }
    };
}

/// What an atomic of any type does: `$word` is what its object holds.
macro_rules! atomic {
    ($name:ident, $value:ty, $word:ident, $object:ident, $objects:ident $(, $of:ident)?) => {
        #[repr(transparent)]
        pub(crate) struct $name$(<$of>)?(UnsafeCell<$value>);

        // SAFETY: all threads of an execution run on one of the system, and use the object.
        unsafe impl$(<$of>)? Sync for $name$(<$of>)? {}
        // SAFETY: as above.
        unsafe impl$(<$of>)? Send for $name$(<$of>)? {}

        #[allow(dead_code, reason = "each type has the same methods")]
        impl$(<$of>)? $name$(<$of>)? {
            fn object(&self) -> (Rc<loom::sync::atomic::$object>, u64) {
                // SAFETY: nobody writes there.
                let value = Self::encode(unsafe { *self.0.get() }, 0);
                let new = || loom::sync::atomic::$object::new(value);
                $objects.with_borrow_mut(|it| it.of(self.0.get().addr(), value as u64, new))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                let (object, base) = self.object();
                Self::decode(object.load(order), base)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                let (object, base) = self.object();
                object.store(Self::encode(value, base), order);
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                let (object, base) = self.object();
                Self::decode(object.swap(Self::encode(value, base), order), base)
            }

            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                order: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                let (object, base) = self.object();
                let [from, to] = [Self::encode(from, base), Self::encode(to, base)];
                let result = object.compare_exchange(from, to, order, failed);
                match result {
                    Ok(seen) => Ok(Self::decode(seen, base)),
                    Err(seen) => Err(Self::decode(seen, base)),
                }
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                from: $value,
                to: $value,
                order: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(from, to, order, failed)
            }

            pub(crate) fn fetch_update(
                &self,
                order: Ordering,
                failed: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut seen = self.load(failed);
                while let Some(new) = f(seen) {
                    match self.compare_exchange(seen, new, order, failed) {
                        Ok(_) => return Ok(seen),
                        Err(other) => seen = other,
                    }
                }
                Err(seen)
            }
        }

        impl$(<$of>)? Drop for $name$(<$of>)? {
            fn drop(&mut self) {
                let at = self.0.get().addr();
                let _ = $objects.try_with(|it| it.borrow_mut().known.remove(&at));
            }
        }
    };
}

/// Operations on bits and of comparison, for words that began before threads were spawned, or
/// with 0.
macro_rules! bits {
    ($name:ident, $value:ty, $($method:ident)*) => {
        #[allow(dead_code, reason = "each type has the same methods")]
        impl $name {
            $(
                pub(crate) fn $method(&self, value: $value, order: Ordering) -> $value {
                    let (object, base) = self.object();
                    assert_eq!(base, 0, "the first thread is to use this word first");
                    Self::decode(object.$method(Self::encode(value, 0), order), 0)
                }
            )*
        }
    };
}

words! {
    AtomicU8 u8 BYTES
    AtomicU16 u16 HALVES
    AtomicU32 u32 WORDS
    AtomicU64 u64 LONGS
    AtomicUsize usize SIZES
}

atomic!(AtomicBool, bool, u8, AtomicU8, BYTES);
bits!(AtomicBool, bool, fetch_or);

impl AtomicBool {
    pub(crate) const fn new(value: bool) -> Self {
        AtomicBool(UnsafeCell::new(value))
    }

    fn decode(value: u8, base: u64) -> bool {
        value != base as u8
    }

    fn encode(value: bool, base: u64) -> u8 {
        u8::from(value) ^ base as u8
    }
}

atomic!(AtomicPtr, *mut T, usize, AtomicUsize, SIZES, T);

impl<T> AtomicPtr<T> {
    pub(crate) const fn new(value: *mut T) -> Self {
        AtomicPtr(UnsafeCell::new(value))
    }

    fn decode(value: usize, base: u64) -> *mut T {
        ptr::with_exposed_provenance_mut(value.wrapping_add(base as usize))
    }

    fn encode(value: *mut T, base: u64) -> usize {
        value.expose_provenance().wrapping_sub(base as usize)
    }
}

/// Data that one holder at a time may touch. Each use names the holder.
#[repr(transparent)]
pub(crate) struct Guarded<T>(UnsafeCell<T>);

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Guarded(UnsafeCell::new(value))
    }

    /// Every access counts as a write, so loom reports any two that race.
    pub(crate) fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        let at = self.0.get();
        if is_static(at.addr()) {
            let read = |_: &usize| {
                // SAFETY: no execution used it yet; all such data is plain.
                unsafe { core::slice::from_raw_parts(at.cast::<u8>(), size_of::<T>()) }.to_vec()
            };
            FIRST.with_borrow_mut(|first| {
                first.entry(at.expose_provenance()).or_insert_with_key(read);
            });
        }
        let new = || loom::cell::UnsafeCell::new(());
        let (cell, _) = CELLS.with_borrow_mut(|cells| cells.of(at.addr(), 0, new));
        cell.with_mut(|_| f(at))
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let at = self.0.get().addr();
        let _ = CELLS.try_with(|cells| cells.borrow_mut().known.remove(&at));
    }
}

/// A read-modify-write that changes nothing. A plain load before a read-modify-write would make
/// loom miss interleavings.
pub(crate) fn peek<T>(word: &AtomicPtr<T>, _order: Ordering) -> *mut T {
    let null = ptr::null_mut();
    match word.compare_exchange(null, null, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(value) | Err(value) => value,
    }
}

pub(crate) fn peek_mask(word: &AtomicU64, _order: Ordering) -> u64 {
    word.fetch_add(0, Ordering::Relaxed)
}

pub(crate) fn peek_word(word: &AtomicUsize, order: Ordering) -> usize {
    word.fetch_add(0, order)
}

/// A look of another thread is a read-modify-write here, which must not be lost.
pub(crate) fn store_mask(word: &AtomicU64, value: u64, order: Ordering) {
    word.swap(value, order);
}

/// As [`store_mask`].
pub(crate) fn store_word(word: &AtomicUsize, value: usize, order: Ordering) {
    word.swap(value, order);
}

/// The models know the site by its place in the source.
#[track_caller]
pub(crate) fn ordering(label: &'static str, order: Ordering) -> Ordering {
    crate::active_twin::ordering(label, order)
}

/// Returns whether a labelled step is taken: all but that of the active twin.
pub(crate) fn step(label: &'static str) -> bool {
    crate::active_twin::step(label)
}

pub(crate) fn wait(word: &AtomicU32, seen: u32) {
    // A read-modify-write reads the newest value, as the kernel does.
    futex::wait(ptr::from_ref(word).addr(), || word.fetch_add(0, Ordering::Relaxed) == seen);
}

pub(crate) fn wait_briefly(_word: &AtomicU32, _seen: u32) {
    loom::thread::yield_now();
}

pub(crate) fn nap() {
    loom::thread::yield_now();
}

pub(crate) fn wake(word: &AtomicU32) {
    futex::wake(ptr::from_ref(word).addr());
}

pub(crate) fn relax() {
    loom::thread::yield_now();
}

pub(crate) fn in_order() {}

pub(crate) fn thread_token() -> u32 {
    crate::active_twin::thread_token()
}
