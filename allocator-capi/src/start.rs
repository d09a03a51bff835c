//! What happens when the library is loaded, and when the process ends.

use allocator_core::internals;

use crate::callers;
use crate::stats;

/// The linker's tables of what to run, and when.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = on_load;

/// See [`START`].
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = on_exit;

/// Before this, blocks may have been made: the C library's own environment may
/// not have been there to read then.
extern "C" fn on_load() {
    internals::start();
    callers::find_ranges();
}

extern "C" fn on_exit() {
    if internals::stats_at_exit() {
        stats::malloc_stats();
    }
}
