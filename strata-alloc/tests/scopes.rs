//! Scopes of tasks that move between threads: what each tenant has is what was planted.

use std::collections::HashSet;
use std::hint::black_box;
use std::panic;
use std::sync::Mutex;
use std::thread::{self, ThreadId};
use std::time::Duration;

use strata_alloc::{Scope, Strata, scope};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, yield_now};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// One sample in so many bytes: enough of them for narrow bounds.
const RATE: usize = 4 << 10;

/// Tasks of each tenant, and how often each waits.
const TASKS: usize = 40;
const ROUNDS: usize = 50;

/// The runtime's own lists, which grow while a task runs, and stay.
const RUNTIME: u64 = 128 << 10;

type Blocks = Vec<Vec<u8>>;

/// Bytes of the sizes that each round of a task allocates.
const SIZES: [usize; 6] = [100, 300, 700, 2000, 5000, 40_000];

/// How many tasks were seen in more than one thread.
static MOVED: Mutex<usize> = Mutex::new(0);

/// Keeps blocks, and frees as many, between which the task waits.
async fn serve(times: usize, expected: &'static str) -> Blocks {
    let mut kept = Blocks::with_capacity(ROUNDS * SIZES.len() * times);
    let mut threads = HashSet::<ThreadId>::new();
    for round in 0..ROUNDS {
        for size in SIZES.repeat(times) {
            kept.push(Vec::with_capacity(black_box(size)));
            drop::<Vec<u8>>(Vec::with_capacity(black_box(size)));
        }
        match round % 10 {
            0 => tokio::time::sleep(Duration::from_millis(1)).await,
            _ => yield_now().await,
        }
        assert_eq!(Scope::current().value(), expected);
        threads.insert(thread::current().id());
    }
    *MOVED.lock().unwrap() += usize::from(threads.len() > 1);
    kept
}

/// What a task of [`serve`] keeps.
fn bytes(times: usize) -> u64 {
    let blocks = ROUNDS * times;
    let list = blocks * SIZES.len() * size_of::<Vec<u8>>();
    (SIZES.iter().sum::<usize>() * blocks + list) as u64
}

/// Whether an estimate is near the truth: by 5 %.
#[track_caller]
fn assert_near(found: u64, exact: u64) {
    assert!(found.abs_diff(exact) * 20 < exact, "{found} instead of {exact}");
}

fn join<T>(runtime: &Runtime, tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    runtime.block_on(async {
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    })
}

/// Tasks that panic in their scope, at once or after they waited.
fn panicking(runtime: &Runtime) {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let tasks: Vec<_> = (0..100)
        .map(|round| {
            runtime.spawn(scope!("tenant", "panicking", async move {
                if round % 2 == 0 {
                    yield_now().await;
                }
                assert_eq!(round, usize::MAX);
            }))
        })
        .collect();
    for task in tasks {
        assert!(runtime.block_on(task).unwrap_err().is_panic());
    }
    panic::set_hook(hook);
}

/// The threads of the runtime are in no scope, whatever tasks they ran.
fn is_in_none(runtime: &Runtime) {
    let look = || async {
        yield_now().await;
        Scope::current().key()
    };
    let tasks = (0..200).map(|_| runtime.spawn(look())).collect();
    assert!(join(runtime, tasks).into_iter().all(|key| key == "(none)"));
}

#[test]
fn tenants_have_what_was_planted() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    Strata::profile_start(RATE);
    let tasks = |times, tenant: &'static str| -> Vec<_> {
        let serve = || scope!("tenant", tenant, serve(times, tenant));
        (0..TASKS).map(|_| runtime.spawn(serve())).collect()
    };
    let (large, small) = (tasks(3, "large"), tasks(1, "small"));
    let nested: Vec<_> = (0..TASKS)
        .map(|_| {
            runtime.spawn(scope!("tenant", "outer", async {
                let inner = scope!("tenant", "inner", serve(1, "inner")).await;
                assert_eq!(Scope::current().value(), "outer");
                let outer = serve(1, "outer").await;
                (inner, outer)
            }))
        })
        .collect();
    let [large, small] = [large, small].map(|tasks| join(&runtime, tasks));
    let nested = join(&runtime, nested);
    panicking(&runtime);
    is_in_none(&runtime);
    Strata::profile_stop();

    let moved = *MOVED.lock().unwrap();
    assert!(moved > TASKS, "{moved} tasks were run by more than one thread");
    let of = |tenant: &str| Scope::new("tenant", tenant);
    let tenants = ["large", "small", "inner", "outer"].map(of);
    let used = tenants.map(|tenant| tenant.in_use().bytes);
    for (used, times) in used.into_iter().zip([3, 1, 1, 1]) {
        assert_near(used, bytes(times) * TASKS as u64);
    }
    // Each block has another that was freed at once; the lists have none.
    for (tenant, times) in tenants.into_iter().zip([3, 1, 1, 1]) {
        let kept = (SIZES.iter().sum::<usize>() * ROUNDS * times * TASKS) as u64;
        assert_near(tenant.allocated().bytes, bytes(times) * TASKS as u64 + kept);
    }
    told(&tenants);

    // Later, elsewhere, and in another scope.
    let other = thread::spawn(move || scope!("tenant", "small", { drop((large, nested)) }));
    other.join().unwrap();
    let left = [tenants[0], tenants[2], tenants[3]].map(|tenant| tenant.in_use().bytes);
    assert!(left.into_iter().all(|left| left < RUNTIME), "{left:?}");
    assert_eq!(tenants[1].in_use().bytes, used[1]);
    drop(small);
    assert!(tenants[1].in_use().bytes < RUNTIME);
}

/// The pages say the same.
fn told(tenants: &[Scope]) {
    let page = Strata::metrics().prometheus().to_string();
    for tenant in tenants {
        let labels = format!("{{key=\"tenant\",value=\"{}\"}}", tenant.value());
        let (live, all) = (tenant.in_use().bytes, tenant.allocated().bytes);
        for line in [
            format!("strata_scope_live_bytes{labels} {live}"),
            format!("strata_scope_allocated_bytes_total{labels} {all}"),
        ] {
            assert!(page.lines().any(|it| it == line), "{line} is missing:\n{page}");
        }
    }
}

/// All forms of the macro.
#[test]
fn forms() {
    let name = String::from("b");
    let inside = scope!("form", name, { Scope::current() });
    assert_eq!(inside, Scope::new("form", name.as_str()));
    {
        let _entered = scope!("form", 1);
        assert_eq!(Scope::current(), Scope::new("form", 1));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let current = async { Scope::current() };
    let [first, second, third] = runtime.block_on(async {
        [
            scope!("form", 2, async { Scope::current() }).await,
            scope!("form", 3, async move { Scope::current() }).await,
            scope!("form", 4, current).await,
        ]
    });
    assert_eq!([first, second, third], [2, 3, 4].map(|value| Scope::new("form", value)));
    assert_eq!(Scope::current().key(), "(none)");
}
