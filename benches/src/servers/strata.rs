//! The server on Strata.

benches::serve_with!(
    "strata",
    allocator_core::Strata,
    allocator_core::Strata::new(),
    String::from(env!("CARGO_PKG_VERSION"))
);
