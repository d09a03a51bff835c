//! A temporary directory for a run.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

/// A directory that is removed when this value is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates a directory, named after the program.
    pub fn new(what: &str) -> Result<Scratch> {
        // Not in the target directory: a socket's path must be short.
        let path = env::temp_dir().join(format!("strata-{what}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Scratch(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let scratch = Scratch::new("scratch").unwrap();
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "text").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
