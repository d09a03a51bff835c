//! The crates that contain the sources of other allocators.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow};
use cargo_metadata::semver::Version;
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

/// What cargo knows about this package and all that it can depend on.
static METADATA: LazyLock<Result<Metadata, String>> = LazyLock::new(|| {
    MetadataCommand::new()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .features(CargoOpt::AllFeatures)
        .other_options([String::from("--locked")])
        .exec()
        .map_err(|error| error.to_string())
});

/// A crate as cargo has unpacked it, in the version that `Cargo.lock` names.
pub(super) struct Source {
    pub(super) package: &'static str,
    pub(super) version: &'static Version,
    /// Where its files are. They are not to be changed.
    pub(super) directory: &'static Path,
    /// Where cargo puts what it builds.
    pub(super) target: PathBuf,
}

impl Source {
    /// Finds a crate by its name.
    pub(super) fn find(package: &'static str) -> Result<Source> {
        let metadata = METADATA.as_ref().map_err(|error| anyhow!("cargo metadata: {error}"))?;
        let found = metadata.packages.iter().find(|found| found.name.as_str() == package);
        let found = found.with_context(|| format!("no crate {package} in Cargo.lock"))?;
        Ok(Source {
            package,
            version: &found.version,
            directory: found.manifest_path.parent().context("no directory")?.as_std_path(),
            target: metadata.target_directory.clone().into_std_path_buf(),
        })
    }

    /// The version of the crate, as a version of its allocator.
    pub(super) fn crate_version(&self) -> Result<String> {
        Ok(format!("{} {}", self.package, self.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_found_with_its_files() {
        let source = Source::find("anyhow").unwrap();
        assert!(source.directory.join("Cargo.toml").exists());
        let version = source.crate_version().unwrap();
        assert!(version.starts_with("anyhow 1."), "{version}");
        let error = Source::find("no-such-crate").err().unwrap().to_string();
        assert!(error.contains("no-such-crate"), "{error}");
    }
}
