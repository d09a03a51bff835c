//! The functions of addresses in another process, by the files of its program and libraries.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{Endianness, Object as _, ObjectSegment as _, ObjectSymbol};
use strata_profile::{Code, Function, Object, Process};

use crate::copies;
use crate::memory::Memory;
use crate::problem::Problem;
use crate::process::Watched;

/// The objects of a process, and the functions of the addresses that were asked for.
#[derive(Debug)]
pub(crate) struct Names {
    objects: Vec<Object>,
    functions: HashMap<usize, Vec<Function>>,
}

impl Process for Names {
    fn objects(&self) -> Vec<Object> {
        self.objects.clone()
    }

    fn functions(&self, address: usize) -> Vec<Function> {
        self.functions.get(&address).cloned().unwrap_or_default()
    }
}

impl Names {
    /// Looks up the functions at addresses behind calls. What is not known has none.
    ///
    /// # Errors
    /// The process has ended, or may not be read.
    pub(crate) fn of(
        process: &Watched,
        memory: &Memory,
        addresses: impl Iterator<Item = usize>,
    ) -> Result<Self, Problem> {
        let objects = objects(process, memory)?;
        let mut names = Names { objects: Vec::new(), functions: HashMap::new() };
        let mut by_object = vec![Vec::new(); objects.len()];
        let has = |object: &Object, place: usize| {
            object.code.iter().find(|code| (code.start..code.end).contains(&place)).copied()
        };
        for address in addresses {
            // In the call, which is before the address.
            let place = address.wrapping_sub(1);
            let found = objects.iter().enumerate().find_map(|(n, it)| Some((n, has(it, place)?)));
            if let Some((n, code)) = found {
                by_object[n].push((address, (place - code.start) as u64 + code.offset));
            }
        }
        for (object, mut places) in objects.iter().zip(by_object) {
            places.sort_unstable();
            places.dedup();
            if let Some(source) = Source::open(process, object).filter(|_| !places.is_empty()) {
                let found = places.into_iter().map(|(at, place)| (at, source.functions(place)));
                names.functions.extend(found);
            }
        }
        names.objects = objects;
        Ok(names)
    }
}

/// The program and the libraries.
fn objects(process: &Watched, memory: &Memory) -> Result<Vec<Object>, Problem> {
    let mut code = BTreeMap::<PathBuf, Vec<Code>>::new();
    for (path, part) in process.code()? {
        code.entry(path).or_default().push(part);
    }
    let starts = process.objects()?;
    let object = |(path, code): (PathBuf, Vec<Code>)| {
        let start = starts.iter().find(|it| Path::new(&it.path) == path);
        let build_id = start.and_then(|it| copies::build_id(memory, it.at));
        Object { path, code, build_id: build_id.unwrap_or_default() }
    };
    Ok(code.into_iter().map(object).collect())
}

/// The file of an object, and the one with its debug information.
struct Source {
    loader: Loader,
    /// The parts that are mapped: the places in the file, and the address of the first as the
    /// file has it.
    segments: Vec<(Range<u64>, u64)>,
    /// What it exports: the addresses, and the name.
    exported: Vec<(Range<u64>, String)>,
}

impl Source {
    /// Opens the file as the process has it: it may be in a container, and that of the program may
    /// be gone. `None`: there is none, or it is another one now.
    fn open(process: &Watched, object: &Object) -> Option<Self> {
        let proc = PathBuf::from(format!("/proc/{}", process.pid()));
        let is_program = fs::read_link(proc.join("exe")).is_ok_and(|it| it == object.path);
        let path = if is_program {
            proc.join("exe")
        } else {
            proc.join("root").join(object.path.strip_prefix("/").ok()?)
        };
        let bytes = fs::read(&path).ok()?;
        let file = ElfFile64::<Endianness>::parse(&*bytes).ok()?;
        let id = file.build_id().ok().flatten().unwrap_or_default();
        if id != object.build_id {
            return None;
        }
        let segments = file.segments().map(|it| {
            let (start, bytes) = it.file_range();
            (start..start + bytes, it.address())
        });
        let symbols = file.dynamic_symbols().filter(ObjectSymbol::is_definition);
        let place = |it: &ElfSymbol64<'_, '_>| it.address()..it.address() + it.size();
        let named = symbols.filter_map(|it| Some((place(&it), it.name().ok()?.to_owned())));
        let mut exported: Vec<_> = named.collect();
        exported.sort_unstable_by_key(|(place, _)| place.start);
        let separate = separate(id).and_then(|path| Loader::new(proc.join("root").join(path)).ok());
        Some(Source {
            loader: separate.or_else(|| Loader::new(&path).ok())?,
            segments: segments.collect(),
            exported,
        })
    }

    /// The functions at a place in the file.
    fn functions(&self, place: u64) -> Vec<Function> {
        let Some((part, address)) = self.segments.iter().find(|(part, _)| part.contains(&place))
        else {
            return Vec::new();
        };
        let address = address + (place - part.start);
        let mut found = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.as_ref().and_then(|it| it.demangle().ok());
                let at = frame.location;
                found.extend(name.map(|name| Function {
                    name: name.into_owned(),
                    file: at.as_ref().and_then(|it| it.file).unwrap_or_default().to_owned(),
                    line: at.as_ref().and_then(|it| it.line).unwrap_or(0),
                }));
            }
        }
        if found.is_empty() {
            let name = self.loader.find_symbol(address).or_else(|| self.exported(address));
            found.extend(name.map(|name| Function {
                name: addr2line::demangle_auto(name.into(), None).into_owned(),
                file: String::new(),
                line: 0,
            }));
        }
        found
    }

    /// The exported function that an address is in.
    fn exported(&self, address: u64) -> Option<&str> {
        let after = self.exported.partition_point(|(place, _)| place.start <= address);
        let (place, name) = &self.exported[after.checked_sub(1)?];
        place.contains(&address).then_some(name)
    }
}

/// Where distributions have the debug information of a file with this id, without the first slash.
fn separate(id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = id.split_first()?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let name = format!("{}/{}.debug", hex(&[*first]), hex(rest));
    Some(Path::new("usr/lib/debug/.build-id").join(name))
}
