//! The only place where a global allocator is chosen: by a feature, or else the C
//! library's.

use benches::subject::Allocator;

/// For each allocator its feature, a module, the static, its version, and what
/// counts its blocks.
macro_rules! allocators {
    ($($name:tt $module:ident: $type:ty = $value:expr, $version:expr, $counts:expr;)*) => {
        $(
            #[cfg(feature = $name)]
            mod $module {
                #[global_allocator]
                static GLOBAL: $type = $value;
            }
        )*
        /// One, or none for the C library's.
        const CHOSEN: &[Allocator] = &[
            $(
                #[cfg(feature = $name)]
                Allocator { name: $name, version: || String::from($version), counts: $counts },
            )*
        ];
    };
}

allocators! {
    "strata" strata: allocator_core::Strata = allocator_core::Strata::new(),
        env!("CARGO_PKG_VERSION"), None;
    "mimalloc" mimalloc_3: mimalloc::MiMalloc = mimalloc::MiMalloc, linked::mimalloc(), None;
    "mimalloc2" mimalloc_2: mimalloc::MiMalloc = mimalloc::MiMalloc, linked::mimalloc(), None;
    "jemalloc" jemalloc: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc,
        "5.3.1, tikv-jemallocator 0.7.0", None;
    "snmalloc" snmalloc: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc,
        "snmalloc-rs 0.7.6", None;
    "rpmalloc" rpmalloc_1: rpmalloc::RpMalloc = rpmalloc::RpMalloc, "rpmalloc crate 0.2.2", None;
    "tcmalloc" tcmalloc: tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc,
        "tcmalloc-better 0.1.19", None;
    "count" count: benches::counting::Counting = benches::counting::Counting,
        "counting", Some(benches::counting::counts);
}

/// What a linked library says of itself.
#[cfg(any(feature = "mimalloc", feature = "mimalloc2"))]
mod linked {
    unsafe extern "C" {
        /// The version of the linked mimalloc: major * 10000 + minor * 100 + patch.
        safe fn mi_version() -> i32;
    }

    pub(crate) fn mimalloc() -> String {
        let version = mi_version();
        format!("{}.{}.{}", version / 10000, version / 100 % 100, version % 100)
    }
}

/// The allocator of the program.
pub(crate) fn chosen() -> Allocator {
    let system =
        Allocator { name: "glibc", version: || String::from("the system's"), counts: None };
    CHOSEN.first().copied().unwrap_or(system)
}
