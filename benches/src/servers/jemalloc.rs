//! The server on jemalloc.

benches::serve_with!(
    "jemalloc",
    tikv_jemallocator::Jemalloc,
    tikv_jemallocator::Jemalloc,
    String::from("5.3.1, tikv-jemallocator 0.7.0")
);
