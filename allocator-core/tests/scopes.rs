//! What is sampled in a scope is counted there, until it is freed, wherever that is.

mod common;

use std::hint::black_box;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use allocator_core::{Amount, Scope, Strata};
use common::{at_end, case, succeeds};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// One sample in so many bytes: enough of them for narrow bounds.
const RATE: usize = 4 << 10;

/// As many scopes as there is room for.
const MOST: usize = 1024;

/// Whether an estimate is near the truth: by 5 %.
#[track_caller]
fn assert_near(found: u64, exact: u64) {
    assert!(found.abs_diff(exact) * 20 < exact, "{found} instead of {exact}");
}

/// Switches the profile on. The calling thread follows at once.
fn start(rate: usize) {
    Strata::profile_start(rate);
    drop(black_box(Box::new(1)));
}

/// Blocks of sizes from 200 bytes to 60 KiB, `bytes` in all.
fn blocks(bytes: usize) -> Vec<Vec<u8>> {
    let (mut all, mut size, mut live) = (Vec::with_capacity(bytes / 200), 200, 0);
    while live < bytes {
        all.push(Vec::with_capacity(black_box(size)));
        live += size;
        size = if size >= 30_000 { 200 } else { size * 2 - size / 8 };
    }
    all
}

/// The bytes of [`blocks`], and of what holds them.
fn bytes(blocks: &Vec<Vec<u8>>) -> u64 {
    (blocks.iter().map(Vec::capacity).sum::<usize>() + blocks.capacity() * size_of::<Vec<u8>>())
        as u64
}

/// The sum of all scopes, and what was allocated outside of all.
fn in_use_by_scopes() -> u64 {
    Strata::profile_scopes().map(|scope| scope.in_use().bytes).sum()
}

fn in_use_by_stacks(of: impl Fn(Option<Scope>) -> bool) -> u64 {
    let stacks = Strata::profile().filter(|stack| of(stack.scope()));
    stacks.map(|stack| stack.in_use().bytes).sum()
}

/// Two tenants, whose blocks are freed elsewhere, after their scopes have ended and the profile was
/// switched off.
fn tenants() {
    let (first, second) = (Scope::new("tenant", 42), Scope::new("tenant", "b"));
    assert_eq!((first.key(), first.value()), ("tenant", "42"));
    assert_eq!(first, Scope::new("tenant", "42"));
    assert_ne!(first, second);
    assert_eq!(Strata::profile_scopes().count(), 0);
    start(RATE);
    let mine = first.run(|| blocks(48 << 20));
    let yours = thread::spawn(move || second.run(|| blocks(16 << 20))).join().unwrap();
    let nobodys = blocks(8 << 20);
    assert_near(first.in_use().bytes, bytes(&mine));
    assert_near(second.in_use().bytes, bytes(&yours));
    let none = Scope::current();
    assert_eq!(none.key(), "(none)");
    assert!(none.in_use().bytes > bytes(&nobodys) / 20 * 19);
    Strata::profile_stop();
    assert_eq!(in_use_by_scopes(), in_use_by_stacks(|_| true));
    assert_eq!(first.in_use().bytes, in_use_by_stacks(|scope| scope == Some(first)));
    assert_eq!(none.in_use().bytes, in_use_by_stacks(|scope| scope.is_none()));

    let (before, allocated) = (second.in_use(), first.allocated());
    thread::spawn(move || second.run(|| drop(mine))).join().unwrap();
    assert_eq!(first.in_use(), Amount::default());
    assert_eq!(first.allocated(), allocated);
    assert_eq!(second.in_use(), before, "it was freed in this scope, and is not of it");
    drop(yours);
    assert_eq!(second.in_use(), Amount::default());
    drop(nobodys);
}

/// A block of so many bytes, each of which is hit by a sample for certain, and is exact therefore.
fn block(bytes: usize) -> Vec<u8> {
    Vec::with_capacity(black_box(bytes))
}

fn nested() {
    let [outer, inner] = ["outer", "inner"].map(|value| Scope::new("nested", value));
    start(1);
    let mut kept = Vec::with_capacity(10);
    {
        let _outer = outer.enter();
        kept.push(block(1000));
        {
            let _inner = inner.enter();
            assert_eq!(Scope::current(), inner);
            kept.push(block(2000));
            outer.run(|| kept.push(block(4000)));
            kept.push(block(8000));
        }
        assert_eq!(Scope::current(), outer);
        kept.push(block(16_000));
        let passed = Scope::current();
        let thread = thread::spawn(move || (Scope::current(), passed.run(|| block(40_000))));
        let (scope, block) = thread.join().unwrap();
        assert_eq!(scope.key(), "(none)", "a thread starts in no scope");
        kept.push(block);
    }
    assert_eq!(Scope::current().key(), "(none)");
    kept.push(block(64_000));
    assert_eq!(inner.in_use(), Amount { blocks: 2, bytes: 10_000 });
    assert_eq!(outer.in_use(), Amount { blocks: 4, bytes: 61_000 });
    // A block that grows belongs to who has it grow, if it is another one then, or pages.
    inner.run(|| kept[6].reserve_exact(200_000));
    assert_eq!(inner.in_use(), Amount { blocks: 3, bytes: 210_000 });
    Strata::profile_stop();
}

fn panicking() {
    panic::set_hook(Box::new(|_| {}));
    let [outer, inner] = ["outer", "inner"].map(|value| Scope::new("panicking", value));
    let _entered = outer.enter();
    let run = || inner.run(|| panic!("{}", Scope::current()));
    let panic = panic::catch_unwind(run).unwrap_err();
    assert_eq!(*panic.downcast::<String>().unwrap(), "panicking:inner");
    assert_eq!(Scope::current(), outer);
    let mut future = std::pin::pin!(inner.wrap(async { panic!("{}", Scope::current()) }));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let poll = AssertUnwindSafe(|| future.as_mut().poll(&mut context).is_ready());
    let panic = panic::catch_unwind(poll).unwrap_err();
    assert_eq!(*panic.downcast::<String>().unwrap(), "panicking:inner");
    assert_eq!(Scope::current(), outer);
}

/// A future is in its scope while it is polled, in each thread, and only then.
fn polled() {
    let scope = Scope::new("polled", true);
    let mut future = Box::pin(scope.wrap(async {
        for _ in 0..3 {
            assert_eq!(Scope::current().key(), "polled");
            let mut is_first = true;
            std::future::poll_fn(|_| match std::mem::take(&mut is_first) {
                true => std::task::Poll::Pending,
                false => std::task::Poll::Ready(()),
            })
            .await;
        }
        Scope::current()
    }));
    let mut polls = 0;
    loop {
        let (poll, passed) = thread::spawn(move || {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let before = Strata::stats().live_bytes();
            let poll = future.as_mut().poll(&mut context);
            assert_eq!(Strata::stats().live_bytes(), before, "a poll allocates");
            assert_eq!(Scope::current().key(), "(none)");
            (poll, future)
        })
        .join()
        .unwrap();
        future = passed;
        polls += 1;
        if let std::task::Poll::Ready(last) = poll {
            assert_eq!((last, polls), (scope, 4));
            break;
        }
    }
}

/// Beyond the scopes that there is room for, all are counted as one.
fn many() {
    start(1);
    let metadata = |count| {
        let before = Strata::stats().metadata_bytes();
        let scopes: Vec<Scope> = (0..count).map(|id| Scope::new("id", id)).collect();
        (scopes, Strata::stats().metadata_bytes() - before)
    };
    let (scopes, _) = metadata(MOST + 100);
    for (id, scope) in scopes.iter().enumerate() {
        let own = ("id".to_owned(), id.to_string());
        let expected = if id < MOST { own } else { ("(others)".to_owned(), String::new()) };
        assert_eq!((scope.key().to_owned(), scope.value().to_owned()), expected);
    }
    let (again, more) = metadata(2 * MOST);
    assert_eq!(more, 0, "scopes that are known, or for which there is no room, take memory");
    assert_eq!(again[..MOST], scopes[..MOST]);
    let kept: Vec<_> = scopes.iter().map(|scope| scope.run(|| block(1000))).collect();
    Strata::profile_stop();
    let one = Amount { blocks: 1, bytes: 1000 };
    assert!(scopes[..MOST].iter().all(|scope| scope.in_use() == one));
    assert_eq!(scopes[MOST].in_use(), Amount { blocks: 100, bytes: 100_000 });
    assert_eq!(in_use_by_scopes(), in_use_by_stacks(|_| true));
    drop(kept);
    assert_eq!(scopes[MOST].in_use(), Amount::default());
}

/// Where there is no room for a stack, its scope is known all the same.
fn many_stacks() {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    assert!(Strata::profile_unwinder(Some(|_, _, frames| {
        frames[0] = NEXT.fetch_add(1, Ordering::Relaxed);
        1
    })));
    let scopes = ["a", "b"].map(|value| Scope::new("many stacks", value));
    let mut kept = Vec::with_capacity(10_000);
    start(1);
    for round in 0..10_000 {
        kept.push(scopes[round % 2].run(|| block(100)));
    }
    Strata::profile_stop();
    for scope in scopes {
        assert_eq!(scope.in_use(), Amount { blocks: 5000, bytes: 500_000 });
        let mut without = Strata::profile()
            .filter(|stack| stack.scope() == Some(scope) && stack.frames().is_empty());
        let amount = without.next().unwrap().in_use();
        assert!((1000..3000).contains(&amount.blocks), "{amount:?}");
        assert!(without.next().is_none());
    }
    drop(kept);
    assert!(scopes.iter().all(|scope| scope.in_use() == Amount::default()));
}

fn texts() {
    let long = "0123456789".repeat(10);
    assert_eq!(Scope::new("long", &long).value(), &long[..64]);
    assert_eq!(Scope::new(&long, 1).key(), &long[..64]);
    // Between characters, of which each is two bytes.
    let long = "x".to_owned() + &"ä".repeat(50);
    assert_eq!(Scope::new("long", &long).value().len(), 63);
    let lines = Scope::new("lines\n", "a\tb\0\u{7f}c");
    assert_eq!((lines.key(), lines.value()), ("lines ", "a b  c"));
    assert_eq!(lines.to_string(), "lines :a b  c");
    assert_ne!(Scope::new("ab", "c"), Scope::new("a", "bc"));
    let quoted = Scope::new("quoted", r#"a\"b"#);
    start(1);
    let (kept, nobodys) = (quoted.run(|| block(5000)), block(7000));
    Strata::profile_stop();
    let metrics = Strata::metrics();
    let json: serde_json::Value = serde_json::from_str(&metrics.json().to_string()).unwrap();
    let mut scopes = json["scopes"].as_array().unwrap().iter();
    let found = scopes.find(|it| it["value"] == r#"a\"b"#).unwrap();
    let exact = serde_json::json!({
        "key": "quoted", "value": r#"a\"b"#,
        "live_blocks": 1, "live_bytes": 5000, "allocated_blocks": 1, "allocated_bytes": 5000,
    });
    assert_eq!(found, &exact);
    drop(kept);
    let lines = [
        r#"strata_scope_live_bytes{key="quoted",value="a\\\"b"} 0"#,
        r#"strata_scope_allocated_bytes_total{key="quoted",value="a\\\"b"} 5000"#,
        r#"strata_scope_live_bytes{key="(none)",value=""} 7000"#,
    ];
    for page in [metrics.prometheus().to_string(), metrics.open_metrics().to_string()] {
        for line in lines {
            assert!(page.lines().any(|it| it.starts_with(line)), "{line} is missing:\n{page}");
        }
        assert_eq!(page.matches("# TYPE strata_scope_live_bytes gauge").count(), 1);
    }
    drop(nobodys);
}

/// The children of forks make scopes, whatever the threads of the parent were doing, and are in
/// the scope of who forked.
fn forks() {
    let (is_done, (ready, is_ready)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let (is_done, ready) = (is_done.clone(), ready.clone());
            thread::spawn(move || {
                ready.send(()).unwrap();
                // Slowly, so that there is room for long.
                for round in (0..MOST / 4).take_while(|_| !is_done.load(Ordering::Relaxed)) {
                    Scope::new("forks", thread * MOST + round).run(|| drop(block(10_000)));
                }
            })
        })
        .collect();
    start(RATE);
    let scope = Scope::new("forks", "parent");
    is_ready.recv().unwrap();
    for _ in 0..100 {
        // SAFETY: the child allocates, frees and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: a plain call.
            unsafe { libc::alarm(20) };
            scope.run(|| {
                // SAFETY: the child ends at once.
                if unsafe { libc::fork() } == 0 {
                    let is_right = Scope::current() == scope;
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(i32::from(!is_right)) };
                }
            });
            let own = Scope::new("forks", "child");
            let kept = own.run(|| blocks(4 << 20));
            let right = own.in_use().bytes.abs_diff(bytes(&kept)) * 5 < bytes(&kept);
            let mut status = 0;
            // SAFETY: waits for the child of the child, and ends this one.
            unsafe {
                libc::wait(&raw mut status);
                libc::_exit(if right { status } else { 1 });
            }
        }
        let mut status = 0;
        // SAFETY: waits for the child.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0);
    }
    is_done.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn child() {
    match case().as_deref() {
        Some("tenants") => tenants(),
        Some("nested") => nested(),
        Some("panicking") => panicking(),
        Some("polled") => polled(),
        Some("many") => many(),
        Some("many stacks") => many_stacks(),
        Some("texts") => texts(),
        Some("forks") => forks(),
        _ => return,
    }
    at_end();
}

#[test]
fn each_tenant_has_its_own() {
    succeeds("tenants");
}

#[test]
fn scopes_within_scopes_end() {
    succeeds("nested");
    succeeds("panicking");
}

#[test]
fn futures_are_in_their_scopes() {
    succeeds("polled");
}

#[test]
fn tables_are_bounded() {
    succeeds("many");
    succeeds("many stacks");
}

#[test]
fn keys_and_values_are_texts() {
    succeeds("texts");
}

#[test]
fn children_of_forks_have_scopes() {
    succeeds("forks");
}
