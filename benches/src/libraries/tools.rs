//! Compilers and other tools that build.

use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::installed::install;

/// A tool with the Debian package that contains it.
#[derive(Clone, Copy)]
pub(super) struct Tool {
    pub(super) program: &'static str,
    pub(super) package: &'static str,
}

/// The C compiler.
pub(super) const CC: Tool = Tool { program: "cc", package: "gcc" };
/// The C++ compiler.
pub(super) const CXX: Tool = Tool { program: "c++", package: "g++" };
/// Runs scripts.
pub(super) const SHELL: Tool = Tool { program: "sh", package: "dash" };
/// Runs makefiles.
pub(super) const MAKE: Tool = Tool { program: "make", package: "make" };

impl Tool {
    /// A command that runs it; the caller adds the arguments.
    pub(super) fn command(self) -> Command {
        Command::new(self.program)
    }

    /// Fails if it is not installed. For what another build would miss less
    /// clearly, or silently leave out.
    pub(super) fn require(self) -> Result<()> {
        self.run(self.command().arg("--version"))
    }

    /// Runs such a command to its end.
    pub(super) fn run(self, command: &mut Command) -> Result<()> {
        self.output(command).map(drop)
    }

    /// Runs such a command to its end, and returns its standard output. If it
    /// fails, the error is the first one that it reported.
    pub(super) fn output(self, command: &mut Command) -> Result<Vec<u8>> {
        let Tool { program, package } = self;
        let output = match command.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("{program} is not installed; {}", install(package));
            }
            output => output.with_context(|| format!("cannot start {program}"))?,
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{program}: {}", complaint(&said).unwrap_or(&output.status.to_string()));
        }
        Ok(output.stdout)
    }
}

/// The first line that names an error, or else the last one.
fn complaint(said: &str) -> Option<&str> {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().find(|line| line.contains("error: ")).or_else(|| lines().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(tool: Tool, arguments: &[&str]) -> String {
        tool.run(tool.command().args(arguments)).unwrap_err().to_string()
    }

    #[test]
    fn the_first_error_is_reported_in_one_line() {
        let said = "echo warning: w >&2; echo 'a.c:1: error: b' >&2; echo error: c >&2; exit 1";
        assert_eq!(error(SHELL, &["-c", said]), "sh: a.c:1: error: b");
        assert_eq!(error(SHELL, &["-c", "echo a >&2; echo b >&2; exit 1"]), "sh: b");
        assert_eq!(error(SHELL, &["-c", "exit 3"]), "sh: exit status: 3");
        SHELL.run(SHELL.command().args(["-c", "echo error: none >&2"])).unwrap();
    }

    #[test]
    fn a_missing_tool_is_named_with_the_command_that_installs_it() {
        let missing = Tool { program: "no-such-tool", package: "package-of-it" };
        let error = error(missing, &[]);
        assert_eq!(missing.require().unwrap_err().to_string(), error);
        assert!(error.starts_with("no-such-tool is not installed; "), "{error}");
        assert!(error.ends_with(" package-of-it"), "{error}");
        CC.require().unwrap();
    }
}
