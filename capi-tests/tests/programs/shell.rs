//! The shell and standard utilities, in pipelines.

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::twice::{Under, assert_same_output, printed, program_file};

#[test]
fn pipelines_print_the_same() {
    let Some(bash) = find_installed("bash", "bash", "--version") else { return };
    for program in ["sort", "ls", "tr", "cut", "join", "sha256sum"] {
        assert!(find_installed(program, "coreutils", "--version").is_some());
    }
    assert_same_output(|under| {
        let folder = Folder::new("shell");
        printed(under.command(&bash).arg(program_file("pipelines.sh")).current_dir(folder.path()))
    });
}

/// Precondition of all tests here: a program run with the library has it
/// loaded, and so do its children; without, neither does.
#[test]
fn the_library_is_there_when_asked_for() {
    let library = capi_tests::library();
    let name = library.file_name().expect("a file name");
    // The mappings of the shell, then those of its child `grep`.
    let script = "for maps in /proc/$$/maps /proc/self/maps; do
        if grep -q \"/$0\\$\" $maps; then echo yes; else echo no; fi
    done";
    for (under, expected) in [(Under::Nothing, "no\nno\n"), (Under::Library, "yes\nyes\n")] {
        let mut command = under.command("bash");
        let said = capi_tests::succeed(command.args(["-c", script]).arg(name));
        assert_eq!(said, expected, "{under:?}");
    }
}
