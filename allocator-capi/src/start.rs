//! Code that runs when the library is loaded and when the process exits.

use allocator_core::c_internals;

use crate::stats;
use crate::system::{self, Server};

/// Entries in the linker's tables of initializers and finalizers.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = on_load;

/// See [`START`].
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = on_exit;

/// Blocks may have been allocated before this runs, at a time when the C
/// library's environment could not be read yet.
extern "C" fn on_load() {
    if !matches!(system::server(), Server::System) {
        c_internals::start();
    }
}

extern "C" fn on_exit() {
    if c_internals::stats_at_exit() {
        stats::malloc_stats();
    }
}
