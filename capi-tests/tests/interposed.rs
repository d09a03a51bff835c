//! Functions of the C library that another preload has replaced.

use capi_tests::{compile, expect_ok, library, plain, succeed};
use std::path::{Path, PathBuf};

capi_tests::cases! {
    "interposed.c" [], 120 seconds;
    both: everything;
    ours: misuse;
}

/// A time in the past, for `libfaketime`.
const TIME: &str = "FAKETIME=@2001-01-01 00:00:00";

/// The variable for these preloads, in this order.
fn preload(libraries: &[&Path]) -> String {
    let list: Vec<_> = libraries.iter().map(|path| path.to_str().expect("a UTF-8 path")).collect();
    format!("LD_PRELOAD={}", list.join(":"))
}

/// Runs a case with these libraries preloaded, in this order.
fn with(libraries: &[&Path], case: &str, whose: &str, variables: &[&str]) {
    let mut command = plain("env", 120);
    command.args(variables).arg(preload(libraries));
    expect_ok(command.arg(program()).args([case, whose]));
}

/// Where Debian installs `libfaketime`. It replaces the functions about time, and
/// its first call allocates.
fn faketime() -> Option<PathBuf> {
    let folder = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    let library = Path::new(&folder).join("libfaketimeMT.so.1");
    if library.exists() {
        return Some(library);
    }
    assert!(std::env::var_os("CI").is_none(), "libfaketime is not installed");
    eprintln!("SKIPPED: libfaketime is not installed");
    None
}

#[test]
fn time_is_faked() {
    let Some(faketime) = faketime() else { return };
    let library = library();
    for order in [[&faketime, &library], [&library, &faketime]] {
        with(&order.map(|path| path.as_path()), "everything", "ours", &[TIME]);
        let mut date = plain("env", 60);
        date.arg(TIME).arg(preload(&order.map(|path| path.as_path())));
        assert_eq!(succeed(date.args(["date", "-u", "+%Y"])), "2001\n");
    }
}

/// The library that replaces them.
fn interposer() -> PathBuf {
    compile("interposer.c", ".so", &["-shared", "-fPIC"])
}

#[test]
fn replaced_functions_allocate() {
    let interposer = interposer();
    with(&[&interposer], "everything", "glibc", &[]);
    for case in ["everything", "misuse"] {
        with(&[&interposer, &library()], case, "ours", &[]);
    }
}
