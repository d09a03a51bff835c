//! The workspace: its packages as Cargo sees them, and the files that git tracks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

pub use cargo_metadata::{Package, Target, TargetKind};
use toml::Table;

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file's text.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A path relative to the repository, for messages.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The members of the workspace.
///
/// # Panics
/// If `cargo metadata` fails.
#[must_use]
pub fn packages() -> &'static [Package] {
    static PACKAGES: LazyLock<Vec<Package>> = LazyLock::new(|| {
        let mut command = cargo_metadata::MetadataCommand::new();
        command.manifest_path(root().join("Cargo.toml")).no_deps();
        command.exec().expect("cargo metadata").packages
    });
    &PACKAGES
}

/// The member of this name.
#[must_use]
pub fn package(name: &str) -> Option<&'static Package> {
    packages().iter().find(|package| package.name == name)
}

/// The packages that programs can depend on.
pub fn published() -> impl Iterator<Item = &'static Package> {
    packages().iter().filter(|package| package.publish.as_ref().is_none_or(|it| !it.is_empty()))
}

/// The package's library.
#[must_use]
pub fn library(package: &Package) -> Option<&Target> {
    use TargetKind::{CDyLib, DyLib, Lib, ProcMacro, RLib, StaticLib};
    let kinds = [CDyLib, DyLib, Lib, ProcMacro, RLib, StaticLib];
    package.targets.iter().find(|target| {
        target.is_lib()
            || target.kind.iter().any(|kind| kinds.contains(kind) && !target.is_example())
    })
}

/// The folder of a package.
///
/// # Panics
/// Never: a manifest is in a folder.
#[must_use]
pub fn folder(package: &Package) -> PathBuf {
    package.manifest_path.parent().unwrap().into()
}

/// A file in TOML, such as a manifest.
///
/// # Panics
/// If it does not parse.
#[must_use]
pub fn toml(path: &Path) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files that git tracks and that exist.
///
/// # Panics
/// If git fails.
#[must_use]
pub fn tracked() -> &'static [PathBuf] {
    static FILES: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
        let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
        let output = output.expect("git");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let names = String::from_utf8(output.stdout).expect("names in UTF-8");
        let paths = names.split_terminator('\0').map(|name| root().join(name));
        paths.filter(|path| path.is_file()).collect()
    });
    &FILES
}

/// The tracked files below a directory that have one of these extensions.
pub fn with_extension(
    directory: &Path,
    extensions: &[&str],
) -> impl Iterator<Item = &'static Path> {
    tracked().iter().map(PathBuf::as_path).filter(move |path| {
        let extension = path.extension().and_then(|it| it.to_str());
        path.starts_with(directory) && extension.is_some_and(|it| extensions.contains(&it))
    })
}
