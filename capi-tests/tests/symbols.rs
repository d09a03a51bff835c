//! Exports, dependencies and ELF properties of the shared library.

use capi_tests::{library, soname, succeed, unoptimized_library};
use std::collections::{BTreeSet, HashMap};
use std::process::Command;

/// All exported symbols.
const EXPORTS: &[&str] = &[
    // C's, and glibc's extensions.
    "malloc",
    "calloc",
    "realloc",
    "free",
    "cfree",
    "reallocarray",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "free_sized",
    "free_aligned_sized",
    "malloc_trim",
    "mallinfo",
    "mallinfo2",
    "mallopt",
    "malloc_stats",
    "malloc_info",
    // The names under which glibc exports its own allocator a second time.
    "__libc_malloc",
    "__libc_calloc",
    "__libc_realloc",
    "__libc_free",
    "__libc_memalign",
    "__libc_valloc",
    "__libc_pvalloc",
    // Functions of other allocators that programs look for.
    "nallocx",
    "sdallocx",
    "malloc_good_size",
    // Functions of the allocator.
    "strata_version",
    "strata_stats_json",
    "strata_metrics",
    "strata_explain",
    "strata_purge",
    "strata_thread_idle",
    "strata_set_limit",
    "strata_set_hard_limit",
    "strata_on_limit",
    "strata_profile_start",
    "strata_profile_stop",
    "strata_guarded_start",
    "strata_guarded_stop",
    "strata_profile_write",
    // C++'s operators.
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
];

/// All imported symbols. Any of them may have been replaced by another library, so
/// what can be asked of the kernel is not among them, and none is called where an
/// allocation by it would be wrong.
const IMPORTS: &[&str] = &[
    // What the compiler calls for copies, and Rust's `CStr` for lengths.
    "memcpy",
    "memmove",
    "memset",
    "bcmp",
    "strlen",
    // Variables.
    "environ",
    "__rseq_offset",
    // C requires it of a `malloc` that fails.
    "__errno_location",
    // The exit of a thread, and fork, are known to the C library alone.
    // (`pthread_atfork` is not exported; it calls the last of these.)
    "pthread_key_create",
    "pthread_key_delete",
    "pthread_setspecific",
    "__register_atfork",
    // The helper is started by them under ThreadSanitizer only, which must know
    // every thread.
    "__tsan_init",
    "pthread_create",
    "pthread_attr_init",
    "pthread_attr_destroy",
    "pthread_attr_setdetachstate",
    // The end of the process.
    "__cxa_atexit",
    // `malloc_info` writes to a stream.
    "fwrite",
    // Of the dynamic linker, which static programs lack: whose is a pointer that is
    // not ours, who serves with `system`, and where is the C++ runtime?
    "dladdr",
    "dlopen",
    "dlclose",
    "dlsym",
    "dlerror",
    // Of the C++ runtime, which most programs lack: what C++ does when memory runs
    // out.
    "_ZSt15get_new_handlerv",
    "_ZSt17__throw_bad_allocv",
    "_ZTISt9bad_alloc",
    "_ZTISt9exception",
    "_ZTVN10__cxxabiv120__si_class_type_infoE",
    "_ZTVSt9bad_alloc",
    "__cxa_allocate_exception",
    "__cxa_throw",
    // What the C compiler adds to every library.
    "_ITM_deregisterTMCloneTable",
    "_ITM_registerTMCloneTable",
    "__cxa_finalize",
    "__gmon_start__",
];

/// The output of a binutils tool for the library.
fn said(tool: &str, arguments: &[&str]) -> String {
    succeed(Command::new(tool).env("LC_ALL", "C").args(arguments).arg(library()))
}

#[test]
fn exports_are_these() {
    let said = said("nm", &["-D", "--defined-only", "--format=posix"]);
    let names = said.lines().filter_map(|line| line.split(' ').next());
    // A version may follow the name.
    let names: BTreeSet<_> = names.map(|name| name.split('@').next().unwrap_or(name)).collect();
    let wanted: BTreeSet<_> = EXPORTS.iter().copied().collect();
    let missing: Vec<_> = wanted.difference(&names).collect();
    let more: Vec<_> = names.difference(&wanted).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing: {missing:?}; unexpected: {more:?}");
}

#[test]
fn exports_are_functions() {
    for line in said("nm", &["-D", "--defined-only", "--format=posix"]).lines() {
        let kind = line.split(' ').nth(1);
        assert!(matches!(kind, Some("T" | "W")), "{line}");
    }
}

/// Tools tell functions apart by their addresses: valgrind reports a block from
/// `new` that is freed at the address of `free`.
#[test]
fn operators_have_addresses_of_their_own() {
    let mut names = HashMap::<_, Vec<_>>::new();
    for line in said("nm", &["-D", "--defined-only", "--format=posix"]).lines() {
        let words: Vec<_> = line.split(' ').collect();
        names.entry(words[2].to_owned()).or_default().push(words[0].to_owned());
    }
    for same in names.values().filter(|names| names.len() > 1) {
        assert!(same.iter().all(|name| !name.starts_with("_Z")), "one address: {same:?}");
    }
}

#[test]
fn needs_the_c_library_alone() {
    let dynamic = said("readelf", &["-dW"]);
    let needed = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
    let mut count = 0;
    for line in needed {
        assert!(line.contains("[libc.so.6]") || line.contains("[ld-linux"), "{line}");
        count += 1;
    }
    assert!(count > 0, "{dynamic}");
}

/// What nobody defines keeps the library from being loaded. (A weak import may be
/// missing.)
#[test]
fn imports_are_found_in_the_c_library() {
    for library in [library(), unoptimized_library()] {
        let mut nm = Command::new("nm");
        let imports = succeed(nm.args(["-D", "--undefined-only"]).arg(&library));
        let strong = || imports.lines().filter(|line| line.trim_start().starts_with("U "));
        assert!(strong().count() > 0, "{imports}");
        for line in strong() {
            assert!(line.contains("@GLIBC_"), "{}: {line}", library.display());
        }
    }
}

#[test]
fn flags() {
    let dynamic = said("readelf", &["-dW"]);
    let line = |tag: &str| {
        let line = dynamic.lines().find(|line| line.contains(tag));
        line.unwrap_or_else(|| panic!("no {tag} in\n{dynamic}"))
    };
    assert!(line("(FLAGS)").contains("STATIC_TLS"), "{dynamic}");
    assert!(line("(FLAGS_1)").contains("NODELETE"), "{dynamic}");
    let soname = format!("[{}]", soname());
    assert!(line("(SONAME)").contains(&soname), "{dynamic}");
    assert!(!dynamic.contains("TEXTREL"), "{dynamic}");
}

/// The probes for tools, also where the library was stripped.
#[test]
fn probes_are_there() {
    let stripped = capi_tests::scratch().join("libstrata-stripped.so");
    std::fs::copy(library(), &stripped).unwrap();
    succeed(Command::new("strip").arg("--strip-all").arg(&stripped));
    for library in [library(), stripped] {
        let notes = succeed(Command::new("readelf").env("LC_ALL", "C").arg("-nW").arg(library));
        let of = |key: &str| -> Vec<String> {
            let lines = notes.split("Provider: otel_memory").skip(1);
            let lines = lines.flat_map(|note| note.lines().flat_map(|line| line.split(", ")));
            let values = lines.filter_map(|line| line.trim().strip_prefix(key));
            values.map(str::to_owned).collect()
        };
        assert_eq!(of("Name: "), ["alloc", "free"], "{notes}");
        let counts = of("Arguments: ").into_iter().map(|it| it.matches("8@%").count());
        assert_eq!(counts.collect::<Vec<_>>(), [3, 1], "{notes}");
        let addresses = [of("Location: 0x"), of("Base: 0x"), of("Semaphore: 0x")].concat();
        assert_eq!(addresses.len(), 6, "{notes}");
        assert!(addresses.iter().all(|it| it.bytes().any(|digit| digit != b'0')), "{notes}");
    }
}

#[test]
fn variables_of_threads_are_few_and_near() {
    let headers = said("readelf", &["-lW"]);
    let line = headers.lines().find(|line| line.trim_start().starts_with("TLS "));
    let line = line.unwrap_or_else(|| panic!("no TLS in\n{headers}"));
    // Type, offset, two addresses, size in the file, size in memory.
    let size = line.split_whitespace().nth(5).and_then(|size| size.strip_prefix("0x"));
    let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
    assert!(size.is_some_and(|size| size <= 64), "{line}");
    // Thread-local variables are accessed without a function call.
    let imports = said("nm", &["-D", "--undefined-only"]);
    assert!(!imports.contains("__tls_get_addr"), "{imports}");
}

#[test]
fn nothing_is_writable_and_executable() {
    let headers = said("readelf", &["-lW"]);
    let mut stack = false;
    for line in headers.lines().filter(|line| line.contains("0x0")) {
        let words: Vec<_> = line.split_whitespace().collect();
        let flags: String =
            words.iter().skip(6).take(words.len().saturating_sub(7)).copied().collect();
        assert!(!(flags.contains('W') && flags.contains('E')), "{line}");
        stack |= words[0] == "GNU_STACK";
    }
    assert!(stack, "{headers}");
}

/// The newest glibc that it may need. Built with an older one, it needs no newer
/// than that.
const NEWEST_GLIBC: u32 = 34;

#[test]
fn imports_are_these() {
    let said = said("nm", &["-D", "--undefined-only", "--with-symbol-versions"]);
    let imports = said.lines().filter_map(|line| line.split_whitespace().nth(1));
    let mut names = BTreeSet::new();
    for import in imports {
        let (name, version) = import.split_once('@').unwrap_or((import, ""));
        names.insert(name);
        let minor = version.strip_prefix("GLIBC_2.").and_then(|rest| rest.split('.').next());
        let minor = minor.map(|minor| minor.parse::<u32>().expect("a number"));
        assert!(minor.unwrap_or(0) <= NEWEST_GLIBC, "{import}");
    }
    let allowed: BTreeSet<_> = IMPORTS.iter().copied().collect();
    let more: Vec<_> = names.difference(&allowed).collect();
    let fewer: Vec<_> = allowed.difference(&names).collect();
    assert!(more.is_empty() && fewer.is_empty(), "unexpected: {more:?}; not imported: {fewer:?}");
}

/// The instructions of a function up to its first return, not counting that:
/// what the fast path executes, as slow paths are jumps out of it.
fn fast_path(name: &str) -> Vec<String> {
    let library = library();
    let listing = said(
        "objdump",
        &[
            "-d",
            "--no-show-raw-insn",
            "-Mintel",
            "--start-address",
            &address(name),
            library.to_str().unwrap(),
        ],
    );
    let code =
        listing.lines().filter_map(|line| line.split_once(":\t")).map(|(_, code)| code.trim());
    code.take_while(|code| !code.starts_with("ret")).map(str::to_owned).collect()
}

/// The address of a function, in the format of `objdump`.
fn address(name: &str) -> String {
    let library = library();
    let listing = said("nm", &["-D", "--defined-only", library.to_str().unwrap()]);
    let line = listing.lines().find(|line| line.split_whitespace().nth(2) == Some(name));
    format!("0x{}", line.expect("an exported function").split_whitespace().next().unwrap())
}

/// Limits on the instructions of the fast paths, on x86-64.
#[cfg(target_arch = "x86_64")]
#[test]
fn fast_paths_are_short() {
    for (name, most) in [("malloc", 17), ("free", 23), ("_Znwm", 17), ("_ZdlPv", 23)] {
        let path = fast_path(name);
        assert!(path.len() <= most, "{name}: {} instructions\n{}", path.len(), path.join("\n"));
        let calls = path.iter().any(|code| code.starts_with("call") || code.starts_with("lock"));
        assert!(!calls, "{name}:\n{}", path.join("\n"));
    }
}
