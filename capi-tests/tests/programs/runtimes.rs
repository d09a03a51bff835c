//! Runtimes with a JIT compiler and their own managed heap: threads, buffers,
//! compression.

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::twice::{assert_same_output, contents, printed, program_file, script_prints_the_same};

#[test]
fn node() {
    let Some(node) = find_installed("node", "nodejs", "--version") else { return };
    script_prints_the_same(&node, "workers.js");
}

#[test]
fn java() {
    let package = "openjdk-17-jdk-headless";
    let Some(javac) = find_installed("javac", package, "-version") else { return };
    let Some(java) = find_installed("java", package, "-version") else { return };
    assert_same_output(|under| {
        let folder = Folder::new("java");
        let mut compile = under.command(&javac);
        let mut all =
            printed(compile.arg("-d").arg(folder.path()).arg(program_file("Threads.java")));
        all.extend(contents(&[folder.at("Threads.class")]));
        let mut run = under.command(&java);
        // Much garbage in a small heap: the runtime's collectors run
        // concurrently.
        run.args(["-Xmx160m", "-XX:+UseG1GC", "-cp"]).arg(folder.path()).arg("Threads");
        all.extend(printed(&mut run));
        all
    });
}
