//! The documented contract of each call. One list of cases runs on the real
//! system and on the fake.

mod probe;

mod real {
    use allocator_sys as sys;

    include!("contract/cases.rs");

    mod task {
        use super::sys;

        include!("contract/task.rs");
    }
}

#[cfg(feature = "fake")]
mod fake {
    use allocator_sys::fake as sys;

    include!("contract/cases.rs");

    mod task {
        use super::sys;

        include!("contract/task.rs");
    }
}
