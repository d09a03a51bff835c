//! The recipes of `docs/recipes.md`, as they stand there: each shows the memory of its process.

use std::fs;
use std::path::Path;
use std::process::Command;

use capi_tests::{describe, repository};

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::server::explained;
use crate::twice::{Under, printed};

/// The blocks of a language in the document, in order.
fn code(language: &str) -> Vec<String> {
    let page = fs::read_to_string(repository().join("docs/recipes.md")).expect("the document");
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    blocks.map(|rest| rest.split("```").next().expect("a block").to_owned()).collect()
}

/// What a script printed: resident and live bytes, then the table. Both are compared with what
/// the script knows: the size of what it holds, and its RSS, in KiB, in the last line.
fn check(printed: &str, held: f64) {
    let mut lines = printed.lines();
    let numbers = lines.next().expect("a line").split(' ');
    let numbers: Vec<f64> = numbers.map(|it| it.parse().expect("a number")).collect();
    let [resident, live] = numbers[..] else { panic!("{printed}") };
    let rss: f64 = printed.lines().last().expect("a line").parse().expect("a number");
    assert!((resident / 1024.0 / rss - 1.0).abs() < 0.2, "{printed}");
    assert!(live > held && live < resident * 1.1, "{printed}");
    assert!(printed.contains("Memory of the process"), "{printed}");
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("`timeout` starts");
    assert!(output.status.success(), "{}", describe(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn python() {
    let Some(python) = find_installed("python3", "python3", "--version") else { return };
    let [numbers, profile] = &code("python")[..] else { panic!("two blocks") };
    let folder = Folder::new("recipe-python");
    let rss = "print(next(it.split()[1] for it in open('/proc/self/status') if 'VmRSS' in it))\n";
    let held = "held = [bytes(1000) for _ in range(30_000)]\n";
    let script = folder.write("numbers.py", format!("{held}{numbers}{rss}"));
    let mut command = Under::Library.command(&python);
    check(&output(command.arg(script).env("PYTHONMALLOC", "malloc")), 30e6);
    let script = folder.write("profile.py", format!("{numbers}{profile}"));
    output(Under::Library.command(&python).arg(script).current_dir(folder.path()));
    let profile = fs::read_to_string(folder.at("heap.profile")).expect("the profile");
    let bytes: f64 = profile.split(' ').nth(3).and_then(|it| it.parse().ok()).expect("a number");
    // 10,000 blocks of 10,033 bytes, of which about 200 were sampled.
    assert!((bytes / 100.33e6 - 1.0).abs() < 0.4, "{profile}");
}

#[test]
fn ruby() {
    let Some(ruby) = find_installed("ruby", "ruby", "--version") else { return };
    let [numbers] = &code("ruby")[..] else { panic!("one block") };
    let folder = Folder::new("recipe-ruby");
    let rss = "puts File.read('/proc/self/status')[/VmRSS:\\s+(\\d+)/, 1]\n";
    let held = "$held = (1..30_000).map { |i| i.to_s * 1000 }\n";
    let script = folder.write("numbers.rb", format!("{held}{numbers}{rss}"));
    check(&output(Under::Library.command(&ruby).arg(script)), 30e6);
}

/// Runs a program with the option of the recipe, and checks the table that it prints in the end.
fn explains(program: &Path, arguments: &[&str]) {
    let mut command = Under::Library.command(program);
    let said = printed(command.args(arguments).env("STRATA_CONF", "explain:exit"));
    explained(&String::from_utf8_lossy(&said), 8.0);
}

#[test]
fn node() {
    let Some(node) = find_installed("node", "nodejs", "--version") else { return };
    explains(&node, &["-e", "const held = Buffer.alloc(20 << 20, 1); held.length"]);
}

#[test]
fn java() {
    let package = "openjdk-17-jdk-headless";
    let Some(java) = find_installed("java", package, "-version") else { return };
    explains(&java, &["-Xmx64m", "-XX:+UseSerialGC", "--version"]);
}
