//! The library of `examples/plugin.rs`, loaded.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};

type Make = extern "C" fn(u64) -> *mut c_void;
type Sum = unsafe extern "C" fn(*const c_void) -> u64;
type Free = unsafe extern "C" fn(*mut c_void);
type Threads = extern "C" fn(u64) -> u64;
type Leave = extern "C" fn() -> *const u8;
type Bytes = extern "C" fn() -> usize;

/// The library's functions.
#[derive(Clone, Copy)]
pub(crate) struct Plugin {
    pub(crate) make: Make,
    pub(crate) sum: Sum,
    pub(crate) free: Free,
    pub(crate) threads: Threads,
    pub(crate) live_bytes: Bytes,
    pub(crate) mapped_bytes: Bytes,
    leave: Leave,
    library: *mut c_void,
}

/// Builds the library.
pub(crate) fn build(profile: &str) -> PathBuf {
    super::example(profile, "plugin", "libplugin.so")
}

/// Where the library is once it is built.
pub(crate) fn built(profile: &str) -> PathBuf {
    super::example_path(profile, "libplugin.so")
}

/// Loads the library from a file.
pub(crate) fn load(path: &Path) -> Plugin {
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
        Plugin {
            make: std::mem::transmute::<*mut c_void, Make>(function(c"plugin_make")),
            sum: std::mem::transmute::<*mut c_void, Sum>(function(c"plugin_sum")),
            free: std::mem::transmute::<*mut c_void, Free>(function(c"plugin_free")),
            threads: std::mem::transmute::<*mut c_void, Threads>(function(c"plugin_threads")),
            live_bytes: std::mem::transmute::<*mut c_void, Bytes>(function(c"plugin_live_bytes")),
            mapped_bytes: std::mem::transmute::<*mut c_void, Bytes>(function(
                c"plugin_mapped_bytes",
            )),
            leave: std::mem::transmute::<*mut c_void, Leave>(function(c"plugin_leave")),
            library,
        }
    }
}

// SAFETY: a handle of a library may be used in any thread.
unsafe impl Send for Plugin {}
// SAFETY: likewise.
unsafe impl Sync for Plugin {}

impl Plugin {
    /// Makes an object of so many blocks.
    pub(crate) fn object(self, blocks: u64) -> Object {
        Object { plugin: self, at: (self.make)(blocks), blocks }
    }

    /// Makes a block that is never freed.
    pub(crate) fn leave(self) -> Left {
        Left((self.leave)())
    }

    /// # Safety
    /// Nothing of the library is used after this.
    pub(crate) unsafe fn unload(self) {
        // SAFETY: by the caller.
        assert_eq!(unsafe { libc::dlclose(self.library) }, 0);
    }
}

/// A block that the library allocated, and that stays.
pub(crate) struct Left(*const u8);

impl Left {
    pub(crate) fn check(&self) {
        // SAFETY: the library leaves so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(self.0, 1000) };
        assert!(bytes.iter().all(|byte| *byte == 0xa5));
    }
}

/// An object that the library allocated. It is checked and freed when it is dropped.
pub(crate) struct Object {
    plugin: Plugin,
    at: *mut c_void,
    blocks: u64,
}

// SAFETY: the object may be used by any one thread at a time.
unsafe impl Send for Object {}

impl Object {
    pub(crate) fn check(&self) {
        // SAFETY: it was made by the library.
        assert_eq!(unsafe { (self.plugin.sum)(self.at) }, expected(self.blocks));
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.check();
        // SAFETY: made by the library, freed once.
        unsafe { (self.plugin.free)(self.at) };
    }
}

/// The sum of an object.
pub(crate) fn expected(blocks: u64) -> u64 {
    (0..blocks).map(|i| (i * 37 % 3000) * (i % 256)).sum()
}
