//! Finding installed programs, and checking that they use the library.

use capi_tests::{describe, library, preloaded};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::folder::Folder;

/// Functions that must all come from the same allocator, because they accept
/// each other's blocks.
const FAMILY: &[&str] = &[
    "malloc",
    "calloc",
    "realloc",
    "free",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "malloc_usable_size",
];

/// Reports that something is missing. Under CI, fails.
pub(crate) fn report_missing(what: &str, package: &str) {
    let said = format!("SKIPPED: {what} is not installed; the Debian package is {package}");
    assert!(std::env::var_os("CI").is_none(), "{said}");
    // Not with `eprintln!`: its output is captured and not shown for tests that
    // pass.
    writeln!(std::io::stderr(), "{said}").expect("writing to standard error");
}

/// Finds a program and checks that it gets its memory from the library when it
/// is run with `argument` only. `None` if it is not installed.
pub(crate) fn find_installed(name: &str, package: &str, argument: &str) -> Option<PathBuf> {
    // System directories come first: other programs of that name may be
    // wrappers or custom builds.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from);
    let mut folders = system.into_iter().chain(std::env::split_paths(&path));
    let Some(program) = folders.find_map(|it| Some(it.join(name)).filter(|it| it.is_file())) else {
        report_missing(name, package);
        return None;
    };
    assert_malloc_from_library(&program, argument);
    Some(program)
}

/// Checks, with the dynamic linker's debug output, that every file of the
/// process takes the malloc family from the library.
pub(crate) fn assert_malloc_from_library(program: &Path, argument: &str) {
    let name = program.file_name().expect("a file name").to_string_lossy();
    let folder = Folder::new(&format!("bindings-{name}"));
    // Uses another `env`, so that only the process with the library writes
    // output.
    let output = preloaded("env", 60)
        .args(["LD_BIND_NOW=1", "LD_DEBUG=bindings"])
        .arg(format!("LD_DEBUG_OUTPUT={}", folder.at("of").display()))
        .arg(program)
        .arg(argument)
        .output()
        .expect("`timeout` starts");
    assert!(output.status.success(), "{name} {argument}: {}", describe(&output));
    // One file per process.
    let mut bound = BTreeSet::new();
    for file in fs::read_dir(folder.path()).expect("reading the directory").flatten() {
        let text = fs::read(file.path()).expect("reading the dynamic linker's output");
        bound.extend(family(&String::from_utf8_lossy(&text)).into_iter().map(str::to_owned));
    }
    for function in ["malloc", "free"] {
        assert!(bound.contains(function), "{name} did not bind {function}: {bound:?}");
    }
}

/// The functions of the family that were bound; asserts that all are bound to
/// the library.
fn family(output: &str) -> BTreeSet<&str> {
    let library = library();
    let library = library.to_str().expect("a UTF-8 path");
    let bindings: BTreeSet<_> = output.lines().filter_map(binding).collect();
    let family = bindings.into_iter().filter(|it| FAMILY.contains(&it.function));
    let (ours, others): (Vec<_>, Vec<_>) = family.partition(|it| it.to == library);
    for it in others {
        // If a program takes a function's address, all files bind to the
        // program's stub of that name, which in turn is bound to the library.
        let stub = ours.iter().any(|ours| (ours.from, ours.function) == (it.to, it.function));
        assert!(stub, "{} binds {} to {}", it.from, it.function, it.to);
    }
    ours.iter().map(|it| it.function).collect()
}

/// A file's binding of a function to another file.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Binding<'a> {
    from: &'a str,
    to: &'a str,
    function: &'a str,
}

/// Parses a line like ``1: binding file A [0] to B [0]: normal symbol `malloc'
/// [GLIBC_2.2.5]``.
fn binding(line: &str) -> Option<Binding<'_>> {
    let (_, line) = line.split_once("binding file ")?;
    let (from, line) = line.split_once(" [0] to ")?;
    let (to, line) = line.split_once(" [0]: normal symbol `")?;
    let (function, _) = line.split_once('\'')?;
    Some(Binding { from, to, function })
}
