//! A library that brings its own allocator into a program with another one. All that
//! the library allocates comes from Strata, in any thread of the program.

use allocator_core::Strata;
use std::collections::BTreeMap;
use std::thread;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

type Words = BTreeMap<u64, Vec<u8>>;

/// Allocates an object of many blocks, for [`plugin_sum`] and [`plugin_free`].
#[unsafe(no_mangle)]
pub extern "C" fn plugin_make(blocks: u64) -> *mut Words {
    let words = (0..blocks).map(|i| (i, vec![i as u8; (i * 37 % 3000) as usize])).collect();
    Box::into_raw(Box::new(words))
}

/// The sum of all bytes of the object.
///
/// # Safety
/// `words` came from [`plugin_make`] and is not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugin_sum(words: *const Words) -> u64 {
    // SAFETY: by the caller.
    let words = unsafe { &*words };
    words.values().flatten().map(|byte| u64::from(*byte)).sum()
}

/// Frees the object.
///
/// # Safety
/// `words` came from [`plugin_make`], and this is the last use of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugin_free(words: *mut Words) {
    // SAFETY: by the caller.
    drop(unsafe { Box::from_raw(words) });
}

/// Makes a block of 1000 bytes that is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_leave() -> *const u8 {
    vec![0xa5_u8; 1000].leak().as_ptr()
}

/// Starts threads inside the library, which allocate, and joins them.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_threads(count: u64) -> u64 {
    let threads: Vec<_> = (0..count)
        .map(|n| {
            thread::spawn(move || {
                let words = plugin_make(200 + n);
                // SAFETY: just made, and freed once.
                unsafe {
                    let sum = plugin_sum(words);
                    plugin_free(words);
                    sum
                }
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
}

/// Live bytes of the library's allocator.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_live_bytes() -> usize {
    Strata::stats().live_bytes()
}

/// Bytes that the library's allocator has mapped, after a purge.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_mapped_bytes() -> usize {
    Strata::purge();
    Strata::stats().mapped_bytes()
}
