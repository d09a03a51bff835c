//! The header, the pkg-config file, the CMake files, the man page, the install script and the
//! example.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use capi_tests::{
    available_or_skip, describe, libraries, plain, preloaded, repository, scratch, soname, succeed,
};

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
    let own = |name: &str| {
        fs::read_to_string(repository().join("allocator-capi").join(name)).expect("the file")
    };
    let version = env!("CARGO_PKG_VERSION");
    let (cmake, page) = (own("strata-config-version.cmake"), own("strata.3"));
    assert!(cmake.starts_with(&format!("set(PACKAGE_VERSION \"{version}\")\n")), "{cmake}");
    assert!(page.contains(&format!("\"Strata {version}\"")), "{page}");
}

/// The man page names each function of the header that is the allocator's own, and each option.
#[test]
fn the_man_page_is_complete() {
    let own = |name: &str| {
        fs::read_to_string(repository().join("allocator-capi").join(name)).expect("the file")
    };
    let (header, page) = (own("include/strata.h"), own("strata.3"));
    let words = header.split(|c: char| !c.is_alphanumeric() && c != '_');
    let functions: BTreeSet<_> = words.filter(|word| word.starts_with("strata_")).collect();
    assert!(functions.len() >= 12, "{functions:?}");
    for name in functions {
        assert!(page.contains(&format!("{name}(")), "{name} has no synopsis");
        assert!(page.contains(&format!(".BR {name} ()")), "{name} is not described");
    }
    let list = preloaded("true", 10).env("STRATA_CONF", "help:true").output().expect("it runs");
    let list = String::from_utf8(list.stderr).expect("UTF-8");
    for option in list.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)) {
        let named = [" ,", " ."].iter().any(|end| page.contains(&format!(".BR {option}{end}")));
        assert!(named, "{option} is missing");
    }
    if available_or_skip("groff") {
        let mut check = Command::new("groff");
        check.args(["-man", "-ww", "-z"]).arg(repository().join("allocator-capi/strata.3"));
        let output = check.output().expect("groff runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", describe(&output));
    }
}

/// A user's project, built by CMake against the installed files.
#[test]
fn installed_it_is_found_by_cmake() {
    if !available_or_skip("cmake") {
        return;
    }
    let folder = scratch().join(format!("cmake.{}", std::process::id()));
    let prefix = folder.join("prefix");
    install(&prefix);
    fs::write(
        folder.join("CMakeLists.txt"),
        "cmake_minimum_required(VERSION 3.16)\nproject(words C)\nfind_package(strata 0.1 REQUIRED)\n\
         foreach(kind strata static)\n\
         add_executable(words-${kind} words.c)\n\
         target_link_libraries(words-${kind} strata::${kind})\nendforeach()\n",
    )
    .unwrap();
    fs::copy(repository().join("allocator-capi/examples/words.c"), folder.join("words.c")).unwrap();
    let mut make = Command::new("cmake");
    make.args(["-S", ".", "-B", "build"]).arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
    succeed(make.current_dir(&folder));
    succeed(Command::new("cmake").args(["--build", "build"]).current_dir(&folder));
    for kind in ["strata", "static"] {
        let said =
            succeed(plain(folder.join(format!("build/words-{kind}")), 60).stdin(Stdio::null()));
        assert!(said.starts_with("0 words"), "{said}");
    }
}

/// Installs the library as a user does.
fn install(prefix: &Path) {
    let target = libraries().parent().unwrap();
    let install = repository().join("allocator-capi/install");
    succeed(plain(install, 60).arg(prefix).env("CARGO_TARGET_DIR", target));
}

/// The steps of a user: install, compile against the installed files, run.
#[test]
fn installed_it_builds_the_example() {
    let prefix = scratch().join(format!("prefix.{}", std::process::id()));
    install(&prefix);
    let library = fs::read_link(prefix.join("lib").join(soname())).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(library.to_str().unwrap(), format!("libstrata.so.{version}"));
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
