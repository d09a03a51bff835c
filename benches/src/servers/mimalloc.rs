//! The server on mimalloc v3.

unsafe extern "C" {
    /// The version of the linked mimalloc: major * 10000 + minor * 100 + patch.
    safe fn mi_version() -> i32;
}

benches::serve_with!("mimalloc", mimalloc::MiMalloc, mimalloc::MiMalloc, {
    let version = mi_version();
    format!("{}.{}.{}", version / 10000, version / 100 % 100, version % 100)
});
