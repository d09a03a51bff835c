//! The server on rpmalloc.

benches::serve_with!(
    "rpmalloc",
    rpmalloc::RpMalloc,
    rpmalloc::RpMalloc,
    String::from("rpmalloc crate 0.2.2")
);
