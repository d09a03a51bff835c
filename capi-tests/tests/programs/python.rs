//! Python: parts of its own test suite, with and without its own allocator.

use std::path::PathBuf;

use crate::folder::Folder;
use crate::installed::{find_installed, report_missing};
use crate::twice::{Under, printed};

/// An interpreter with its test suite.
fn python() -> Option<PathBuf> {
    let python = find_installed("python3", "python3", "--version")?;
    let mut tests = Under::Nothing.command(&python);
    let output =
        tests.args(["-c", "import test.test_dict, test.test_multiprocessing_fork"]).output();
    if !output.expect("`timeout` starts").status.success() {
        report_missing("Python's test suite", "libpython3-testsuite (or libpython3.11-testsuite)");
        return None;
    }
    Some(python)
}

/// Runs tests with `allocator`: `pymalloc`, which takes large blocks from
/// malloc and serves small ones itself, or `malloc`.
fn pass(allocator: &str, arguments: &[&str], end: &str) {
    let Some(python) = python() else { return };
    let folder = Folder::new("python");
    let mut command = Under::Library.command(python);
    command.env("PYTHONMALLOC", allocator).current_dir(folder.path());
    command.args(["-m", "test", "--tempdir"]).arg(folder.path()).args(arguments);
    let printed = String::from_utf8_lossy(&printed(&mut command)).into_owned();
    assert!(printed.contains(end), "{printed}");
    assert!(printed.contains("Tests result: SUCCESS"), "{printed}");
}

#[test]
fn passes_its_tests() {
    let tests = ["test_dict", "test_list", "test_json", "test_threading"];
    pass("pymalloc", &tests, "All 4 tests OK.");
}

#[test]
fn passes_its_tests_without_its_own_allocator() {
    let tests = [
        "test_dict",
        "test_list",
        "test_json",
        "test_set",
        "test_deque",
        "test_bytes",
        "test_pickle",
        "test_re",
        "test_gc",
        "test_zlib",
        "test_threading",
    ];
    pass("malloc", &tests, "All 11 tests OK.");
}

#[test]
fn passes_its_tests_of_forks() {
    // The other tests are the same with threads, and do not fork.
    let part = "test.test_multiprocessing_fork.WithProcesses*";
    pass("malloc", &["-m", part, "test_multiprocessing_fork"], "1 test OK.");
}
