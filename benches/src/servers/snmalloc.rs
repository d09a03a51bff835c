//! The server on snmalloc.

benches::serve_with!(
    "snmalloc",
    snmalloc_rs::SnMalloc,
    snmalloc_rs::SnMalloc,
    String::from("snmalloc-rs 0.7.6")
);
