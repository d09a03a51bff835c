//! Programs that are installed, and shown to run under the library.

use capi_tests::{describe, library, preloaded};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::folder::Folder;

/// The functions whose blocks pass from one to the other: all of a process
/// come from one allocator, or none.
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

/// Says that something is missing; under CI, a failure.
pub(crate) fn report_missing(what: &str, package: &str) {
    let said = format!("SKIPPED: {what} is not here; Debian has it in the package {package}");
    assert!(std::env::var_os("CI").is_none(), "{said}");
    // Not by a macro: what those print of a test that passes is not shown.
    writeln!(std::io::stderr(), "{said}").expect("standard error can be written to");
}

/// A program by its name, shown to get its memory from the library when it is
/// run with `argument` only; or, where it is missing, nothing.
pub(crate) fn find_installed(name: &str, package: &str, argument: &str) -> Option<PathBuf> {
    // The system's own first: others before them are wrappers, or built apart.
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

/// Has the dynamic loader tell which library each function was taken from, in
/// each file of the process.
pub(crate) fn assert_malloc_from_library(program: &Path, argument: &str) {
    let name = program.file_name().expect("a program has a name").to_string_lossy();
    let folder = Folder::new(&format!("bindings-{name}"));
    // By one more `env`: what comes before the library is loaded tells nothing.
    let output = preloaded("env", 60)
        .args(["LD_BIND_NOW=1", "LD_DEBUG=bindings"])
        .arg(format!("LD_DEBUG_OUTPUT={}", folder.at("of").display()))
        .arg(program)
        .arg(argument)
        .output()
        .expect("`timeout` starts");
    assert!(output.status.success(), "{name} {argument}: {}", describe(&output));
    // A file for each process.
    let mut bound = BTreeSet::new();
    for file in fs::read_dir(folder.path()).expect("the folder is there").flatten() {
        let text = fs::read(file.path()).expect("what the loader told can be read");
        bound.extend(family(&String::from_utf8_lossy(&text)).into_iter().map(str::to_owned));
    }
    for function in ["malloc", "free"] {
        assert!(bound.contains(function), "{name} did not bind {function}: {bound:?}");
    }
}

/// The functions of the family that were bound, all of them to the library.
fn family(told: &str) -> BTreeSet<&str> {
    let library = library();
    let library = library.to_str().expect("the library's path is text");
    let bindings: BTreeSet<_> = told.lines().filter_map(binding).collect();
    let family = bindings.into_iter().filter(|it| FAMILY.contains(&it.function));
    let (ours, others): (Vec<_>, Vec<_>) = family.partition(|it| it.to == library);
    for it in others {
        // A program that takes a function's address has a stub under its name,
        // which all others are given; the stub goes where the program is bound.
        let stub = ours.iter().any(|ours| (ours.from, ours.function) == (it.to, it.function));
        assert!(stub, "{} takes {} from {}", it.from, it.function, it.to);
    }
    ours.iter().map(|it| it.function).collect()
}

/// That a file takes a function from another file.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Binding<'a> {
    from: &'a str,
    to: &'a str,
    function: &'a str,
}

/// A line like ``1: binding file A [0] to B [0]: normal symbol `malloc' [GLIBC_2.2.5]``.
fn binding(line: &str) -> Option<Binding<'_>> {
    let (_, line) = line.split_once("binding file ")?;
    let (from, line) = line.split_once(" [0] to ")?;
    let (to, line) = line.split_once(" [0]: normal symbol `")?;
    let (function, _) = line.split_once('\'')?;
    Some(Binding { from, to, function })
}
