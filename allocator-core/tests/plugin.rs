//! Strata in a library that a program with another allocator loads at run time.

mod common;

use std::alloc::System;
use std::thread;

use common::plugin::{self, Object, expected};

#[global_allocator]
static GLOBAL: System = System;

#[test]
fn a_loaded_library_brings_its_own_allocator() {
    check(&common::own_profile());
}

/// With the fast paths in line.
#[cfg(debug_assertions)]
#[test]
fn a_loaded_release_library_brings_its_own_allocator() {
    check(common::RELEASE);
}

fn check(profile: &str) {
    let plugin = plugin::load(&plugin::build(profile));
    // Allocated and freed in one thread.
    plugin.object(300).check();
    // Allocated in threads that end, freed in others that end.
    let round = || {
        for n in 0..50 {
            let made: Vec<Object> = (0..4)
                .map(|t| thread::spawn(move || plugin.object(300 + n + t)).join().unwrap())
                .collect();
            thread::spawn(move || drop(made)).join().unwrap();
        }
        assert_eq!((plugin.threads)(4), (200..204).map(expected).sum());
    };
    round();
    let (live, mapped) = ((plugin.live_bytes)(), (plugin.mapped_bytes)());
    round();
    round();
    assert!((plugin.live_bytes)() <= live + 1024, "{live} bytes before");
    assert!((plugin.mapped_bytes)() <= mapped + (4 << 20), "{mapped} bytes before");
    // A thread that has a cache outlives the `dlclose` of the library.
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let late = thread::spawn(move || {
        plugin.object(309).check();
        let _ = receive.recv();
    });
    // SAFETY: nothing of the library is called below.
    unsafe { plugin.unload() };
    drop(send);
    late.join().unwrap();
}
