//! How often each instruction of a program is executed, by callgrind.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use crate::suites::instructions::callgrind;

/// Executions by address, as the program's file has it.
pub(super) type Counts = HashMap<u64, u64>;

/// Counts a run of the program with these arguments; `dir` is for callgrind's file. The second
/// number is of the instructions of all, libraries included.
pub(super) fn run(program: &Path, arguments: &[&str], dir: &Path) -> Result<(Counts, u64)> {
    // Addresses as they are, and names in full.
    let options = ["--dump-instr=yes", "--compress-pos=no", "--compress-strings=no"];
    let text = callgrind::file(program, arguments, &options, dir)?;
    Ok(parse(&text, &program.display().to_string()))
}

/// Parses callgrind's format with addresses: each line of costs has the address, the line of the
/// source, and the count; the one after `calls=` has the costs of the callee, and is left out.
fn parse(text: &str, object: &str) -> (Counts, u64) {
    let (mut counts, mut all) = (Counts::new(), 0);
    let (mut is_object, mut is_call) = (false, false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            is_object = name == object;
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if let Some((at, count)) = cost(line)
            && !std::mem::take(&mut is_call)
        {
            all += count;
            if is_object {
                *counts.entry(at).or_default() += count;
            }
        }
    }
    (counts, all)
}

/// An address and its count.
fn cost(line: &str) -> Option<(u64, u64)> {
    let mut words = line.strip_prefix("0x")?.split_whitespace();
    let at = u64::from_str_radix(words.next()?, 16).ok()?;
    Some((at, words.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_those_of_the_object_without_those_of_callees() {
        let text = "\
positions: instr line
events: Ir

ob=/a/program
fl=a.rs
fn=main
0x10 3 7
cob=/b/library
cfn=other
calls=2 0x99 0
0x14 4 100
0x18 5 2

ob=/b/library
fn=other
0x99 1 100

ob=/a/program
fn=main
0x10 3 1
totals: 110
";
        let (counts, all) = parse(text, "/a/program");
        assert_eq!(counts, HashMap::from([(0x10, 8), (0x18, 2)]));
        assert_eq!(all, 110);
    }
}
