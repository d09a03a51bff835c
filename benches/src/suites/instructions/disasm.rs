//! Instructions on the straight path through a function, from a disassembly.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The straight path from the entry of a function to a return: conditional
/// branches are not taken, unless the fall-through never returns, as before a
/// panic; unconditional ones are followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StraightPath {
    /// Instructions of the function itself.
    pub(crate) own: u64,
    /// Those plus the straight paths of its callees, if known.
    pub(crate) with_callees: u64,
    /// Branches that were taken because the fall-through does not return.
    pub(crate) taken: u64,
    /// Functions called or jumped to on the path, directly or indirectly; in
    /// brackets if not followed.
    pub(crate) targets: Vec<String>,
}

impl StraightPath {
    fn add(&mut self, rest: StraightPath) {
        self.own += rest.own;
        self.with_callees += rest.with_callees;
        self.taken += rest.taken;
        self.note(rest.targets);
    }

    fn note(&mut self, targets: Vec<String>) {
        for target in targets {
            if !self.targets.contains(&target) {
                self.targets.push(target);
            }
        }
    }
}

struct Instruction {
    mnemonic: String,
    operands: String,
    next: u64,
    function: usize,
}

/// A disassembled program.
#[derive(Default)]
pub(crate) struct Disassembly {
    instructions: HashMap<u64, Instruction>,
    names: Vec<(u64, String)>,
    /// Addresses of pointers that the loader relocates to functions of the
    /// program.
    pointers: HashMap<u64, u64>,
    /// Straight paths by entry; none if no path returns, or not yet.
    known: RefCell<HashMap<u64, Option<StraightPath>>>,
}

impl Disassembly {
    /// Disassembles the program at `path`.
    pub(crate) fn load(path: &Path) -> Result<Disassembly> {
        let mut program =
            Disassembly::parse(&objdump(&["-d", "-C", "-w", "--no-show-raw-insn"], path)?);
        program.pointers = pointers(&objdump(&["-R"], path)?);
        Ok(program)
    }

    fn parse(text: &str) -> Disassembly {
        let mut program = Disassembly::default();
        let mut last: Option<u64> = None;
        for line in text.lines() {
            if let Some((address, name)) = heading(line) {
                program.names.push((address, name.to_owned()));
                last = None;
                continue;
            }
            let Some((address, code)) = line.split_once(":\t") else {
                continue;
            };
            let Ok(address) = u64::from_str_radix(address.trim(), 16) else {
                continue;
            };
            let code = code.trim();
            let (mut mnemonic, mut operands) = code.split_once(' ').unwrap_or((code, ""));
            // Prefixes are separate words.
            while matches!(mnemonic, "notrack" | "bnd" | "rep" | "repz" | "lock") {
                let rest = operands.trim_start();
                (mnemonic, operands) = rest.split_once(' ').unwrap_or((rest, ""));
            }
            if let Some(before) = last.and_then(|last| program.instructions.get_mut(&last)) {
                before.next = address;
            }
            last = Some(address);
            let instruction = Instruction {
                mnemonic: mnemonic.to_owned(),
                operands: operands.trim().to_owned(),
                next: 0,
                function: program.names.len().saturating_sub(1),
            };
            program.instructions.insert(address, instruction);
        }
        program
    }

    /// The straight path of the function called `name`.
    pub(crate) fn straight_path(&self, name: &str) -> Option<StraightPath> {
        let (entry, _) = self.names.iter().find(|(_, n)| n == name)?;
        self.function(*entry)
    }

    fn function(&self, entry: u64) -> Option<StraightPath> {
        if let Some(known) = self.known.borrow().get(&entry) {
            return known.clone();
        }
        // Recursion has no return on this path.
        self.known.borrow_mut().insert(entry, None);
        let path = self.walk(entry, &mut HashSet::new());
        self.known.borrow_mut().insert(entry, path.clone());
        path
    }

    /// The path from `at`; none if it reaches a trap, the end of the function,
    /// a call that does not return, or an address that it has visited.
    fn walk(&self, mut at: u64, seen: &mut HashSet<u64>) -> Option<StraightPath> {
        let mut path = StraightPath::default();
        while seen.insert(at) {
            let instruction = self.instructions.get(&at)?;
            path.own += 1;
            path.with_callees += 1;
            let operands = &instruction.operands;
            match instruction.mnemonic.as_str() {
                m if m.starts_with("ret") => return Some(path),
                "ud2" | "hlt" | "int3" => return None,
                m if m.starts_with("call") => {
                    self.call(&mut path, operands)?;
                    at = instruction.next;
                }
                "jmp" => match self.within(instruction) {
                    Some(target) => at = target,
                    None => {
                        self.call(&mut path, operands)?;
                        return Some(path);
                    }
                },
                m if m.starts_with('j') => {
                    if let Some(rest) = self.walk(instruction.next, seen) {
                        path.add(rest);
                        return Some(path);
                    }
                    path.taken += 1;
                    match self.within(instruction) {
                        Some(target) => at = target,
                        None => {
                            self.call(&mut path, operands)?;
                            return Some(path);
                        }
                    }
                }
                _ => at = instruction.next,
            }
        }
        None
    }

    /// The target of a jump, if it is within the function.
    fn within(&self, jump: &Instruction) -> Option<u64> {
        let target = direct(&jump.operands)?;
        let there = self.instructions.get(&target)?;
        (there.function == jump.function).then_some(target)
    }

    /// Adds the target of a call or tail call; none if it does not return.
    fn call(&self, path: &mut StraightPath, operands: &str) -> Option<()> {
        let pointer = || self.pointers.get(&indirect(operands)?).copied();
        let target = direct(operands).or_else(pointer);
        let callee = target.and_then(|t| Some((t, self.instructions.get(&t)?.function)));
        match callee {
            Some((target, function)) if !self.names[function].1.contains("@plt") => {
                let callee = self.function(target)?;
                path.with_callees += callee.with_callees;
                path.note(vec![self.names[function].1.clone()]);
                path.note(callee.targets);
            }
            _ => path.note(vec![format!("[{}]", symbol(operands))]),
        }
        Some(())
    }
}

fn objdump(options: &[&str], path: &Path) -> Result<String> {
    let output =
        Command::new("objdump").args(options).arg(path).output().context("cannot start objdump")?;
    if !output.status.success() {
        bail!("objdump: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The pointers in a list of relocations: `0000000000001234 R_X86_64_RELATIVE
/// *ABS*+0x5678`.
fn pointers(text: &str) -> HashMap<u64, u64> {
    let pointer = |line: &str| {
        let (place, rest) = line.split_once(" R_X86_64_RELATIVE")?;
        let value = rest.trim().strip_prefix("*ABS*+0x")?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        Some((hex(place)?, hex(value)?))
    };
    text.lines().filter_map(pointer).collect()
}

/// The address and name in a function's heading, `0000000000001234 <name>:`.
fn heading(line: &str) -> Option<(u64, &str)> {
    let (address, rest) = line.split_once(" <")?;
    let name = rest.strip_suffix(">:")?;
    Some((u64::from_str_radix(address, 16).ok()?, name))
}

/// The target address of a direct call or jump: `1234 <name+0x10>`.
fn direct(operands: &str) -> Option<u64> {
    u64::from_str_radix(operands.split_whitespace().next()?, 16).ok()
}

/// The address of the pointer that an indirect call uses: `*0x12(%rip)        #
/// 1234 <name>`.
fn indirect(operands: &str) -> Option<u64> {
    direct(operands.split_once("# ")?.1)
}

/// objdump's name for the target, if it has one, else the operand.
fn symbol(operands: &str) -> &str {
    let name = operands.split_once('<').map(|(_, name)| name);
    name.and_then(|name| name.strip_suffix('>')).unwrap_or(operands)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
x:     file format elf64-x86-64

Disassembly of section .text:

0000000000001000 <box_new>:
    1000:\tpush   %rbx
    1001:\ttest   %rax,%rax
    1004:\tje     1010 <box_new+0x10>
    1006:\tcall   2000 <alloc::small<T>>
    100b:\tjmp    1020 <box_new+0x20>
    1010:\tcall   3000 <slow>
    1015:\tud2
    1020:\tpop    %rbx
    1021:\tret

0000000000002000 <alloc::small<T>>:
    2000:\tmov    %fs:0x0,%rax
    2009:\tjmp    *0x2f00(%rip)        # 5000 <free@GLIBC_2.2.5>

0000000000003000 <slow>:
    3000:\tnotrack jmp *%rax

0000000000004000 <spin>:
    4000:\tnop
    4001:\tjmp    4000 <spin>

0000000000004100 <checked>:
    4100:\tcmp    %rax,%rbx
    4103:\tja     4120 <checked+0x20>
    4105:\tcall   4200 <panic>
    410a:\tnop
    4120:\tret

0000000000004200 <panic>:
    4200:\tpush   %rbx
    4201:\tcall   *0x2f00(%rip)        # 5008 <abort@GLIBC_2.2.5>
";

    #[test]
    fn the_path_falls_through_branches_and_follows_jumps_and_calls() {
        let program = Disassembly::parse(TEXT);
        let path = program.straight_path("box_new").unwrap();
        // push, test, je, call, jmp, pop, ret; and two in the callee.
        assert_eq!((path.own, path.with_callees, path.taken), (7, 9, 0));
        assert_eq!(path.targets, ["alloc::small<T>", "[free@GLIBC_2.2.5]"]);
        assert_eq!(program.straight_path("box"), None);
    }

    #[test]
    fn indirect_jumps_end_a_path_and_are_listed() {
        let path = Disassembly::parse(TEXT).straight_path("slow").unwrap();
        assert_eq!((path.own, path.with_callees), (1, 1));
        assert_eq!(path.targets, ["[*%rax]"]);
    }

    #[test]
    fn a_branch_is_taken_where_falling_through_does_not_return() {
        let path = Disassembly::parse(TEXT).straight_path("checked").unwrap();
        // cmp, ja, ret.
        assert_eq!((path.own, path.with_callees, path.taken), (3, 3, 1));
        assert!(path.targets.is_empty());
    }

    #[test]
    fn a_function_that_never_returns_has_no_path() {
        let program = Disassembly::parse(TEXT);
        assert_eq!(program.straight_path("spin"), None);
        assert_eq!(program.straight_path("panic"), None);
    }

    #[test]
    fn calls_through_the_loaders_pointers_are_followed() {
        let mut program = Disassembly::parse(TEXT);
        program.pointers = pointers(
            "OFFSET           TYPE              VALUE\n\
             0000000000005000 R_X86_64_RELATIVE  *ABS*+0x0000000000003000\n",
        );
        let path = program.straight_path("alloc::small<T>").unwrap();
        assert_eq!((path.own, path.with_callees), (2, 3));
        assert_eq!(path.targets, ["slow", "[*%rax]"]);
    }
}
