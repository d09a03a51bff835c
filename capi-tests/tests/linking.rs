//! Programs linked with the library: shared, with the archive, and fully
//! static.

use capi_tests::{compile, expect_ok, libraries, plain, succeed};
use std::process::Command;

fn folder() -> String {
    libraries().to_str().expect("a UTF-8 path").to_owned()
}

/// Links both programs with these flags, and runs them.
fn linked(name: &str, flags: &[&str]) {
    for source in ["linking.c", "linking.cc"] {
        let program = compile(source, name, flags);
        expect_ok(&mut plain(&program, 60));
        // The library is either in the program or a dependency of it.
        let dynamic = succeed(Command::new("readelf").arg("-dW").arg(&program));
        assert_eq!(dynamic.contains("libstrata.so"), name == ".shared", "{dynamic}");
        assert_eq!(dynamic.contains("libc.so.6"), !name.starts_with(".static"), "{dynamic}");
    }
}

#[test]
fn shared() {
    let folder = folder();
    linked(".shared", &["-L", &folder, "-lstrata", &format!("-Wl,-rpath,{folder}")]);
}

#[test]
fn archive() {
    linked(".archive", &["-L", &folder(), "-l:libstrata.a"]);
}

/// A program's own operators take precedence if it is linked with the shared
/// library. (With the archive, each would be defined twice, which the linker
/// rejects.)
#[test]
fn own_operators_kept() {
    let folder = folder();
    let rpath = format!("-Wl,-rpath,{folder}");
    let flags = ["-rdynamic", "-L", &folder, "-lstrata", &rpath];
    let program = compile("replaced.cc", ".shared", &flags);
    for case in succeed(&mut plain(&program, 10)).lines() {
        expect_ok(plain(&program, 60).args([case, "ours"]));
    }
}

#[test]
fn archive_at_a_fixed_address() {
    linked(".fixed", &["-no-pie", "-L", &folder(), "-l:libstrata.a"]);
}

#[test]
fn everything_static() {
    linked(".static", &["-static", "-L", &folder(), "-l:libstrata.a"]);
}

#[test]
fn everything_static_at_any_address() {
    linked(".static-pie", &["-static-pie", "-fPIE", "-L", &folder(), "-l:libstrata.a"]);
}

/// The C++ runtime is part of the program, as far as the program uses it.
#[test]
fn runtime_in_the_program() {
    let folder = folder();
    let rpath = format!("-Wl,-rpath,{folder}");
    let shared = ["-static-libstdc++", "-L", &folder, "-lstrata", &rpath];
    let kinds: [(&str, &[&str]); 4] = [
        ("shared", &shared),
        ("exported", &[&shared[..], &["-rdynamic"]].concat()),
        ("archive", &["-static-libstdc++", "-L", &folder, "-l:libstrata.a"]),
        ("static", &["-static", "-L", &folder, "-l:libstrata.a"]),
    ];
    let caught = ["const std::bad_alloc &", "const std::exception &", "..."];
    for (kind, flags) in kinds {
        for (n, caught) in caught.iter().enumerate() {
            let define = format!("-DCAUGHT={caught}");
            let program =
                compile("thrown.cc", &format!(".{kind}-{n}"), &[flags, &[&define]].concat());
            expect_ok(&mut plain(&program, 60));
        }
    }
}
