//! Interpreters that allocate every value: each runs a script that prints sums
//! and digests of its results.

use crate::folder::Folder;
use crate::installed::{find_installed, report_missing};
use crate::twice::{Under, assert_same_output, printed, program_file, script_prints_the_same};

#[test]
fn perl() {
    let Some(perl) = find_installed("perl", "perl", "-v") else { return };
    let modules = ["-Mthreads", "-MStorable", "-MDigest::MD5", "-e", "1"];
    let output = Under::Nothing.command(&perl).args(modules).output();
    if !output.expect("`timeout` starts").status.success() {
        return report_missing("Perl's library", "perl");
    }
    script_prints_the_same(&perl, "words.pl");
}

#[test]
fn lua() {
    let Some(lua) = find_installed("lua5.4", "lua5.4", "-v") else { return };
    script_prints_the_same(&lua, "tables.lua");
}

#[test]
fn sqlite() {
    let Some(sqlite) = find_installed("sqlite3", "sqlite3", "-version") else { return };
    assert_same_output(|under| {
        let folder = Folder::new("sqlite");
        let mut command = under.command(&sqlite);
        command.args(["-batch", "-bail", "ledger.db"]).current_dir(folder.path());
        let script = std::fs::File::open(program_file("ledger.sql")).expect("opening the script");
        let printed = printed(command.stdin(script));
        let text = String::from_utf8_lossy(&printed);
        assert!(text.contains("integrity|ok\n") && text.ends_with("COMMIT;\n\n"), "{text:.3000}");
        printed
    });
}
