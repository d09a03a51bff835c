//! Leaves out the protocols' functions, one at a time, and checks that a model fails
//! for each: `cargo run -p loom-tests --bin deletion`.
//!
//! The allocator's files are copied. In the copy, each function below begins with a
//! check whether it is the one to be left out; if so, it returns the value given here.
//! The models are built on the copy once. All must pass with nothing left out; then
//! they are run with one function left out after another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// A function: its file, the text after which it is looked for, its name, and what it
/// returns when it is left out.
type Function = (&'static str, &'static str, &'static str, &'static str);

const FUNCTIONS: &[Function] = &[
    ("lock", "impl Lock", "try_lock", "None"),
    ("lock", "impl Lock", "lock", "None"),
    ("lock", "impl Lock", "lock_slow", "None"),
    ("lock", "impl Lock", "is_held_here", "false"),
    ("lock", "impl Drop", "drop", "()"),
    ("once", "impl Once", "is_done", "true"),
    ("once", "impl Once", "run", "Done::ByOthers"),
    ("later", "impl Later", "is_empty", "false"),
    ("later", "impl Later", "keep", "()"),
    ("later", "impl Later", "take_all", "()"),
    ("committed", "impl Committed", "charge", "Ok(())"),
    ("committed", "impl Committed", "discharge", "()"),
    ("committed", "impl Committed", "may_be_over", "false"),
    ("committed", "impl Committed", "check_over", "false"),
    ("committed", "impl Committed", "mark_told", "false"),
    ("committed", "impl Committed", "rearm", "()"),
    ("committed", "impl Committed", "set_limit", "()"),
    ("committed", "impl Committed", "set_hard_limit", "()"),
    ("helper_state", "impl HelperState", "is_running", "true"),
    ("helper_state", "impl HelperState", "start", "Start::Runs"),
    ("helper_state", "impl HelperState", "begin_leaving", "()"),
    ("helper_state", "impl HelperState", "stay", "()"),
    ("helper_state", "impl HelperState", "try_end", "true"),
    ("helper_state", "impl HelperState", "end", "()"),
    ("published", "impl PublishedCount", "get", "0"),
    ("published", "impl PublishedCount", "publish", "()"),
    ("published", "impl<T>", "get", "None"),
    ("published", "impl<T>", "publish", "()"),
    ("live", "impl<T: Copy", "is_empty", "true"),
    ("live", "impl<T: Copy", "insert", "false"),
    ("live", "impl<T: Copy", "remove", "None"),
    ("purge", "", "purge_all", "0"),
    ("purge", "", "make_room", "false"),
    ("purge", "", "purge_locked", "0"),
    ("purge", "", "purge_chunk", "0"),
    ("purge", "", "purge_granules", "0"),
    ("limit", "", "enforce", "()"),
    ("limit", "", "is_over", "false"),
    ("limit", "", "give_back", "()"),
    ("callback", "impl<F: Copy", "begin", "None"),
    ("usage", "", "took_span", "()"),
    ("usage", "", "gave_span", "()"),
    ("usage", "", "cleaned", "()"),
    ("usage", "", "unmapped", "()"),
    ("arena", "", "claim_in", "Ok(None)"),
    ("arena", "", "new_chunk", "None"),
    ("arena", "", "release_spans", "()"),
    ("arena", "", "give_back", "()"),
    ("registry", "impl Records", "take_free", "None"),
    ("registry", "impl Records", "put_free", "()"),
    ("registry", "impl Records", "put_used", "()"),
    ("registry", "impl Records", "take_used", "None"),
    ("registry", "", "get_or_create", "None"),
    ("registry", "", "take_record", "None"),
    ("registry", "", "new_record", "None"),
    ("registry", "", "thread_ends", "true"),
    ("registry", "", "end_cache", "()"),
    ("registry", "", "put_record", "()"),
    ("registry", "", "purge", "0"),
    ("remote_queue", "impl BatchContents", "extract", "()"),
    ("remote_queue", "impl RemoteQueue", "push", "Ok(1)"),
    ("remote_queue", "impl RemoteQueue", "has_batches", "false"),
    ("remote_queue", "impl RemoteQueue", "is_closed", "false"),
    ("remote_queue", "impl RemoteQueue", "take_all", "ptr::null_mut()"),
    ("remote_queue", "impl RemoteQueue", "close", "ptr::null_mut()"),
    ("remote_queue", "impl RemoteQueue", "reopen", "()"),
    ("granules", "impl Granules", "reset_free", "()"),
    ("granules", "impl Granules", "free_seen", "0"),
    ("granules", "impl Granules", "claim", "None"),
    ("granules", "impl Granules", "claim_these", "0"),
    ("granules", "impl Granules", "give_back", "0"),
    ("granules", "impl Granules", "take_dirty", "0"),
    ("granules", "impl Granules", "clean", "Clean { claimed: 0, dirty: 0, cleaned: 0 }"),
    ("granules", "impl Granules", "claim_all", "false"),
    ("free_space_index", "impl FreeSpaceIndex", "claim", "None"),
    ("standby", "impl Standby", "put", "None"),
    ("standby", "impl Standby", "take", "None"),
    ("tail", "impl Tail", "set", "()"),
    ("tail", "impl Tail", "set_again", "()"),
    ("tail", "impl Tail", "take", "None"),
    ("tail", "impl Tail", "free", "Owner::Leaves"),
    ("tail", "impl Tail", "begin_purge", "None"),
    ("tail", "impl Tail", "end_purge", "false"),
    ("free_space_index", "impl FreeSpaceIndex", "claim_chunk", "None"),
    ("free_space_index", "impl FreeSpaceIndex", "give_back", "()"),
    ("free_space_index", "impl FreeSpaceIndex", "mark", "()"),
    ("free_space_index", "impl FreeSpaceIndex", "mark_length", "()"),
    ("free_space_index", "impl FreeSpaceIndex", "find", "None"),
    ("free_space_index", "impl FreeSpaceIndex", "clear", "()"),
    ("span", "impl Span ", "heap", "NO_HEAP"),
    ("span", "impl Span ", "set_heap", "()"),
    ("span", "impl Body", "carve", "()"),
    ("span", "impl Body", "take", "0"),
    ("span", "impl Body", "put", "(1, Put::Kept)"),
    ("span", "impl Body", "clear_holes", "()"),
    ("span", "impl Body", "note_holes", "()"),
    ("span", "impl Body", "purgeable_units", "0"),
    ("span", "impl Body", "all_free", "true"),
    ("span", "impl SpanList", "push", "()"),
    ("span", "impl SpanList", "remove", "()"),
    ("span", "impl DetachedSpans", "push", "()"),
    ("span", "impl DetachedSpans", "pop", "None"),
    ("heap", "impl Heap", "try_lock", "None"),
    ("heap", "impl Heap", "lock", "None"),
    ("heap", "impl Heap", "push", "Ok(1)"),
    ("heap", "impl LockedHeap", "take", "0"),
    ("heap", "impl LockedHeap", "put", "0"),
    ("heap", "impl LockedHeap", "relist", "()"),
    ("heap", "impl LockedHeap", "next_received", "None"),
    ("heap", "impl LockedHeap", "put_all_received", "core::ptr::null_mut()"),
    ("heap", "impl LockedHeap", "drain", "core::ptr::null_mut()"),
    ("heap", "impl LockedHeap", "close_remote_queue", "core::ptr::null_mut()"),
    ("heap", "impl LockedHeap", "put_batches", "()"),
    ("heap", "impl LockedHeap", "adopt", "()"),
    ("heap", "impl LockedHeap", "adopt_or_release", "()"),
    ("heap", "impl LockedHeap", "transfer_one", "None"),
    ("heap", "impl LockedHeap", "transfer_class", "()"),
    ("heap", "impl LockedHeap", "transfer_all", "()"),
    ("heap", "impl LockedHeap", "detach", "()"),
    ("heap", "", "set_heap_of", "()"),
    ("heap", "", "init_span", "()"),
    ("heap", "", "clear_owner", "(core::ptr::null_mut(), 0, 0)"),
    ("heap", "impl LockedHeap", "detach_purgeable", "Purgeable::No"),
    ("heap", "impl LockedHeap", "reattach_purged", "DetachedSpans::new()"),
    ("heap", "impl LockedHeap", "evict", "None"),
    ("send", "impl BatchPool", "send", "0"),
    ("send", "impl BatchPool", "send_batch", "()"),
    ("send", "impl BatchPool", "push_batch", "true"),
    ("send", "impl BatchPool", "drain_sleeper", "false"),
    ("send", "impl BatchPool", "recycle", "()"),
    ("send", "", "put_batch", "()"),
    ("send", "", "put_away", "0"),
    ("send", "", "resend", "()"),
    ("send", "", "send_one", "()"),
    ("span_transfer", "", "abandon", "ptr::null_mut()"),
    ("span_transfer", "", "adopt_all", "()"),
    ("span_transfer", "", "transfer_one", "None"),
    ("take_from_heap", "", "take", "Some(0)"),
    ("take_from_heap", "", "take_or_receive", "Refill::Blocks(0)"),
    ("take_from_heap", "", "finish_received", "()"),
    ("span_transfer", "", "purge_span", "SpanPurge::No"),
    ("span_transfer", "", "evict", "None"),
    ("span_transfer", "", "steal", "false"),
    ("take_from_heap", "", "release_and_recycle", "()"),
];

/// Statements that are left out in the same way: the file, and the text.
const STATEMENTS: &[(&str, &str)] = &[
    ("lock", "mine = token | WAIT;"),
    ("free_space_index", "self.top(i / 64, log).fetch_or(bit, ordering::index_again());"),
    ("purge", "usage::cleaned(bytes);"),
    ("purge", "arena::give_back(index, clean.claimed, clean.dirty);"),
    ("registry", "helped::thread_ended();\n    let Some(_held)"),
    ("heap", "span.as_ref().set_heap(to);\n    }\n}\n\n/// Makes a span"),
];

/// A model that runs longer than this has failed.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let start = Instant::now();
    let copy = std::env::temp_dir().join(format!("strata-deletion-{}", std::process::id()));
    let labels = instrument(&copy);
    let model = build(&copy);
    let _ = fs::remove_dir_all(&copy);
    for it in loom_tests::MODELS {
        if let Some(how) = failure(&model, it.name, None) {
            println!("{} fails with nothing left out: {how}", it.name);
            return ExitCode::FAILURE;
        }
    }
    println!("{} models pass with nothing left out", loom_tests::MODELS.len());
    let mut survivors = 0;
    for label in &labels {
        match first_to_fail(&model, label) {
            Some((name, how)) => println!("{label:28} {name} fails: {how}"),
            None => {
                survivors += 1;
                println!("{label:28} NO MODEL FAILS");
            }
        }
    }
    println!("{} left out, {survivors} not detected, {:.0?}", labels.len(), start.elapsed());
    ExitCode::from(u8::from(survivors != 0))
}

/// Copies the allocator's source, and inserts a check into each function. Returns the
/// labels.
fn instrument(copy: &Path) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../allocator-core/src");
    copy_tree(&source, copy);
    let mut labels = vec![];
    for &(file, from, name, instead) in FUNCTIONS {
        let owner = from.trim_start_matches("impl").trim();
        let label = [file, owner, name].join("::").replace("::::", "::");
        edit(copy, file, |text| {
            let from = text.find(from).unwrap_or_else(|| panic!("{label}: no `{from}`"));
            let at = ["(", "<"]
                .iter()
                .filter_map(|open| text[from..].find(&format!("fn {name}{open}")))
                .min()
                .unwrap_or_else(|| panic!("{label}: no such function"));
            let body = from + at + text[from + at..].find("{\n").expect("a body") + 1;
            let question =
                format!("\nif crate::active_twin::deleted({label:?}) {{ return {instead}; }}\n");
            format!("{}{question}{}", &text[..body], &text[body..])
        });
        labels.push(label);
    }
    for &(file, statement) in STATEMENTS {
        let (statement, rest) = statement.split_once('\n').unwrap_or((statement, ""));
        let label = format!("{file}: {statement}");
        edit(copy, file, |text| {
            let whole =
                if rest.is_empty() { statement.into() } else { format!("{statement}\n{rest}") };
            assert_eq!(text.matches(&whole).count(), 1, "{label}");
            let asked = whole.replacen(
                statement,
                &format!("if !crate::active_twin::deleted({label:?}) {{ {statement} }}"),
                1,
            );
            text.replace(&whole, &asked)
        });
        labels.push(label);
    }
    labels
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &copy);
        } else {
            fs::copy(&path, copy).unwrap();
        }
    }
}

/// Changes a file in one of the copy's folders.
fn edit(copy: &Path, file: &str, change: impl FnOnce(&str) -> String) {
    let name = format!("{file}.rs");
    let mut folders = fs::read_dir(copy).unwrap().map(|entry| entry.unwrap().path());
    let path = folders.find_map(|folder| Some(folder.join(&name)).filter(|path| path.exists()));
    let path = path.unwrap_or_else(|| panic!("no {name} in a folder"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, change(&text)).unwrap();
}

/// Builds the models on the copy. Returns the program that runs them.
fn build(copy: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::current_exe().unwrap().parent().unwrap().join("deletion-target");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--profile", "models", "--quiet", "-p", "loom-tests", "--bin", "model"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", &target)
        .env("STRATA_SOURCE", copy)
        .status()
        .unwrap();
    assert!(status.success(), "the instrumented copy does not build");
    target.join("models/model")
}

/// The first model that fails with a function left out, and how. The model that is
/// most likely to fail is tried first.
fn first_to_fail(model: &Path, label: &str) -> Option<(&'static str, String)> {
    let likely = match label.split(':').next() {
        Some("granules") => "granules",
        Some("free_space_index") => "index_claim",
        Some("once") => "init",
        Some("published") => "published",
        Some("purge" | "usage" | "arena") => "purge",
        Some("limit" | "callback") => "limit_enforced",
        Some("registry") => "registry",
        Some("span" | "heap" | "send" | "take_from_heap" | "span_transfer") => "moving",
        _ => "lock",
    };
    let mut names: Vec<_> = loom_tests::MODELS.iter().map(|it| it.name).collect();
    names.sort_by_key(|name| *name != likely);
    names.into_iter().find_map(|name| Some((name, failure(model, name, Some(label))?)))
}

/// How a model fails, if it does, with a function left out or with none.
fn failure(model: &Path, name: &str, label: Option<&str>) -> Option<String> {
    let errors = std::env::temp_dir().join(format!("strata-deletion-{}.err", std::process::id()));
    let mut child = Command::new(model)
        .arg(name)
        .args(label.into_iter().flat_map(|label| [label, "deleted"]))
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(fs::File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let failure = loop {
        if let Some(status) = child.try_wait().unwrap() {
            let text = fs::read_to_string(&errors).unwrap_or_default();
            let reason = text.lines().skip_while(|line| !line.contains("panicked")).nth(1);
            break (!status.success()).then(|| reason.unwrap_or("it aborts").to_owned());
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            break Some("it does not terminate".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let _ = fs::remove_file(&errors);
    failure
}
