//! Running a program twice: with and without the library.

use capi_tests::{describe, plain, preloaded, repository};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Time limit for a program. Much longer than it takes: it only ends hanging
/// programs.
pub(crate) const SECONDS: u32 = 240;

/// Whether a program runs with the library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Under {
    Nothing,
    Library,
}

impl Under {
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Under::Nothing => plain(program, SECONDS),
            Under::Library => preloaded(program, SECONDS),
        }
    }
}

/// The path of a script or data file for a program.
pub(crate) fn program_file(name: &str) -> PathBuf {
    repository().join("capi-tests/programs").join(name)
}

/// Runs a command, expects success, and returns the output of both streams.
pub(crate) fn printed(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("`timeout` starts");
    let text = describe(&output);
    assert!(output.status.success(), "{command:?}\n{text}");
    text.into_bytes()
}

/// The concatenated contents of files.
pub(crate) fn contents(files: &[PathBuf]) -> Vec<u8> {
    let read = |file: &PathBuf| {
        let content = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(!content.is_empty(), "{} is empty", file.display());
        content
    };
    files.iter().flat_map(read).collect()
}

/// Asserts that two runs, with and without the library, return the same bytes.
pub(crate) fn assert_same_output(run: impl Fn(Under) -> Vec<u8>) {
    let without = run(Under::Nothing);
    let with = run(Under::Library);
    assert!(!without.is_empty(), "no output to compare");
    if with != without {
        let same = with.iter().zip(&without).take_while(|(a, b)| a == b).count();
        panic!(
            "{} bytes, {} without the library; the first {same} are the same, then\n{}\n\
             without the library:\n{}",
            with.len(),
            without.len(),
            around(&with, same),
            around(&without, same)
        );
    }
}

fn around(bytes: &[u8], at: usize) -> String {
    let part = &bytes[at.saturating_sub(200)..bytes.len().min(at + 800)];
    String::from_utf8_lossy(part).into_owned()
}

/// Asserts that an interpreter prints the same for a script in both runs.
pub(crate) fn script_prints_the_same(interpreter: &Path, script: &str) {
    assert_same_output(|under| printed(under.command(interpreter).arg(program_file(script))));
}
