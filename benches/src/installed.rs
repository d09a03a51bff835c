//! Programs and libraries installed from Debian packages.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

/// The path of a required program.
pub fn find(program: &str, package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file());
    found.with_context(|| format!("{program} is not installed; {}", install(package)))
}

/// The command that installs a package.
pub fn install(package: &str) -> String {
    format!("install it: apt-get install --no-install-recommends {package}")
}

/// The version of a package, if it is installed.
pub fn version(package: &str) -> Option<String> {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output();
    let said = query.ok().filter(|output| output.status.success())?.stdout;
    Some(String::from_utf8_lossy(&said).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_command_that_installs_it() {
        let error = find("no-such-program", "package-of-it").unwrap_err().to_string();
        assert!(error.contains("no-such-program") && error.contains("apt-get"), "{error}");
        assert!(error.ends_with("package-of-it"), "{error}");
        assert!(find("sh", "dash").unwrap().is_absolute());
    }
}
