//! Little memory, little address space, locked memory, and other users of the
//! address space.

mod common;

use allocator_core::Strata;
use common::{Block, anonymous, layout, mib};
use std::alloc::GlobalAlloc;
use std::os::unix::process::CommandExt;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const MIB: usize = 1 << 20;

fn limit_addresses(bytes: usize) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes as u64, rlim_max: bytes as u64 };
    // SAFETY: the limit is a valid one.
    match unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Runs a case in a child that starts under a limit.
fn succeeds_within(case: &str, bytes: usize) {
    let mut command = common::command(case);
    // SAFETY: sets a limit, and nothing else.
    unsafe { command.pre_exec(move || limit_addresses(bytes)) };
    common::check_success(case, command.output().unwrap().into());
}

/// Allocates blocks of a size until there are no more. Each block points to the one
/// before, so no other memory is needed. Frees them all, and returns their number.
fn exhaust(size: usize) -> usize {
    let layout = layout(size, 8);
    let mut last: *mut u8 = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: the blocks are ours, and large enough for a pointer.
    unsafe {
        loop {
            let block = GLOBAL.alloc(layout);
            if block.is_null() {
                break;
            }
            block.cast::<*mut u8>().write(last);
            block.add(size - 1).write(1);
            last = block;
            count += 1;
        }
        while !last.is_null() {
            let before = last.cast::<*mut u8>().read();
            GLOBAL.dealloc(last, layout);
            last = before;
        }
    }
    count
}

/// Blocks of each size can use `percent` of `limit`. Once they are freed, a quarter
/// of the limit is available as one block.
fn exhaust_all(limit: usize, percent: usize) {
    for size in [16, 64, 1000, 5000, 30_000, 40_000, 500_000, 3 << 20] {
        let got = exhaust(size) * size;
        eprintln!("{size}: {:.0} MiB", mib(got));
        // Huge blocks take whole chunks of addresses, and a limit leaves few of them.
        let percent = if size > MIB { percent - percent / 8 } else { percent };
        assert!(got >= limit / 100 * percent, "blocks of {size} bytes: {:.1} MiB", mib(got));
        let mut bytes: Vec<u8> = Vec::new();
        assert!(bytes.try_reserve_exact(limit).is_err());
        let quarter = Block::new(&GLOBAL, limit / 4, 8).expect("a quarter in one block");
        quarter.free(&GLOBAL);
    }
}

/// The limit is lowered while the program runs: all but the last 4 MiB below it are served.
fn lowered() {
    let mut many = Vec::new();
    for i in 0..1000 {
        many.push(Block::new(&GLOBAL, 1 + i * 7, 8).unwrap());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let size = size.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10;
    let limit = size + 16 * MIB;
    limit_addresses(limit).unwrap();
    let got = exhaust(64) * 64;
    eprintln!("{:.0} MiB of addresses, limit {:.0}; got {:.0}", mib(size), mib(limit), mib(got));
    assert!(got >= 12 * MIB);
    let block = Block::new(&GLOBAL, 12 * MIB, 8).unwrap();
    block.free(&GLOBAL);
    many.into_iter().for_each(|block| block.free(&GLOBAL));
}

/// Threads start and end when no memory is left.
fn threads_without_memory() {
    let layout = layout(4096, 8);
    let mut last: *mut u8 = std::ptr::null_mut();
    // Freed below, so that the limit leaves room for a thread's stack.
    let room = Block::new(&GLOBAL, 24 << 20, 8).unwrap();
    // SAFETY: the blocks are ours, and large enough for a pointer.
    unsafe {
        loop {
            let block = GLOBAL.alloc(layout);
            if block.is_null() {
                break;
            }
            block.cast::<*mut u8>().write(last);
            last = block;
        }
    }
    room.free(&GLOBAL);
    let mut started = 0;
    for _ in 0..20 {
        let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(|| {
            (1..200).filter_map(|i| Block::new(&GLOBAL, i * 50, 8)).for_each(|b| b.free(&GLOBAL));
        });
        if let Ok(thread) = thread {
            started += 1;
            thread.join().unwrap();
        }
    }
    // SAFETY: as above.
    unsafe {
        while !last.is_null() {
            let before = last.cast::<*mut u8>().read();
            GLOBAL.dealloc(last, layout);
            last = before;
        }
    }
    eprintln!("{started} threads");
    assert!(started > 0);
    exhaust_all(256 * MIB, 60);
}

/// With `mlockall`, every mapping is resident at once. It must not be much.
fn locked() {
    // SAFETY: plain call.
    if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } != 0 {
        eprintln!("not permitted: {}", std::io::Error::last_os_error());
        return;
    }
    let before = anonymous();
    let blocks: Vec<_> = (0..20_000).map(|i| Block::new(&GLOBAL, 1 + i % 1000, 8)).collect();
    let grown = anonymous() - before;
    eprintln!("{:.1} MiB, then {:.1} more", mib(before), mib(grown));
    assert!(before < 40 * MIB, "{:.1} MiB at the start", mib(before));
    assert!(grown < 20 * MIB);
    let large = Block::new(&GLOBAL, 8 * MIB, 8).unwrap();
    large.free(&GLOBAL);
    for block in blocks {
        block.unwrap().free(&GLOBAL);
    }
    Strata::purge();
    // The system refuses to purge locked pages. Allocation must still work.
    for size in [100, 5000, 100_000, 3 * MIB] {
        // SAFETY: the block is ours and that large.
        unsafe {
            let block = GLOBAL.alloc_zeroed(layout(size, 8));
            assert!(!block.is_null() && common::is_zero(block, size));
            GLOBAL.dealloc(block, layout(size, 8));
        }
    }
}

/// The program moves the break and uses the C library's allocator beside Strata.
fn beside_the_break() {
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for n in 0..200usize {
        // SAFETY: what sbrk and malloc return may be written, if it is not an
        // error.
        unsafe {
            let at = libc::sbrk(64 << 10);
            assert_ne!(at.addr(), usize::MAX);
            common::fill(at.cast(), 64 << 10, n as u64);
            let block = libc::malloc(100 + n * 10).cast::<u8>();
            common::fill(block, 100 + n * 10, n as u64 + 7);
            theirs.push((at.cast::<u8>(), block));
        }
        let block = Block::new(&GLOBAL, 1 + n * 1000, 8).unwrap();
        // SAFETY: the block has so many bytes.
        unsafe { common::fill(block.ptr, 1 + n * 1000, n as u64 + 3) };
        ours.push(block);
    }
    for (n, ((at, block), our)) in theirs.into_iter().zip(ours).enumerate() {
        // SAFETY: as above.
        unsafe {
            assert!(common::is_filled(at, 64 << 10, n as u64));
            assert!(common::is_filled(block, 100 + n * 10, n as u64 + 7));
            assert!(common::is_filled(our.ptr, 1 + n * 1000, n as u64 + 3));
            libc::free(block.cast());
        }
        our.free(&GLOBAL);
    }
}

/// The program maps much by itself: a thousand files of 1 GiB, as search and vector databases
/// do, memories of 10 GiB, as WebAssembly engines do, and 1 TiB at once.
fn among_large_mappings() {
    const GIB: usize = 1 << 30;
    let first = Block::new(&GLOBAL, 100, 8).unwrap();
    for (count, size) in [(3000, GIB), (200, 10 * GIB), (1, 1024 * GIB)] {
        for _ in 0..count {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let null = std::ptr::null_mut();
            // SAFETY: a new mapping, which replaces none.
            let at = unsafe { libc::mmap(null, size, libc::PROT_NONE, flags, -1, 0) };
            assert_ne!(at, libc::MAP_FAILED);
        }
    }
    let blocks: Vec<Block> = (0..3000)
        .map(|n| Block::new(&GLOBAL, MIB, 8).unwrap_or_else(|| panic!("after {n} MiB")))
        .collect();
    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
    first.free(&GLOBAL);
}

/// The program makes so many mappings that few are left for the allocator.
fn among_many_mappings() {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let mut maps = Vec::with_capacity(70_000);
    let (mut before, mut large) = (Vec::with_capacity(1000), Vec::with_capacity(100));
    // SAFETY: maps fresh pages, every second one with other access rights.
    unsafe {
        loop {
            let page = libc::mmap(std::ptr::null_mut(), 8192, prot, flags, -1, 0);
            if page == libc::MAP_FAILED || maps.len() == 69_000 {
                break;
            }
            maps.push(page);
            if libc::mprotect(page, 4096, libc::PROT_READ) != 0 {
                break;
            }
        }
    }
    let full = maps.len();
    before.extend((0..1000).filter_map(|i| Block::new(&GLOBAL, i * 40 + 1, 8)));
    large.extend((0..100).filter_map(|_| Block::new(&GLOBAL, 2 << 20, 8)));
    let got = (before.len(), large.len());
    before.into_iter().chain(large).for_each(|block| block.free(&GLOBAL));
    Strata::purge();
    for page in maps {
        // SAFETY: mapped above, and not used again.
        unsafe { libc::munmap(page, 8192) };
    }
    eprintln!("{full} mappings; then {got:?} small and large blocks");
    for _ in 0..100 {
        Block::new(&GLOBAL, 2 << 20, 8).unwrap().free(&GLOBAL);
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "64" => exhaust_all(64 * MIB, 45),
        "256" => exhaust_all(256 * MIB, 60),
        "1024" => exhaust_all(1024 * MIB, 80),
        "lowered" => lowered(),
        "threads" => threads_without_memory(),
        "locked" => locked(),
        "break" => beside_the_break(),
        "mappings" => among_many_mappings(),
        "large-mappings" => among_large_mappings(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn under_a_limit_on_addresses() {
    succeeds_within("64", 64 * MIB);
    succeeds_within("256", 256 * MIB);
    succeeds_within("1024", 1024 * MIB);
}

#[test]
fn under_a_limit_that_comes_later() {
    common::succeeds("lowered");
}

#[test]
fn threads_start_and_end_without_memory() {
    succeeds_within("threads", 256 * MIB);
}

#[test]
fn with_locked_memory() {
    common::succeeds("locked");
}

#[test]
fn beside_others() {
    common::succeeds("break");
    common::succeeds("mappings");
    common::succeeds("large-mappings");
}

/// The smallest program takes hardly more memory than with the system's allocator.
#[test]
fn a_small_program_stays_small() {
    // Anonymous and resident bytes.
    let bytes = |name: &str| {
        let program = common::example(common::RELEASE, name, name);
        let one = |_| {
            let out = common::running(&program).output().unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            let numbers = text.split_whitespace().filter_map(|word| word.parse::<usize>().ok());
            <[usize; 2]>::try_from(numbers.collect::<Vec<_>>()).unwrap()
        };
        // The kernel maps code 64 KiB at a time, from where it has put it: of so many runs, one
        // is hardly above the least that there is.
        (0..60).map(one).reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1])]).unwrap()
    };
    let (strata, system) = (bytes("hello_strata"), bytes("hello_system"));
    println!("{strata:?} bytes with Strata, {system:?} with the system's allocator");
    assert!(system[0] > 0 && strata[0] <= system[0] + (144 << 10), "{strata:?} and {system:?}");
    // Most of it is code, which processes share.
    assert!(strata[1] <= system[1] + (512 << 10), "{strata:?} and {system:?}");
}
