//! What the checks of the C library share: the library itself, built as users
//! build it, and C programs, compiled and run with the library loaded first.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

/// Where these checks put what they build: a folder beside that of the build.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let exe = std::env::current_exe().expect("the program has a name");
        let target = exe.ancestors().nth(3).expect("it lies in target/PROFILE/deps");
        let scratch = target.join("capi-tests");
        fs::create_dir_all(&scratch).expect("the folder can be made");
        scratch
    })
}

/// The folder with `libstrata.so` and `libstrata.a`, built by
/// `cargo build --release -p allocator-capi`, once for each process.
///
/// # Panics
/// If the build fails.
#[must_use]
pub fn libraries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = scratch().join("target");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "-p", "allocator-capi", "--target-dir"])
            .arg(&target)
            .current_dir(repository())
            .status()
            .expect("cargo starts");
        assert!(status.success(), "the C library was not built");
        target.join("release")
    })
}

/// `libstrata.so`.
#[must_use]
pub fn library() -> PathBuf {
    libraries().join("libstrata.so")
}

/// A program made of `capi-tests/c/SOURCE` (`.c`, or `.cc` for C++), built
/// with `flags` after the source, named after the source and `name`.
///
/// # Panics
/// If it does not compile, or with a warning.
#[must_use]
pub fn compile(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    let from = repository().join("capi-tests/c").join(source);
    let program = scratch().join(format!("{source}{name}"));
    // Others may build the same one at this time, and run it.
    let fresh = scratch().join(format!("{source}{name}.{}", std::process::id()));
    let compiler = if source.ends_with(".cc") { "c++" } else { "cc" };
    let output = Command::new(compiler)
        .args(["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-pthread", "-o"])
        .arg(&fresh)
        .arg(&from)
        .args(flags)
        .output()
        .unwrap_or_else(|error| panic!("{compiler} is needed to compile {source}: {error}"));
    assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&fresh, &program).expect("the program can be renamed");
    program
}

/// A run of `program` with the library loaded first, ended (status 124 or
/// 137) after `seconds`.
#[must_use]
pub fn preloaded(program: impl AsRef<OsStr>, seconds: u32) -> Command {
    let mut command = plain("env", seconds);
    let library = library();
    command.arg(format!("LD_PRELOAD={}", library.display())).arg(program);
    command
}

/// A run of `program` as it is, ended after `seconds` likewise.
#[must_use]
pub fn plain(program: impl AsRef<OsStr>, seconds: u32) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string()]).arg(program);
    command
}

/// Runs to the end, and expects success; what was printed.
///
/// # Panics
/// If the program fails; says all it printed.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("`timeout` of the coreutils starts");
    assert!(output.status.success(), "{command:?}\n{}", describe(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All that a run left.
#[must_use]
pub fn describe(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs one case of a program of cases (`c/case.h`), with the library loaded
/// first.
///
/// # Panics
/// If the case fails, or prints anything but its "ok".
pub fn expect_ok_preloaded(program: &Path, case: &str, seconds: u32) {
    expect_ok(preloaded(program, seconds).args([case, "ours"]));
}

/// The same with glibc's allocator: it holds the case itself to the truth.
///
/// # Panics
/// As [`expect_ok_preloaded`] does.
pub fn expect_ok_with_glibc(program: &Path, case: &str, seconds: u32) {
    expect_ok(plain(program, seconds).args([case, "glibc"]));
}

/// Runs a case to its "ok".
///
/// # Panics
/// If it fails, or prints anything else.
pub fn expect_ok(command: &mut Command) {
    let output = command.output().expect("`timeout` of the coreutils starts");
    let silent = output.stdout == b"ok\n" && output.stderr.is_empty();
    assert!(output.status.success() && silent, "{command:?}\n{}", describe(&output));
}

/// Whether `program` can be run here. If not, says loudly that a test is
/// skipped.
///
/// # Panics
/// Under CI, where nothing may be skipped.
#[must_use]
pub fn available_or_skip(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
    eprintln!("SKIPPED: {program} is not installed");
    false
}

/// Makes a test of each case of a program: `both` kinds run under the library
/// and under glibc, `ours` only under the library; those `by_hand` are written
/// out beside this. One more test sees that no case is forgotten.
#[macro_export]
macro_rules! cases {
    ($source:literal $flags:tt, $seconds:literal seconds;
     both: $($both:ident)*; ours: $($ours:ident)*; $(by_hand: $($hand:ident)*;)?) => {
        fn program() -> &'static std::path::Path {
            static PROGRAM: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
            PROGRAM.get_or_init(|| $crate::compile($source, "", &$flags))
        }
        $(
            #[test]
            fn $both() {
                $crate::expect_ok_with_glibc(program(), stringify!($both), $seconds);
                $crate::expect_ok_preloaded(program(), stringify!($both), $seconds);
            }
        )*
        $(
            #[test]
            fn $ours() {
                $crate::expect_ok_preloaded(program(), stringify!($ours), $seconds);
            }
        )*
        #[test]
        fn no_case_is_forgotten() {
            let mut run = vec![
                $(stringify!($both),)* $(stringify!($ours),)* $($(stringify!($hand),)*)?
            ];
            run.sort_unstable();
            let list = $crate::succeed(&mut $crate::plain(program(), 10));
            let mut list: Vec<_> = list.lines().collect();
            list.sort_unstable();
            assert_eq!(run, list);
        }
    };
}
