//! Following stacks by the tables that every object has for exceptions, `.eh_frame`. The tables
//! are collected in advance, outside of any allocation, so that a sample needs no lock of the
//! loader, no memory, and no unwinder of the C library's.

use std::ops::Deref;
use std::ptr;
use std::slice;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use allocator_core::{Registers, StackWords, Strata};
use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MustNotAllocateDuringUnwind, UnwindRegsNative,
    Unwinder, UnwinderNative,
};

use crate::modules::{self, Module, Section};

/// The bytes of a table: those of the program in place, of libraries copied, as they may be
/// unloaded.
enum Table {
    InPlace(&'static [u8]),
    Copied(Box<[u8]>),
}

impl Default for Table {
    fn default() -> Self {
        Table::InPlace(&[])
    }
}

impl Deref for Table {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Table::InPlace(bytes) => bytes,
            Table::Copied(bytes) => bytes,
        }
    }
}

struct Tables {
    unwinder: UnwinderNative<Table, MustNotAllocateDuringUnwind>,
    cache: CacheNative<MustNotAllocateDuringUnwind>,
}

/// What samples use now. It is set while no sample uses any, and used by one at a time.
static TABLES: AtomicPtr<Tables> = AtomicPtr::new(ptr::null_mut());

/// Held while tables are exchanged, with the objects that they are of.
static COLLECTED: Mutex<Vec<Module>> = Mutex::new(Vec::new());

/// Collects the tables of all objects that are loaded now, unless that was done for these, or is
/// under way: in another thread, in what a signal handler interrupts, or at a fork in a thread of
/// the parent's.
pub(crate) fn refresh() {
    let Ok(mut collected) = COLLECTED.try_lock() else { return };
    if *collected == modules::all() {
        return;
    }
    let mut tables =
        Box::new(Tables { unwinder: UnwinderNative::new(), cache: CacheNative::new_in() });
    let modules = modules::each(|module| {
        add(&mut tables.unwinder, &module);
        module
    });
    // In a handler that interrupts a sample: next time.
    if !Strata::profile_unwinder(None) {
        return;
    }
    let before = TABLES.swap(Box::into_raw(tables), Ordering::AcqRel);
    let is_set = Strata::profile_unwinder(Some(unwind));
    if !before.is_null() {
        // SAFETY: it was made here, and no sample uses it since the unwinder was taken out.
        drop(unsafe { Box::from_raw(before) });
    }
    *collected = if is_set { modules } else { Vec::new() };
}

/// Adds the tables of an object, which the loader keeps meanwhile.
fn add(unwinder: &mut UnwinderNative<Table, MustNotAllocateDuringUnwind>, module: &Module) {
    for code in &module.code {
        if let Some(info) = sections(module) {
            let range = code.start as u64..code.end as u64;
            let name = module.path.to_string_lossy().into_owned();
            unwinder.add_module(framehop::Module::new(name, range, module.bias as u64, info));
        }
    }
}

fn sections(module: &Module) -> Option<ExplicitModuleSectionInfo<Table>> {
    let [index, frames] = module.unwind?;
    let address = |section: Section| {
        let start = section.start.wrapping_sub(module.bias) as u64;
        Some(start..start + section.len as u64)
    };
    let table = |section: Section| {
        // SAFETY: the loader keeps the object meanwhile, the program always; these are read only.
        let bytes = unsafe { slice::from_raw_parts(section.start as *const u8, section.len) };
        Some(if module.is_program { Table::InPlace(bytes) } else { Table::Copied(bytes.into()) })
    };
    Some(ExplicitModuleSectionInfo {
        eh_frame_svma: address(frames),
        eh_frame: table(frames),
        eh_frame_hdr_svma: address(index),
        eh_frame_hdr: table(index),
        ..Default::default()
    })
}

/// Follows a stack. Where an object is not known, by its frame pointers.
fn unwind(registers: Registers, words: &mut StackWords, frames: &mut [usize]) -> usize {
    // SAFETY: one sample at a time uses the tables, and none while they are exchanged.
    let Some(tables) = (unsafe { TABLES.load(Ordering::Acquire).as_mut() }) else { return 0 };
    let mut read = |at: u64| words.get(at as usize).map(|word| word as u64).ok_or(());
    let place = registers.instruction as u64;
    let mut followed =
        tables.unwinder.iter_frames(place, native(registers), &mut tables.cache, &mut read);
    let mut count = 0;
    while count < frames.len()
        && let Ok(Some(frame)) = followed.next()
    {
        frames[count] = frame.address() as usize;
        count += 1;
    }
    count
}

#[cfg(target_arch = "x86_64")]
fn native(registers: Registers) -> UnwindRegsNative {
    UnwindRegsNative::new(
        registers.instruction as u64,
        registers.stack as u64,
        registers.frame as u64,
    )
}

#[cfg(target_arch = "aarch64")]
fn native(registers: Registers) -> UnwindRegsNative {
    UnwindRegsNative::new(registers.link as u64, registers.stack as u64, registers.frame as u64)
}
