//! The number of mappings of a process is limited. The allocator leaves half of them
//! to the program, in the worst patterns, too.

mod common;

use allocator_core::Strata;
use common::layout;
use std::alloc::GlobalAlloc;
use std::fs;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const MIB: usize = 1 << 20;

/// Mappings of this process.
fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// The most mappings that a process may have.
fn limit() -> usize {
    fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap()
}

/// More blocks than a process may have mappings.
fn too_many() -> usize {
    let limit = limit();
    // With a limit of millions, the window would be full first.
    assert!(limit <= 200_000, "vm.max_map_count is {limit}: too large for this test");
    limit + limit / 16
}

/// A block of which only the start is written.
fn block(size: usize, mark: usize) -> *mut u8 {
    // SAFETY: the size is not 0; the block is ours.
    unsafe {
        let block = GLOBAL.alloc(layout(size, 8));
        assert!(!block.is_null(), "no block {mark} of {size}; {} mappings", mappings());
        block.cast::<usize>().write(mark);
        block
    }
}

fn free(block: *mut u8, size: usize, mark: usize) {
    // SAFETY: made by `block`, and not used again.
    unsafe {
        assert_eq!(block.cast::<usize>().read(), mark);
        GLOBAL.dealloc(block, layout(size, 8));
    }
}

/// Allocates blocks, frees every second one, and allocates others. All hold what was
/// written, and there are never too many mappings.
fn pattern(size: usize, others: usize) {
    // Each touched page takes memory, so as few as possible are touched.
    let count = too_many();
    let few = |when: &str| {
        let now = mappings();
        eprintln!("{size} {when}: {now} mappings of {}", limit());
        assert!(now <= limit() / 2 + 1000, "{now} mappings {when}");
    };
    let mut blocks: Vec<*mut u8> = (0..count).map(|mark| block(size, mark)).collect();
    few("when full");
    for mark in (0..count).step_by(2) {
        free(blocks[mark], size, mark);
    }
    Strata::purge();
    few("with every second one freed");
    for mark in (0..count).step_by(2) {
        blocks[mark] = block(others, mark);
    }
    few("with others");
    for (mark, &block) in blocks.iter().enumerate() {
        free(block, if mark % 2 == 0 { others } else { size }, mark);
    }
    Strata::purge();
    few("when empty");
}

/// From now on the kernel refuses these calls of this thread.
fn refuse(calls: [libc::c_long; 2]) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let is_equal = libc::BPF_JMP | libc::BPF_JEQ;
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(is_equal, 2, 0, calls[0] as u32),
        step(is_equal, 1, 0, calls[1] as u32),
        step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOMEM as u32),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: reads the program.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}

/// Where the system maps, refuses access, and refuses to unmap, a request fails at once: what
/// stays is a mapping for each, not as many as there can be.
fn what_stays_is_little() {
    let size = 3 * MIB;
    free(block(size, 1), size, 1);
    let before = mappings();
    refuse([libc::SYS_mprotect, libc::SYS_munmap]);
    // More than the chunks that are spare.
    for times in 1..=10 {
        // SAFETY: the size is not 0.
        let block = unsafe { GLOBAL.alloc(common::layout(32 * MIB, 8)) };
        assert!(block.is_null());
        let stay = mappings() - before;
        assert!(stay <= 4 * times, "{stay} mappings after {times} requests");
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "huge" => pattern(MIB + MIB / 8, MIB + MIB / 4),
        "longer" => pattern(MIB + MIB / 8, 2 * MIB + MIB / 8),
        "chunks" => pattern(MIB, MIB + MIB / 4),
        "stay" => what_stays_is_little(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn huge_blocks() {
    common::succeeds("huge");
}

#[test]
fn huge_blocks_of_more_chunks() {
    common::succeeds("longer");
}

#[test]
fn chunks_of_page_runs() {
    common::succeeds("chunks");
}

#[test]
fn mappings_that_stay_are_few() {
    common::succeeds("stay");
}
