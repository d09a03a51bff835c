//! Checks that a program's `malloc` comes from the preloaded library.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Functions that must come from the same library if they are used.
const FAMILY: [&str; 8] = [
    "malloc",
    "free",
    "calloc",
    "realloc",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "malloc_usable_size",
];

/// Runs `command` with all symbols bound at start, and checks where the dynamic
/// linker found the `malloc` family, for the program and all of its libraries.
/// The exit status of the command is ignored.
pub fn check(command: &mut Command, library: &Path) -> Result<()> {
    let program = command.get_program().to_owned();
    let output = command
        .env("LD_DEBUG", "bindings")
        .env("LD_BIND_NOW", "1")
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    judge(&text, &real(library))
}

/// Resolves all names of a file to the same path.
fn real(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn judge(text: &str, library: &str) -> Result<()> {
    let bindings: Vec<Binding<'_>> = text.lines().filter_map(binding).collect();
    let is_direct = |it: &Binding<'_>| real(Path::new(it.to)) == library;
    // A program that takes a function's address may stand for it: libraries are
    // bound to the program then, which jumps to where its own name is bound.
    let is_passed_on = |it: &Binding<'_>| {
        bindings.iter().any(|own| own.from == it.to && own.symbol == it.symbol && is_direct(own))
    };
    let mut bound = BTreeSet::new();
    for it in bindings.iter().filter(|it| FAMILY.contains(&it.symbol)) {
        if !is_direct(it) && !is_passed_on(it) {
            bail!("{} is bound to {}", it.symbol, it.to);
        }
        bound.insert(it.symbol);
    }
    if !(bound.contains("malloc") && bound.contains("free")) {
        bail!("it calls neither malloc nor free");
    }
    Ok(())
}

/// Where the linker has found a symbol that a file uses.
#[derive(Debug, PartialEq)]
struct Binding<'a> {
    from: &'a str,
    symbol: &'a str,
    to: &'a str,
}

/// A binding, from a line such as `7: binding file A [0] to B [0]: normal symbol
/// 'malloc' [VERSION]`, where the opening quote is a backtick.
fn binding(line: &str) -> Option<Binding<'_>> {
    let (_, line) = line.split_once("binding file ")?;
    let (from, line) = line.split_once(" [")?;
    let (_, line) = line.split_once("] to ")?;
    let (to, line) = line.split_once(" [")?;
    let (_, line) = line.split_once("symbol `")?;
    Some(Binding { from, symbol: line.split_once('\'')?.0, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        " 7:\tbinding file /bin/x [0] to /lib/y.so [0]: normal symbol `malloc' [GLIBC_2.2.5]";

    #[test]
    fn a_line_names_the_symbol_and_its_file() {
        let malloc = Binding { from: "/bin/x", symbol: "malloc", to: "/lib/y.so" };
        assert_eq!(binding(LINE), Some(malloc));
        assert_eq!(binding(" 7:\tcalling init: /lib/y.so"), None);
    }

    #[test]
    fn a_program_may_stand_for_the_library_that_it_is_bound_to() {
        let free = LINE.replace("malloc", "free");
        let both = format!("{LINE}\n{free}\n");
        let through = free.replace("/lib/y.so", "/bin/x").replace("file /bin/x", "file /lib/z.so");
        judge(&format!("{both}{through}\n"), "/lib/y.so").unwrap();
        // It is bound to another one, or to none.
        let other = free.replace("/lib/y.so", "/lib/w.so");
        assert!(judge(&format!("{LINE}\n{other}\n{through}\n"), "/lib/y.so").is_err());
        assert!(judge(&format!("{LINE}\n{through}\n"), "/lib/y.so").is_err());
    }

    #[test]
    fn the_whole_family_must_come_from_one_library() {
        let free = LINE.replace("malloc", "free");
        let both = format!("{LINE}\n{free}\n");
        judge(&both, "/lib/y.so").unwrap();
        let error = judge(&both, "/lib/z.so").unwrap_err().to_string();
        assert_eq!(error, "malloc is bound to /lib/y.so");
        let split = format!("{LINE}\n{}", free.replace("y.so", "z.so"));
        assert_eq!(
            judge(&split, "/lib/y.so").unwrap_err().to_string(),
            "free is bound to /lib/z.so"
        );
        assert!(judge(LINE, "/lib/y.so").is_err(), "no free");
    }

    #[test]
    fn a_program_that_is_run_is_judged() {
        let libc = crate::preloaded::Allocator::find("glibc").unwrap().library;
        check(&mut Command::new("/bin/true"), &libc).unwrap();
        assert!(check(&mut Command::new("/bin/true"), Path::new("/bin/true")).is_err());
    }

    #[test]
    fn a_peer_that_is_built_here_is_used() {
        let peer = crate::preloaded::Allocator::find("rpmalloc").unwrap();
        let mut ls = Command::new("/bin/ls");
        check(ls.env_clear().envs(peer.environment()), &peer.library).unwrap();
        let libc = crate::preloaded::Allocator::find("glibc").unwrap().library;
        assert!(check(ls.env_clear().envs(peer.environment()), &libc).is_err());
    }
}
