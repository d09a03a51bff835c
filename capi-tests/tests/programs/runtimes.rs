//! Runtimes that compile while they run, beside memory of their own: threads,
//! buffers, compression.

use crate::folder::Folder;
use crate::installed::installed;
use crate::twice::{alike, contents, given, printed, script_prints_the_same};

#[test]
fn node() {
    let Some(node) = installed("node", "nodejs", "--version") else { return };
    script_prints_the_same(&node, "workers.js");
}

#[test]
fn java() {
    let package = "openjdk-17-jdk-headless";
    let Some(javac) = installed("javac", package, "-version") else { return };
    let Some(java) = installed("java", package, "-version") else { return };
    alike(|under| {
        let folder = Folder::new("java");
        let mut compile = under.command(&javac);
        let mut all = printed(compile.arg("-d").arg(folder.path()).arg(given("Threads.java")));
        all.extend(contents(&[folder.at("Threads.class")]));
        let mut run = under.command(&java);
        // Much garbage in a small heap: its collectors work beside ours.
        run.args(["-Xmx160m", "-XX:+UseG1GC", "-cp"]).arg(folder.path()).arg("Threads");
        all.extend(printed(&mut run));
        all
    });
}
