//! Detection of operators `new` and `delete` defined by the program. In that
//! case C++ requires the other forms (arrays, `nothrow`, sized) to call them.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::symbol_lookup;

/// Whether the program defines any of the basic forms.
static REPLACED: AtomicBool = AtomicBool::new(false);

/// Whether the program defines any of the basic forms. Known once the first
/// block was allocated; before that, there is none to delete. (Relaxed: a
/// thread got its block after detection, and this word guards no other data.)
#[inline(always)]
pub(crate) fn operators_are_replaced() -> bool {
    REPLACED.load(Ordering::Relaxed)
}

/// Looks for such operators. Called at the first request of the process.
pub(crate) fn detect() {
    let basic = [
        symbol_lookup::global_address!("_Znwm"),
        symbol_lookup::global_address!("_ZdlPv"),
        symbol_lookup::global_address!("_ZnwmSt11align_val_t"),
        symbol_lookup::global_address!("_ZdlPvSt11align_val_t"),
        symbol_lookup::global_address!("_Znam"),
        symbol_lookup::global_address!("_ZdaPv"),
    ];
    REPLACED.store(!basic.into_iter().all(symbol_lookup::is_own_code), Ordering::Relaxed);
}
