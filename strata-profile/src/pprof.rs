//! The format of pprof, compressed: what `go tool pprof` and most services for profiles read.
//! Its fields are those of `profile.proto` of <https://github.com/google/pprof>.

use std::collections::HashMap;
use std::hash::Hash;
use std::io::Write as _;
use std::time::UNIX_EPOCH;

use allocator_core::Scope;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use crate::process::Object;
use crate::snapshot::Snapshot;
use crate::symbols::Symbols;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

/// A key and a text.
#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    memory_start: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(uint64, tag = "4")]
    file_offset: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(int64, tag = "6")]
    build_id: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "8")]
    has_filenames: bool,
    #[prost(bool, tag = "9")]
    has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// Numbers things in the order in which they come.
struct Numbers<K>(HashMap<K, u64>);

impl<K: Hash + Eq> Numbers<K> {
    /// The number of a thing, from 1 on, and whether it is new.
    fn of(&mut self, thing: K) -> (u64, bool) {
        let next = self.0.len() as u64 + 1;
        let number = *self.0.entry(thing).or_insert(next);
        (number, number == next)
    }
}

/// What a profile is made of, as far as it is known.
struct Builder<'a> {
    profile: Profile,
    objects: Vec<Object>,
    symbols: Symbols<'a>,
    strings: Numbers<String>,
    functions: Numbers<(String, String)>,
    locations: Numbers<usize>,
}

impl Builder<'_> {
    /// The place of a text in the table; the empty one is the first.
    fn text(&mut self, text: &str) -> i64 {
        if text.is_empty() {
            return 0;
        }
        let (number, is_new) = self.strings.of(text.to_owned());
        if is_new {
            self.profile.string_table.push(text.to_owned());
        }
        number as i64
    }

    fn value(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType { kind: self.text(kind), unit: self.text(unit) }
    }

    fn label(&mut self, scope: &Scope) -> Label {
        // A label without a text is none for pprof.
        let value = if scope.value().is_empty() { scope.key() } else { scope.value() };
        Label { key: self.text(scope.key()), str: self.text(value) }
    }

    fn mappings(&mut self) {
        for object in std::mem::take(&mut self.objects) {
            let filename = self.text(&object.path.to_string_lossy());
            let id = object.build_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let build_id = self.text(&id);
            for code in &object.code {
                let id = self.profile.mapping.len() as u64 + 1;
                self.profile.mapping.push(Mapping {
                    id,
                    memory_start: code.start as u64,
                    memory_limit: code.end as u64,
                    file_offset: code.offset,
                    filename,
                    build_id,
                    has_functions: true,
                    has_filenames: true,
                    has_line_numbers: true,
                    has_inline_frames: true,
                });
            }
        }
    }

    fn location(&mut self, address: usize) -> u64 {
        let (id, is_new) = self.locations.of(address);
        if is_new {
            // In the call, which is before the address.
            let place = address as u64 - 1;
            let within = |it: &&Mapping| (it.memory_start..it.memory_limit).contains(&place);
            let mapping_id = self.profile.mapping.iter().find(within).map_or(0, |it| it.id);
            let functions = self.symbols.of_program_at(address).to_vec();
            let line = functions.into_iter().map(|function| Line {
                function_id: self.function(&function.name, &function.file),
                line: function.line.into(),
            });
            let location = Location { id, mapping_id, address: place, line: line.collect() };
            self.profile.location.push(location);
        }
        id
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let (id, is_new) = self.functions.of((name.to_owned(), file.to_owned()));
        if is_new {
            let (name, filename) = (self.text(name), self.text(file));
            self.profile.function.push(Function { id, name, system_name: name, filename });
        }
        id
    }
}

impl Snapshot {
    /// The profile in the format of pprof, compressed by gzip: with the names of functions, inlined
    /// ones too, files and lines, as far as the program has them, and its objects with their
    /// build ids. Samples of a scope have its key and value as a label.
    #[must_use]
    pub fn pprof(&self) -> Vec<u8> {
        let mut builder = Builder {
            profile: Profile { string_table: vec![String::new()], ..Profile::default() },
            objects: self.process().objects(),
            symbols: self.symbols(),
            strings: Numbers(HashMap::new()),
            functions: Numbers(HashMap::new()),
            locations: Numbers(HashMap::new()),
        };
        let kinds = [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ];
        builder.profile.sample_type =
            kinds.iter().map(|(kind, unit)| builder.value(kind, unit)).collect();
        builder.profile.default_sample_type = builder.text("inuse_space");
        builder.profile.period_type = Some(builder.value("space", "bytes"));
        builder.profile.period = self.rate as i64;
        let since_epoch = self.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        builder.profile.time_nanos = since_epoch.as_nanos() as i64;
        builder.profile.duration_nanos = self.spent.as_nanos() as i64;
        builder.mappings();
        for entry in &self.entries {
            let frames = builder.symbols.of_program(&entry.frames);
            let location_id = frames.iter().map(|frame| builder.location(*frame)).collect();
            let (allocated, used) = (entry.allocated, entry.in_use);
            let value = vec![allocated.blocks, allocated.bytes, used.blocks, used.bytes];
            let label = entry.scope.iter().map(|scope| builder.label(scope)).collect();
            builder.profile.sample.push(Sample { location_id, value, label });
        }
        let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
        // Writing to a vector does not fail.
        let _ = compressed.write_all(&builder.profile.encode_to_vec());
        compressed.finish().unwrap_or_default()
    }
}
