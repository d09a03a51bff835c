//! The only place where a global allocator is chosen: by a feature, or else the C
//! library's.

/// For each allocator its feature, the static, its version, and what counts its
/// blocks.
macro_rules! allocators {
    ($($name:tt: $type:ty = $value:expr, $version:expr, $counts:expr;)*) => {
        $(
            #[cfg(feature = $name)]
            #[global_allocator]
            static GLOBAL: $type = $value;
        )*

        /// The allocator of the program.
        const ALLOCATOR: benches::subject::Allocator = {
            let chosen: &[benches::subject::Allocator] = &[
                $(
                    #[cfg(feature = $name)]
                    benches::subject::Allocator {
                        name: $name,
                        version: || String::from($version),
                        counts: $counts,
                    },
                )*
                benches::subject::Allocator {
                    name: "glibc",
                    version: || String::from("the system's"),
                    counts: None,
                },
            ];
            chosen[0]
        };
    };
}

/// Defines the static and `ALLOCATOR`, in the root of a program: without LTO, only
/// functions of the module that has the static are compiled together with it.
macro_rules! allocator {
    () => {
        $crate::allocator::allocators! {
            "strata": allocator_core::Strata = allocator_core::Strata::new(),
                env!("CARGO_PKG_VERSION"), None;
            "mimalloc": mimalloc::MiMalloc = mimalloc::MiMalloc, $crate::allocator::linked::mimalloc(), None;
            "mimalloc2": mimalloc::MiMalloc = mimalloc::MiMalloc, $crate::allocator::linked::mimalloc(), None;
            "jemalloc": tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc,
                "5.3.1, tikv-jemallocator 0.7.0", None;
            "snmalloc": snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc,
                "snmalloc-rs 0.7.6", None;
            "rpmalloc": rpmalloc::RpMalloc = rpmalloc::RpMalloc, "rpmalloc crate 0.2.2", None;
            "tcmalloc": tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc,
                "tcmalloc-better 0.1.19", None;
            "stoolap": stoolap_jemalloc::Jemalloc = stoolap_jemalloc::Jemalloc::new(),
                "stoolap-jemalloc 0.1.5", None;
            "count": benches::counting::Counting = benches::counting::Counting,
                "counting", Some(benches::counting::counts);
        }
    };
}

pub(crate) use {allocator, allocators};

/// What a linked library says of itself.
#[cfg(any(feature = "mimalloc", feature = "mimalloc2"))]
pub(crate) mod linked {
    unsafe extern "C" {
        /// The version of the linked mimalloc: major * 10000 + minor * 100 + patch.
        safe fn mi_version() -> i32;
    }

    pub(crate) fn mimalloc() -> String {
        let version = mi_version();
        format!("{}.{}.{}", version / 10000, version / 100 % 100, version % 100)
    }
}
