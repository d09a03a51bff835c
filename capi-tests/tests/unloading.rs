//! A library with the archive linked into it is loaded and unloaded, beside glibc's
//! allocator and beside ours.

use capi_tests::{cases, compile, expect_ok, libraries, plain, preloaded};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Generates a test for each case.
macro_rules! unloaded {
    ($($case:ident)*) => {
        cases! {
            "unloading.c" [], 120 seconds;
            both:; ours:;
            by_hand: $($case)*;
        }
        $(
            #[test]
            fn $case() {
                beside_either(stringify!($case));
            }
        )*
    };
}

unloaded! {
    both_grow a_thousand_times while_much_is_free then_forks exit_in_use
}

/// The library, with a copy of the allocator that nobody else sees.
fn carrier() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = libraries().to_str().expect("a UTF-8 path");
        let hidden = ["-fvisibility=hidden", "-Wl,--exclude-libs,ALL"];
        let archive = ["-shared", "-fPIC", "-L", folder, "-l:libstrata.a"];
        compile("carrier.c", ".so", &[&hidden[..], &archive[..]].concat())
    })
}

fn beside_either(case: &str) {
    expect_ok(plain(program(), 120).args([case, "glibc"]).env("CARRIER", carrier()));
    expect_ok(preloaded(program(), 120).args([case, "ours"]).env("CARRIER", carrier()));
}
