//! Strata in a library that a program with another allocator loads at run time.

mod common;

use std::alloc::System;
use std::ffi::{CStr, CString, c_char, c_void};
use std::thread;

#[global_allocator]
static GLOBAL: System = System;

type Make = extern "C" fn(u64) -> *mut c_void;
type Sum = unsafe extern "C" fn(*const c_void) -> u64;
type Free = unsafe extern "C" fn(*mut c_void);
type Threads = extern "C" fn(u64) -> u64;
type Bytes = extern "C" fn() -> usize;

/// The library's functions.
#[derive(Clone, Copy)]
struct Plugin {
    make: Make,
    sum: Sum,
    free: Free,
    threads: Threads,
    live_bytes: Bytes,
    mapped_bytes: Bytes,
}

fn load(profile: &str) -> (Plugin, *mut c_void) {
    let path = common::example(profile, "plugin", "libplugin.so");
    let path = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the names are those of functions of these types.
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            panic!("{}", CStr::from_ptr(libc::dlerror() as *const c_char).to_string_lossy());
        }
        let function = |name: &CStr| {
            let function = libc::dlsym(library, name.as_ptr());
            assert!(!function.is_null(), "{name:?}");
            function
        };
        let plugin = Plugin {
            make: std::mem::transmute::<*mut c_void, Make>(function(c"plugin_make")),
            sum: std::mem::transmute::<*mut c_void, Sum>(function(c"plugin_sum")),
            free: std::mem::transmute::<*mut c_void, Free>(function(c"plugin_free")),
            threads: std::mem::transmute::<*mut c_void, Threads>(function(c"plugin_threads")),
            live_bytes: std::mem::transmute::<*mut c_void, Bytes>(function(c"plugin_live_bytes")),
            mapped_bytes: std::mem::transmute::<*mut c_void, Bytes>(function(
                c"plugin_mapped_bytes",
            )),
        };
        (plugin, library)
    }
}

/// An object that the library allocated.
struct Made(*mut c_void);
// SAFETY: the tests use it in one thread at a time.
unsafe impl Send for Made {}

fn expected(blocks: u64) -> u64 {
    (0..blocks).map(|i| (i * 37 % 3000) * (i % 256)).sum()
}

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
    let (plugin, library) = load(profile);
    let work = move |n: u64| {
        let made = (plugin.make)(300 + n);
        // SAFETY: just made.
        assert_eq!(unsafe { (plugin.sum)(made) }, expected(300 + n));
        Made(made)
    };
    // Allocated and freed in one thread.
    let made = work(0);
    // SAFETY: made by the library, freed once.
    unsafe { (plugin.free)(made.0) };
    // Allocated in threads that end, freed in others that end.
    let round = || {
        for n in 0..50 {
            let made: Vec<Made> =
                (0..4).map(|t| thread::spawn(move || work(n + t)).join().unwrap()).collect();
            thread::spawn(move || {
                for made in made {
                    // SAFETY: made by the library, freed once.
                    unsafe { (plugin.free)(made.0) };
                }
            })
            .join()
            .unwrap();
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
        let made = work(9);
        // SAFETY: made by the library, freed once.
        unsafe { (plugin.free)(made.0) };
        let _ = receive.recv();
    });
    // SAFETY: nothing of the library is called below.
    unsafe { libc::dlclose(library) };
    drop(send);
    late.join().unwrap();
}
