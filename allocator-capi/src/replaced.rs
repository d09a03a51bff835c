//! Whether the program has operators `new` and `delete` of its own. C++ says
//! that the other forms (arrays, `nothrow`, sizes told) end in these then.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::symbols;

/// Whether the basic forms are somebody else's.
static REPLACED: AtomicBool = AtomicBool::new(false);

/// Whether that is known.
static KNOWN: AtomicBool = AtomicBool::new(false);

/// Whether the basic forms are the program's. Known since the first block was
/// made; before, there is none to delete. (Relaxed: a thread that has a block
/// got it after that, and nothing else is read on this word.)
#[inline(always)]
pub(crate) fn operators_are_replaced() -> bool {
    REPLACED.load(Ordering::Relaxed)
}

/// Looks, once. Called where blocks are made without the magazine, as the
/// first of the process is. (Relaxed: looking twice does no harm.)
#[inline]
pub(crate) fn detect() {
    if !KNOWN.load(Ordering::Relaxed) {
        detect_now();
    }
}

#[cold]
fn detect_now() {
    let basic = [
        symbols::global_address!("_Znwm"),
        symbols::global_address!("_ZdlPv"),
        symbols::global_address!("_ZnwmSt11align_val_t"),
        symbols::global_address!("_ZdlPvSt11align_val_t"),
        symbols::global_address!("_Znam"),
        symbols::global_address!("_ZdaPv"),
    ];
    REPLACED.store(!basic.into_iter().all(symbols::is_own_code), Ordering::Relaxed);
    KNOWN.store(true, Ordering::Relaxed);
}
