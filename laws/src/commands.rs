//! The commands that documents show: whether the packages, targets, features, profiles,
//! flags, scripts and steps that they name exist.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{Package, Target};
use proc_macro2::{Delimiter, TokenTree};

use crate::source::{
    attribute, before_item, group, idents, inner, is_ident, is_punct, runs, string, strings,
    tokens, words,
};
use crate::trees::tree;
use crate::workspace::{folder, packages, read, root, toml};

/// Commands of Cargo, and of the plugins that are used here.
const SUBCOMMANDS: [&str; 19] = [
    "add", "bench", "build", "check", "clean", "clippy", "deny", "doc", "fetch", "fmt", "install",
    "metadata", "package", "pkgid", "publish", "run", "test", "tree", "update",
];

/// Flags of Cargo that take a value.
const WITH_VALUE: [&str; 16] = [
    "-p",
    "--package",
    "--exclude",
    "--bin",
    "--example",
    "--test",
    "--bench",
    "-F",
    "--features",
    "--profile",
    "--config",
    "--jobs",
    "-j",
    "--manifest-path",
    "--target",
    "--target-dir",
];

/// Flags of Cargo without a value.
const ALONE: [&str; 22] = [
    "--all",
    "--all-features",
    "--all-targets",
    "--benches",
    "--bins",
    "--check",
    "--doc",
    "--examples",
    "--lib",
    "--locked",
    "--no-default-features",
    "--no-deps",
    "--no-fail-fast",
    "--no-run",
    "--offline",
    "--open",
    "--quiet",
    "--release",
    "--tests",
    "--verbose",
    "--workspace",
    "--list",
];

/// What commands can name.
pub struct Known {
    profiles: BTreeSet<String>,
    /// What `.cargo/config.toml` calls a command, and what that stands for.
    aliases: BTreeMap<String, Vec<String>>,
    /// Flags of each program of ours, by package and target.
    flags: BTreeMap<(&'static str, &'static str), BTreeSet<String>>,
    /// Commands of each program of ours that has some.
    commands: BTreeMap<(&'static str, &'static str), BTreeSet<String>>,
    /// The steps of each script that has some.
    steps: BTreeMap<&'static str, Vec<String>>,
}

/// The parts of a Cargo command.
#[derive(Default)]
struct Parsed<'a> {
    /// Flags with their values; those without have an empty one.
    flags: Vec<(&'a str, &'a str)>,
    /// Arguments before `--` that are not flags.
    others: Vec<&'a str>,
    /// What follows `--`.
    program: &'a [String],
}

impl Known {
    /// Reads the workspace.
    #[must_use]
    pub fn new() -> Self {
        let mut profiles: BTreeSet<String> =
            ["dev", "release", "test", "bench"].map(str::to_owned).into();
        if let Some(own) = toml(&root().join("Cargo.toml")).get("profile") {
            profiles.extend(own.as_table().expect("profiles").keys().cloned());
        }
        let mut aliases = BTreeMap::new();
        if let Some(own) = toml(&root().join(".cargo/config.toml")).get("alias") {
            for (name, line) in own.as_table().expect("aliases") {
                let line = shlex::split(line.as_str().expect("a line")).expect("words");
                aliases.insert(name.clone(), line);
            }
        }
        let (mut flags, mut commands) = (BTreeMap::new(), BTreeMap::new());
        for package in packages() {
            let targets = package.targets.iter();
            for target in targets.filter(|it| it.is_bin() || it.is_example()) {
                let key = (package.name.as_str(), target.name.as_str());
                flags.insert(key, flags_of(package, target));
                let modules = tree(package, target);
                let its = modules.iter().flat_map(|it| clap_commands(&tokens(&it.text)));
                commands.insert(key, its.collect());
            }
        }
        let steps = [".ci/run", ".ci/nightly"].into_iter().map(|it| (it, steps(it))).collect();
        Known { profiles, aliases, flags, commands, steps }
    }

    /// What is wrong with a shell command, if it runs Cargo or a script. It may also
    /// consist of flags only, as documents quote them.
    #[must_use]
    pub fn problems(&self, line: &str) -> Vec<String> {
        // Unmatched quotation marks: not a command.
        let Some(words) = shlex::split(line) else { return Vec::new() };
        let commands = words.split(|word| ["&&", "||", "|", ";", "&"].contains(&word.as_str()));
        commands.flat_map(|command| self.problems_of(command)).collect()
    }

    fn problems_of(&self, command: &[String]) -> Vec<String> {
        let is_prefix = |word: &&String| {
            ["env", "sudo", "time"].contains(&word.as_str())
                || word.split_once('=').is_some_and(|(name, _)| {
                    !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
                })
        };
        let start = command.iter().take_while(is_prefix).count();
        let Some((first, rest)) = command[start..].split_first() else { return Vec::new() };
        if first == "cargo" {
            return self.cargo(rest);
        }
        if first.starts_with(".ci/") {
            return self.script(first, rest);
        }
        if first.starts_with("--") || first == "-p" {
            return self.fragment(&command[start..]);
        }
        Vec::new()
    }

    fn cargo(&self, words: &[String]) -> Vec<String> {
        let words = match words.first() {
            Some(first) if first.starts_with('+') => &words[1..],
            _ => words,
        };
        let Some((name, rest)) = words.split_first() else { return Vec::new() };
        if let Some(alias) = self.aliases.get(name) {
            return self.cargo(&[alias, rest].concat());
        }
        if is_variable(name) {
            return Vec::new();
        }
        if !SUBCOMMANDS.contains(&name.as_str()) {
            return vec![format!("there is no command `cargo {name}`")];
        }
        // A plugin has its own flags.
        if name == "deny" {
            return Vec::new();
        }
        let command = match parse(rest) {
            Ok(command) => command,
            Err(flag) => return vec![format!("`cargo {name}` has no flag {flag}")],
        };
        let mut problems = self.names(&command);
        if name == "run" && problems.is_empty() {
            problems.extend(self.run(&command));
        }
        if name == "test" {
            problems.extend(filters(&command));
        }
        problems
    }

    /// Whether all that a command names exists.
    fn names(&self, command: &Parsed) -> Vec<String> {
        let mut problems = Vec::new();
        let mut named = Vec::new();
        for (flag, value) in &command.flags {
            if ["-p", "--package", "--exclude"].contains(flag) && !is_variable(value) {
                match packages().iter().find(|it| it.name == *value) {
                    Some(package) if *flag != "--exclude" => named.push(package),
                    Some(_) => {}
                    None => problems.push(format!("there is no package {value}")),
                }
            }
        }
        let all: Vec<&Package> = packages().iter().collect();
        let searched = if named.is_empty() { &all } else { &named };
        let has = |is_it: &dyn Fn(&Target) -> bool, name: &str| {
            searched.iter().flat_map(|it| &it.targets).any(|it| is_it(it) && it.name == name)
        };
        for (flag, value) in command.flags.iter().filter(|(_, value)| !is_variable(value)) {
            let exists = match *flag {
                "--bin" => has(&Target::is_bin, value),
                "--example" => has(&Target::is_example, value),
                "--test" => has(&Target::is_test, value),
                "--bench" => has(&Target::is_bench, value),
                "--profile" => self.profiles.contains(*value),
                "--features" | "-F" => value.split([',', ' ']).all(|feature| {
                    let name = feature.rsplit('/').next().unwrap();
                    searched.iter().any(|it| it.features.contains_key(name))
                }),
                _ => true,
            };
            if !exists {
                problems.push(format!("there is no {} {value}", flag.trim_start_matches('-')));
            }
        }
        problems
    }

    /// Whether the program that is run exists, and has the flags that it gets.
    fn run(&self, command: &Parsed) -> Option<String> {
        let value = |flags: &[&str]| {
            command.flags.iter().find(|(flag, _)| flags.contains(flag)).map(|(_, value)| *value)
        };
        let package = value(&["-p", "--package"]);
        if package.is_some_and(is_variable) {
            return None;
        }
        let target = match value(&["--bin", "--example"]) {
            Some(target) if is_variable(target) => return None,
            Some(target) => target,
            None => {
                let Some(package) = package else { return Some("which package?".to_owned()) };
                let package = packages().iter().find(|it| it.name == package)?;
                let mut bins = package.targets.iter().filter(|it| it.is_bin());
                let only = match (bins.next(), bins.next()) {
                    (Some(only), None) => Some(only.name.as_str()),
                    _ => None,
                };
                match package.default_run.as_deref().or(only) {
                    Some(bin) => bin,
                    None => return Some(format!("which program of {}?", package.name)),
                }
            }
        };
        let is_it = |of: &str, name: &str| name == target && package.is_none_or(|it| it == of);
        let known: BTreeSet<&str> = self
            .flags
            .iter()
            .filter(|((of, name), _)| is_it(of, name))
            .flat_map(|(_, flags)| flags.iter().map(String::as_str))
            .collect();
        let mut commands = self.commands.iter().filter(|((of, name), _)| is_it(of, name));
        let first = command.program.first().filter(|it| !it.starts_with('-') && !is_variable(it));
        if let (Some(first), Some((_, commands))) = (first, commands.next())
            && !commands.is_empty()
            && !commands.contains(first)
        {
            return Some(format!("{target} has no command {first}"));
        }
        let flags = command.program.iter().filter(|it| it.starts_with("--"));
        let mut flags = flags.map(|it| it.split('=').next().unwrap());
        let wrong = flags.find(|flag| !known.contains(flag))?;
        Some(format!("{target} has no flag {wrong}"))
    }

    /// Flags without a command, of Cargo or of a program.
    fn fragment(&self, words: &[String]) -> Vec<String> {
        if let Ok(command) = parse(words) {
            let mut problems = self.names(&command);
            let names_program = command.flags.iter().any(|(flag, _)| *flag == "--bin");
            if (names_program || !command.program.is_empty()) && problems.is_empty() {
                problems.extend(self.run(&command));
            }
            return problems;
        }
        let is_known = |flag: &str| self.flags.values().any(|flags| flags.contains(flag));
        let flags = words.iter().filter(|it| it.starts_with("--") && it.len() > 2);
        let flags = flags.map(|it| it.split('=').next().unwrap());
        let wrong = flags.filter(|it| !is_known(it) && !is_of_cargo(it));
        wrong.map(|flag| format!("no program has a flag {flag}")).collect()
    }

    fn script(&self, script: &str, words: &[String]) -> Vec<String> {
        if !root().join(script).is_file() {
            return vec![format!("there is no {script}")];
        }
        let Some(steps) = self.steps.get(script) else { return Vec::new() };
        let wrong =
            words.iter().filter(|it| !is_variable(it) && *it != "--list" && !steps.contains(it));
        wrong.map(|step| format!("{script} has no step {step}")).collect()
    }
}

impl Default for Known {
    fn default() -> Self {
        Self::new()
    }
}

/// Parses the arguments of a Cargo command. The error is a flag that Cargo does not
/// have.
fn parse(words: &[String]) -> Result<Parsed<'_>, &str> {
    let mut parsed = Parsed::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if word == "--" {
            parsed.program = &words[at..];
            break;
        }
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word.as_str(), None),
        };
        if !word.starts_with('-') {
            parsed.others.push(word);
        } else if WITH_VALUE.contains(&flag) {
            let value = value.or_else(|| {
                at += 1;
                words.get(at - 1).map(String::as_str)
            });
            // A flag that is quoted alone has none.
            parsed.flags.push((flag, value.unwrap_or("VALUE")));
        } else if ALONE.contains(&flag) {
            parsed.flags.push((flag, ""));
        } else {
            return Err(flag);
        }
    }
    Ok(parsed)
}

fn is_of_cargo(flag: &str) -> bool {
    WITH_VALUE.contains(&flag) || ALONE.contains(&flag)
}

/// Whether a word stands for others: `NAME`, `STEP...`, `<name>`, `$name`.
fn is_variable(word: &str) -> bool {
    let name = word.trim_end_matches(['.', '…', ']']).trim_start_matches('[');
    let is_upper = |c: char| c.is_ascii_uppercase() || c == '_';
    name.is_empty() || name.chars().all(is_upper) || name.contains(['$', '<', '{'])
}

/// What is wrong with the names of tests in a command: each part of one has to be
/// a part of a name in its package.
fn filters(command: &Parsed) -> Vec<String> {
    let is_named = |it: &&Package| {
        command.flags.iter().any(|(flag, value)| *flag == "-p" && it.name == *value)
    };
    let mut known = BTreeSet::new();
    for package in packages().iter().filter(is_named) {
        for module in package.targets.iter().flat_map(|target| tree(package, target)) {
            known.extend(module.path);
            known.extend(idents(&tokens(&read(module.file))));
        }
    }
    let parts = command.others.iter().flat_map(|filter| words(filter));
    let wrong = parts.filter(|part| !known.iter().any(|it| it.contains(*part)));
    wrong.map(|part| format!("no test has {part} in its name")).collect()
}

/// The flags of a program: those that `clap` parses, or else strings in this form.
fn flags_of(package: &Package, target: &Target) -> BTreeSet<String> {
    let (mut read, mut strings) = (BTreeSet::new(), BTreeSet::new());
    for module in tree(package, target) {
        let tokens = tokens(&module.text);
        read.extend(clap_flags(&tokens));
        let texts = self::strings(&tokens).into_iter();
        strings.extend(texts.filter(|it| it.starts_with("--") && it.len() > 2));
    }
    if read.is_empty() {
        return strings;
    }
    read.extend(["--help", "--version"].map(str::to_owned));
    read
}

/// The long flags of fields: `#[arg(long)] name: …`, `#[arg(long = "name")] …`.
fn clap_flags(trees: &[TokenTree]) -> Vec<String> {
    let mut flags = Vec::new();
    runs(trees, &mut |run| {
        for at in 0..run.len() {
            let Some((attribute, _)) = attribute(&run[at..]) else { continue };
            let attribute = inner(attribute);
            let list = group(attribute.get(1), Delimiter::Parenthesis).map(inner);
            let Some(list) = list.filter(|_| is_ident(attribute.first(), "arg")) else { continue };
            let long = list.iter().position(|tree| is_ident(Some(tree), "long"));
            let Some(long) = long else { continue };
            let field = run.get(at + before_item(&run[at..])).map(ToString::to_string);
            let own = is_punct(list.get(long + 1), '=').then(|| string(list.get(long + 2)));
            let name = own.flatten().or(field).unwrap_or_default();
            flags.push(format!("--{}", name.replace('_', "-")));
        }
    });
    flags
}

/// The commands that `clap` makes of an `enum` with `derive(Subcommand)`.
fn clap_commands(trees: &[TokenTree]) -> Vec<String> {
    let mut commands = Vec::new();
    runs(trees, &mut |run| {
        for at in 0..run.len() {
            let Some((attribute, _)) = attribute(&run[at..]) else { continue };
            let attribute = inner(attribute);
            let list = group(attribute.get(1), Delimiter::Parenthesis).map(inner);
            let derives = list.filter(|_| is_ident(attribute.first(), "derive"));
            let derives = derives.unwrap_or_default();
            let item = at + before_item(&run[at..]);
            let is_enum = is_ident(run.get(item), "enum");
            if !is_enum || !derives.iter().any(|it| is_ident(Some(it), "Subcommand")) {
                continue;
            }
            let variants = group(run.get(item + 2), Delimiter::Brace).map(inner);
            let variants = variants.unwrap_or_default();
            let names = variants.split(|it| is_punct(Some(it), ','));
            let names = names.filter_map(|it| it.get(before_item(it)).map(ToString::to_string));
            commands.extend(names.map(|name| name.to_lowercase()));
        }
    });
    commands
}

/// The steps that a script of `.ci` lists.
///
/// # Panics
/// If it fails.
#[must_use]
pub fn steps(script: &str) -> Vec<String> {
    let output = Command::new(root().join(script)).arg("--list").output().expect(script);
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names");
    let steps: Vec<String> = names.lines().map(str::to_owned).collect();
    assert!(steps.len() > 1, "{script} lists {steps:?}");
    steps
}

/// The options that `STRATA_CONF` can set, from their table.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn options() -> BTreeSet<String> {
    let core = packages().iter().find(|it| it.name == "allocator-core").expect("the allocator");
    let table = tokens(&read(&folder(core).join("src/process/options.rs")));
    let mut keys = BTreeSet::new();
    runs(&table, &mut |run| {
        for at in 0..run.len() {
            if is_ident(run.get(at), "name") && is_punct(run.get(at + 1), ':') {
                keys.extend(string(run.get(at + 2)));
            }
        }
    });
    assert!(!keys.is_empty(), "no options");
    keys
}

/// The keys that a text sets in `STRATA_CONF`; `key` and `KEY` stand for any.
#[must_use]
pub fn keys_set(text: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    for (_, value) in
        text.match_indices("STRATA_CONF=").map(|(at, it)| text.split_at(at + it.len()))
    {
        let goes_on = |c: char| c.is_ascii_alphanumeric() || "_:,.\"'".contains(c);
        let value = &value[..value.find(|c| !goes_on(c)).unwrap_or(value.len())];
        let pairs = value.trim_matches(['"', '\'', '.', ',']).split(',');
        keys.extend(pairs.map(|pair| pair.split(':').next().unwrap()));
    }
    keys.retain(|key| !["", "key", "KEY"].contains(key));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_can_be_named() {
        let known = Known::new();
        for line in [
            "cargo run --release -p benches -- --quick --json=x",
            "STRATA_CONF=help:true cargo run -p benches -- micro --rows pair  # a comment",
            "cargo test -p laws --lib imports:: && cargo build --workspace --exclude allocator-capi",
            "cargo test -p laws --test layers nothing_uses",
            "cargo run -p subject --features jemalloc,mimalloc --profile thin --bin subject",
            "cargo run -p PACKAGE --bin NAME --features X",
            "cargo loom",
            "cargo +nightly deny check",
            ".ci/run format lints && .ci/run --list && .ci/run STEP...",
            "-p benches -- footprint --mode c",
            "-p benches -- COMMAND",
            "--quick",
            "--rows 7 --scale 0.5",
            "`it's prose",
            "sudo apt-get install --yes valgrind",
        ] {
            assert_eq!(known.problems(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn what_does_not_exist_is_found() {
        let known = Known::new();
        for (line, problem) in [
            ("cargo run -p bench", "there is no package bench"),
            ("cargo run -p benches --bin macro", "there is no bin macro"),
            ("cargo run -p laws --bin benches", "there is no bin benches"),
            ("cargo run -p benches --example none", "there is no example none"),
            ("cargo test -p laws --test none", "there is no test none"),
            ("cargo test -p laws --lib no_such_name", "no test has no_such_name in its name"),
            ("cargo run -p benches --features none", "there is no features none"),
            ("cargo build --profile none", "there is no profile none"),
            ("cargo run -p benches -- micro --none", "benches has no flag --none"),
            ("cargo run -p benches -- macro", "benches has no command macro"),
            ("env A_B=c cargo loam", "there is no command `cargo loam`"),
            ("cargo build --relase", "`cargo build` has no flag --relase"),
            ("cargo run -p laws", "which program of laws?"),
            ("cd x && .ci/none", "there is no .ci/none"),
            (".ci/run formal", ".ci/run has no step formal"),
            ("--bin none", "there is no bin none"),
            ("-p benches -- --none", "benches has no flag --none"),
            ("-p benches -- macro", "benches has no command macro"),
            ("--none", "no program has a flag --none"),
        ] {
            assert_eq!(known.problems(line), [problem], "{line}");
        }
    }

    #[test]
    fn flags_are_those_of_fields() {
        let text =
            "struct A { #[arg(long, value_name = \"N\")] pub one_two: u8, #[arg(short)] b: u8,
            /// c\n #[arg(long = \"three\")] #[serde(skip)] d: u8 }";
        assert_eq!(clap_flags(&tokens(text)), ["--one-two", "--three"]);
    }

    #[test]
    fn commands_are_variants() {
        let text = "#[derive(Debug, Subcommand)] pub(crate) enum A { /// c\n One(B), #[command(hide = true)] Two { c: u8 }, Three }
            #[derive(Debug)] enum Other { Four }";
        assert_eq!(clap_commands(&tokens(text)), ["one", "two", "three"]);
    }

    #[test]
    fn keys_are_read_from_texts() {
        let text = "`STRATA_CONF=explain:exit`, STRATA_CONF=key:value,key:value, STRATA_CONF=\"a:1,b:2\" x";
        assert_eq!(keys_set(text), ["explain", "a", "b"]);
        assert!(options().contains("explain"));
    }
}
