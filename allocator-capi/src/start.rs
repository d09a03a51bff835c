//! Code that runs when the library is loaded.

use allocator_core::c_internals;

use crate::system::{self, Server};
use crate::unwinder;

/// An entry in the linker's table of initializers.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = on_load;

/// Blocks may have been allocated before this runs, at a time when the C
/// library's environment could not be read yet.
extern "C" fn on_load() {
    if !matches!(system::server(), Server::System) {
        c_internals::start();
        if c_internals::guards_are_on() {
            unwinder::set();
        }
    }
}
