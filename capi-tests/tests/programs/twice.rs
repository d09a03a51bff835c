//! The same run twice: as it is, and under the library.

use capi_tests::{describe, plain, preloaded, repository};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long a program may take. Far above what it takes: a limit for what hangs.
pub(crate) const SECONDS: u32 = 240;

/// What a program runs under.
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

/// A script or data that a program is given.
pub(crate) fn program_file(name: &str) -> PathBuf {
    repository().join("capi-tests/programs").join(name)
}

/// Runs to the end and expects success; all that was printed, on both outputs.
pub(crate) fn printed(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("`timeout` starts");
    let told = describe(&output);
    assert!(output.status.success(), "{command:?}\n{told}");
    told.into_bytes()
}

/// The contents of files, in this order.
pub(crate) fn contents(files: &[PathBuf]) -> Vec<u8> {
    let read = |file: &PathBuf| {
        let content = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(!content.is_empty(), "{} is empty", file.display());
        content
    };
    files.iter().flat_map(read).collect()
}

/// Expects of two runs that they come to the same.
pub(crate) fn assert_same_output(run: impl Fn(Under) -> Vec<u8>) {
    let without = run(Under::Nothing);
    let with = run(Under::Library);
    assert!(!without.is_empty(), "there is nothing to compare");
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

/// A script run by its interpreter prints the same twice.
pub(crate) fn script_prints_the_same(interpreter: &Path, script: &str) {
    assert_same_output(|under| printed(under.command(interpreter).arg(program_file(script))));
}
