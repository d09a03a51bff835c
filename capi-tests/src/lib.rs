//! Shared by the tests of the C library: building the library as users build
//! it, and compiling C programs and running them with the library preloaded.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The repository root.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the repository")
}

/// The directory for files that the tests build, inside the target directory.
///
/// # Panics
/// If it cannot be created.
#[must_use]
pub fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let exe = std::env::current_exe().expect("the path of the executable");
        let target = exe.ancestors().nth(3).expect("the executable is in target/PROFILE/deps");
        let scratch = target.join("capi-tests");
        fs::create_dir_all(&scratch).expect("creating the directory");
        scratch
    })
}

/// The directory with `libstrata.so` and `libstrata.a`, built by `cargo build
/// --release -p allocator-capi`, once per process.
///
/// # Panics
/// If the build fails.
#[must_use]
pub fn libraries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = build(&["--release"]).join("release");
        // Programs that are linked with it look for the name with a version. Another test may
        // have made it.
        let _ = symlink("libstrata.so", folder.join(soname()));
        folder
    })
}

/// The name under which programs that are linked with the library look for it.
#[must_use]
pub fn soname() -> String {
    format!("libstrata.so.{}", env!("CARGO_PKG_VERSION_MAJOR"))
}

/// The path of `libstrata.so` as built without `--release`.
///
/// # Panics
/// If the build fails.
#[must_use]
pub fn unoptimized_library() -> PathBuf {
    build(&[]).join("debug/libstrata.so")
}

/// Builds the library with these options of Cargo, and returns the target directory.
fn build(options: &[&str]) -> PathBuf {
    let target = scratch().join("target");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "allocator-capi"])
        .args(options)
        .arg("--target-dir")
        .arg(&target)
        .current_dir(repository())
        .status()
        .expect("cargo starts");
    assert!(status.success(), "building the C library failed");
    target
}

/// The path of `libstrata.so`.
#[must_use]
pub fn library() -> PathBuf {
    libraries().join("libstrata.so")
}

/// Compiles `capi-tests/c/SOURCE` (`.c`, or `.cc` for C++) with `flags` after
/// the source. The program is named after the source and `name`.
///
/// # Panics
/// If compilation fails or prints a warning.
#[must_use]
pub fn compile(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    let from = repository().join("capi-tests/c").join(source);
    let program = scratch().join(format!("{source}{name}"));
    // Other processes may build or run the same program at this time.
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
    fs::rename(&fresh, &program).expect("renaming the program");
    program
}

/// A command that runs `program` with the library preloaded, and ends it after
/// `seconds` (status 124 or 137).
#[must_use]
pub fn preloaded(program: impl AsRef<OsStr>, seconds: u32) -> Command {
    let mut command = plain("env", seconds);
    let library = library();
    command.arg(format!("LD_PRELOAD={}", library.display())).arg(program);
    command
}

/// A command that runs `program` without the library, and ends it after
/// `seconds` in the same way.
#[must_use]
pub fn plain(program: impl AsRef<OsStr>, seconds: u32) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string()]).arg(program);
    command
}

/// Runs a command, expects success, and returns what it printed.
///
/// # Panics
/// If the program fails; the message contains all of its output.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("`timeout` of the coreutils starts");
    assert!(output.status.success(), "{command:?}\n{}", describe(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Status and output of a finished run.
#[must_use]
pub fn describe(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs one case of a program of cases (`c/case.h`) with the library preloaded.
///
/// # Panics
/// If the case fails, or prints anything but "ok".
pub fn expect_ok_preloaded(program: &Path, case: &str, seconds: u32) {
    expect_ok(preloaded(program, seconds).args([case, "ours"]));
}

/// Runs one case with glibc's allocator, to verify the case itself.
///
/// # Panics
/// If the case fails, or prints anything but "ok".
pub fn expect_ok_with_glibc(program: &Path, case: &str, seconds: u32) {
    expect_ok(plain(program, seconds).args([case, "glibc"]));
}

/// Runs a case and expects it to print "ok".
///
/// # Panics
/// If it fails, or prints anything else.
pub fn expect_ok(command: &mut Command) {
    let output = command.output().expect("`timeout` of the coreutils starts");
    let silent = output.stdout == b"ok\n" && output.stderr.is_empty();
    assert!(output.status.success() && silent, "{command:?}\n{}", describe(&output));
}

/// Whether `program` is installed. If not, reports on standard error that a
/// test is skipped.
///
/// # Panics
/// Under CI, where no test may be skipped.
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

/// Generates a test for each case of a program: `both` run with the library and
/// with glibc, `ours` only with the library; tests for the cases `by_hand` are
/// written separately. One more test checks that every case of the program is
/// listed.
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
