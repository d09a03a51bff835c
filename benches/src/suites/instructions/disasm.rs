//! Instructions on the straight path through a function, from the code of a
//! program for x86-64.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use object::elf::{R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT, R_X86_64_RELATIVE};
use object::read::elf::ElfFile64;
use object::{
    Architecture, Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, RelocationFlags,
    RelocationTarget, SectionKind, SymbolKind,
};

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

/// Where a call or jump leads.
enum Target {
    /// To this address.
    Direct(u64),
    /// To what the pointer at this address points to.
    Pointer(u64),
    /// To what only the running program knows.
    Unknown,
}

/// The code of a program.
#[derive(Default)]
pub(crate) struct Disassembly {
    /// Sections by their addresses.
    code: BTreeMap<u64, Vec<u8>>,
    /// Names of functions by their entries.
    names: BTreeMap<u64, String>,
    /// Pointers that the loader relocates to functions of the program.
    pointers: HashMap<u64, u64>,
    /// Pointers that it relocates to functions of libraries.
    imports: HashMap<u64, String>,
    /// Straight paths by entry; none if no path returns, or not yet.
    known: RefCell<HashMap<u64, Option<StraightPath>>>,
}

impl Disassembly {
    /// Reads the program at `path`. One for another processor has no functions.
    pub(crate) fn load(path: &Path) -> Result<Disassembly> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let file = ElfFile64::<object::Endianness>::parse(bytes.as_slice())
            .with_context(|| path.display().to_string())?;
        let mut disassembly = Disassembly::default();
        if file.architecture() != Architecture::X86_64 {
            return Ok(disassembly);
        }
        for section in file.sections().filter(|it| it.kind() == SectionKind::Text) {
            disassembly.code.insert(section.address(), section.data()?.to_vec());
        }
        for symbol in file.symbols().filter(|it| it.kind() == SymbolKind::Text) {
            if let (false, Ok(name)) = (symbol.is_undefined(), symbol.name()) {
                let name = format!("{:#}", rustc_demangle::demangle(name));
                disassembly.names.insert(symbol.address(), name);
            }
        }
        let symbols = file.dynamic_symbol_table();
        for (place, relocation) in file.dynamic_relocations().into_iter().flatten() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
            match (r_type, relocation.target()) {
                (R_X86_64_RELATIVE, _) => {
                    disassembly.pointers.insert(place, relocation.addend() as u64);
                }
                (R_X86_64_GLOB_DAT | R_X86_64_JUMP_SLOT, RelocationTarget::Symbol(index)) => {
                    let symbol = symbols.as_ref().and_then(|it| it.symbol_by_index(index).ok());
                    if let Some(name) = symbol.and_then(|it| it.name().ok().map(str::to_owned)) {
                        disassembly.imports.insert(place, name);
                    }
                }
                _ => {}
            }
        }
        Ok(disassembly)
    }

    /// The straight path of the function called `name`.
    pub(crate) fn straight_path(&self, name: &str) -> Option<StraightPath> {
        let (entry, _) = self.names.iter().find(|(_, n)| *n == name)?;
        self.function(*entry)
    }

    /// Whether the instruction at this address locks its line: it has the prefix, or exchanges a
    /// register with memory.
    pub(crate) fn is_locked(&self, at: u64) -> bool {
        self.instruction(at).is_some_and(|it| {
            let exchanges = it.mnemonic() == Mnemonic::Xchg && it.op0_kind() == OpKind::Memory;
            it.has_lock_prefix() || exchanges
        })
    }

    /// The instruction at this address.
    fn instruction(&self, at: u64) -> Option<Instruction> {
        let (start, code) = self.code.range(..=at).next_back()?;
        let rest = code.get((at - start) as usize..).filter(|rest| !rest.is_empty())?;
        let instruction = Decoder::with_ip(64, rest, at, DecoderOptions::NONE).decode();
        (!instruction.is_invalid()).then_some(instruction)
    }

    /// The entry of the function that this address is in.
    fn entry(&self, at: u64) -> Option<u64> {
        self.names.range(..=at).next_back().map(|(entry, _)| *entry)
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
        let function = self.entry(at);
        while seen.insert(at) && self.entry(at) == function {
            let instruction = self.instruction(at)?;
            path.own += 1;
            path.with_callees += 1;
            let target = target(&instruction);
            let within = match target {
                Target::Direct(to) => (self.entry(to) == function).then_some(to),
                Target::Pointer(_) | Target::Unknown => None,
            };
            at = instruction.next_ip();
            match instruction.flow_control() {
                FlowControl::Return => return Some(path),
                FlowControl::Exception | FlowControl::Interrupt => return None,
                FlowControl::Call | FlowControl::IndirectCall => self.call(&mut path, &target)?,
                FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => match within {
                    Some(to) => at = to,
                    None => {
                        self.call(&mut path, &target)?;
                        return Some(path);
                    }
                },
                FlowControl::ConditionalBranch => {
                    if let Some(rest) = self.walk(at, seen) {
                        path.add(rest);
                        return Some(path);
                    }
                    path.taken += 1;
                    match within {
                        Some(to) => at = to,
                        None => {
                            self.call(&mut path, &target)?;
                            return Some(path);
                        }
                    }
                }
                _ if instruction.mnemonic() == Mnemonic::Hlt => return None,
                _ => {}
            }
        }
        None
    }

    /// Adds the target of a call or tail call; none if it does not return.
    fn call(&self, path: &mut StraightPath, target: &Target) -> Option<()> {
        let known = |entry: &u64| self.names.contains_key(entry);
        let entry = match target {
            Target::Direct(to) => Some(*to).filter(known),
            Target::Pointer(place) => self.pointers.get(place).copied().filter(known),
            Target::Unknown => None,
        };
        let Some(entry) = entry else {
            path.note(vec![format!("[{}]", self.name(target))]);
            return Some(());
        };
        let callee = self.function(entry)?;
        path.with_callees += callee.with_callees;
        path.note(vec![self.names[&entry].clone()]);
        path.note(callee.targets);
        Some(())
    }

    /// What is not followed: a function of a library, by its pointer or by the
    /// stub of the linker that jumps there.
    fn name(&self, target: &Target) -> String {
        let name = match target {
            Target::Direct(to) => self.stub(*to),
            Target::Pointer(place) => self.imports.get(place),
            Target::Unknown => None,
        };
        name.cloned().unwrap_or_else(|| String::from("a pointer"))
    }

    fn stub(&self, mut at: u64) -> Option<&String> {
        let mut instruction = self.instruction(at)?;
        if instruction.mnemonic() == Mnemonic::Endbr64 {
            at = instruction.next_ip();
            instruction = self.instruction(at)?;
        }
        match target(&instruction) {
            Target::Pointer(place) => self.imports.get(&place),
            Target::Direct(_) | Target::Unknown => None,
        }
    }
}

/// Where an instruction leads, if it is a call or a jump.
fn target(instruction: &Instruction) -> Target {
    match instruction.op0_kind() {
        OpKind::NearBranch64 => Target::Direct(instruction.near_branch64()),
        OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
            Target::Pointer(instruction.ip_rel_memory_address())
        }
        _ => Target::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `box_new` calls `alloc`, or `slow` and a trap; `alloc` jumps to a function
    /// of a library, `slow` to what a register has; `spin` never ends; `checked`
    /// has a panic behind a branch that is not taken, and `panic` does not return.
    fn example() -> Disassembly {
        let functions: [(u64, &str, &[u8]); 6] = [
            (
                0x1000,
                "box_new",
                &[
                    0x53, // push rbx
                    0x48, 0x85, 0xc0, // test rax, rax
                    0x74, 0x0a, // je 1010
                    0xe8, 0x05, 0x00, 0x00, 0x00, // call 1010 + …, patched below
                    0xeb, 0x0a, // jmp 1017
                    0x90, 0x90, 0x90, // to 1010
                    0xe8, 0x00, 0x00, 0x00, 0x00, // call, patched below
                    0x0f, 0x0b, // ud2
                    0x5b, // pop rbx
                    0xc3, // ret
                ],
            ),
            // mov rax, fs:[0]; jmp [rip + …]
            (
                0x2000,
                "alloc",
                &[
                    0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, // mov rax, fs:[0]
                    0xff, 0x25, 0xf1, 0x2f, 0x00, 0x00, // jmp [5000]
                ],
            ),
            (0x3000, "slow", &[0xff, 0xe0]),       // jmp rax
            (0x4000, "spin", &[0x90, 0xeb, 0xfd]), // nop; jmp 4000
            (
                0x4100,
                "checked",
                &[
                    0x48, 0x39, 0xc3, // cmp rbx, rax
                    0x77, 0x06, // ja 410b
                    0xe8, 0xf6, 0x00, 0x00, 0x00, // call 4200
                    0x90, // nop
                    0xc3, // ret
                ],
            ),
            // push rbx; call [rip + …]
            (0x4200, "panic", &[0x53, 0xff, 0x15, 0x01, 0x0e, 0x00, 0x00]),
        ];
        let mut disassembly = Disassembly::default();
        for (address, name, code) in functions {
            disassembly.code.insert(address, code.to_vec());
            disassembly.names.insert(address, name.to_owned());
        }
        let mut patch = |at: usize, to: u64| {
            let code = disassembly.code.get_mut(&0x1000).unwrap();
            let offset = to as u32 - (0x1000 + at as u32 + 4);
            code[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        };
        patch(7, 0x2000);
        patch(17, 0x3000);
        disassembly.imports.insert(0x5000, String::from("free"));
        disassembly.imports.insert(0x5008, String::from("abort"));
        disassembly
    }

    #[test]
    fn the_path_falls_through_branches_and_follows_jumps_and_calls() {
        let path = example().straight_path("box_new").unwrap();
        // push, test, je, call, jmp, pop, ret; and two in the callee.
        assert_eq!((path.own, path.with_callees, path.taken), (7, 9, 0));
        assert_eq!(path.targets, ["alloc", "[free]"]);
        assert_eq!(example().straight_path("box"), None);
    }

    #[test]
    fn indirect_jumps_end_a_path_and_are_listed() {
        let path = example().straight_path("slow").unwrap();
        assert_eq!((path.own, path.with_callees), (1, 1));
        assert_eq!(path.targets, ["[a pointer]"]);
    }

    #[test]
    fn a_branch_is_taken_where_falling_through_does_not_return() {
        let path = example().straight_path("checked").unwrap();
        // cmp, ja, ret.
        assert_eq!((path.own, path.with_callees, path.taken), (3, 3, 1));
        assert!(path.targets.is_empty());
    }

    #[test]
    fn a_function_that_never_returns_has_no_path() {
        assert_eq!(example().straight_path("spin"), None);
        assert_eq!(example().straight_path("panic"), None);
    }

    #[test]
    fn calls_through_the_loaders_pointers_are_followed() {
        let mut disassembly = example();
        disassembly.pointers.insert(0x5000, 0x3000);
        let path = disassembly.straight_path("alloc").unwrap();
        assert_eq!((path.own, path.with_callees), (2, 3));
        assert_eq!(path.targets, ["slow", "[a pointer]"]);
    }

    #[test]
    fn functions_of_this_program_are_read() {
        let disassembly = Disassembly::load(&std::env::current_exe().unwrap()).unwrap();
        let is_main = |name: &String| name == "main";
        assert_eq!(disassembly.names.values().any(is_main), std::env::consts::ARCH == "x86_64");
    }
}
