//! git: a repository of many commits, fully repacked, has the same objects.

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::twice::{assert_same_output, printed, program_file};

#[test]
fn a_repository_is_the_same() {
    let Some(git) = find_installed("git", "git", "--version") else { return };
    assert_same_output(|under| {
        let folder = Folder::new("git");
        let mut command = under.command("bash");
        command.arg(program_file("history.sh")).arg(&git).current_dir(folder.path());
        // No outside influence: no configuration, no user names, no clock.
        command.env("HOME", folder.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Nobody");
            command.env(format!("GIT_{who}_EMAIL"), "nobody@localhost");
            command.env(format!("GIT_{who}_DATE"), "1600000000 +0000");
        }
        let printed = printed(&mut command);
        let text = String::from_utf8_lossy(&printed);
        assert!(text.contains("\nwell\ncommits: 626\n"), "{text:.3000}");
        printed
    });
}
