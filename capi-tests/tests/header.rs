//! The header, the pkg-config file, the install script and the example.

use std::fs;
use std::process::Command;

use capi_tests::{libraries, plain, repository, scratch, succeed};

/// The header is what cbindgen generates from the source. If this fails, the
/// file named in the message is the new header.
#[test]
fn the_header_is_made_from_the_source() {
    let package = repository().join("allocator-capi");
    let made = scratch().join("strata.h");
    cbindgen::generate(&package).expect("cbindgen reads the source").write_to_file(&made);
    let made_text = fs::read_to_string(&made).unwrap();
    let kept = fs::read_to_string(package.join("include/strata.h")).unwrap_or_default();
    assert!(made_text == kept, "include/strata.h differs from {}", made.display());
}

/// C and C++ accept the header, also next to <malloc.h>.
#[test]
fn the_header_compiles_alone() {
    let include = repository().join("allocator-capi/include");
    for (compiler, language) in [("cc", "c"), ("c++", "c++")] {
        let source = scratch().join(format!("header.{language}"));
        fs::write(&source, "#include <strata.h>\n#include <malloc.h>\n#include <stdlib.h>\n")
            .unwrap();
        let mut command = Command::new(compiler);
        command.args([
            "-x",
            language,
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-fsyntax-only",
        ]);
        succeed(command.arg("-I").arg(&include).arg(&source));
    }
}

#[test]
fn the_version_is_the_package_s() {
    let file = fs::read_to_string(repository().join("allocator-capi/strata.pc")).unwrap();
    let version = format!("\nVersion: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(file.contains(&version), "strata.pc has no line{version}");
}

/// The steps of a user: install, compile against the installed files, run.
#[test]
fn installed_it_builds_the_example() {
    let prefix = scratch().join(format!("prefix.{}", std::process::id()));
    let target = libraries().parent().unwrap();
    let install = repository().join("allocator-capi/install");
    succeed(plain(install, 60).arg(&prefix).env("CARGO_TARGET_DIR", target));
    let mut flags = Command::new("pkg-config");
    flags.args(["--cflags", "--libs", "strata"]);
    let flags = succeed(flags.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")));
    let program = prefix.join("words");
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program);
    compile.arg(repository().join("allocator-capi/examples/words.c"));
    succeed(compile.args(flags.split_whitespace()));
    let words = prefix.join("words.txt");
    fs::write(&words, "a rose is a rose is a rose ".repeat(1000)).unwrap();
    let mut run = plain(&program, 60);
    run.env("LD_LIBRARY_PATH", prefix.join("lib")).stdin(fs::File::open(&words).unwrap());
    let said = succeed(&mut run);
    assert!(said.starts_with("8000 words, 3 distinct\n"), "{said}");
    assert!(said.contains("a block for 100 bytes has 112\n"), "{said}");
}
