//! What the crate's documentation promises of each call, asserted on the
//! system itself and on the fake by one list of cases.

mod probe;

mod real {
    use allocator_sys as sys;

    include!("contract/cases.rs");
}

#[cfg(feature = "fake")]
mod fake {
    use allocator_sys::fake as sys;

    include!("contract/cases.rs");
}
