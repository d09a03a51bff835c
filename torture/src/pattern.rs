//! What blocks are filled with: each with a piece of noise that its number selects. A
//! block above 64 KiB is filled at the beginning of each page, or of every 16th if it is
//! larger than 512 KiB, and at its end.

const NOISE_BYTES: usize = (64 << 10) + 4096;

/// Up to this size every byte is filled.
const WHOLE: usize = 64 << 10;

const PAGE: usize = 4096;

/// Bytes that are filled of each page of a larger block.
const PIECE: usize = 64;

static NOISE: [u8; NOISE_BYTES] = {
    let mut noise = [0; NOISE_BYTES];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut i = 0;
    while i < noise.len() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise[i] = (state >> 56) as u8;
        i += 1;
    }
    noise
};

/// Up to this size a piece of every page is filled; above, of one in [`APART`].
const EACH_PAGE: usize = 512 << 10;
const APART: usize = 16;

/// What is filled of a block of `size` bytes: offsets and lengths.
fn pieces(size: usize) -> impl Iterator<Item = (usize, usize)> {
    let whole = (size <= WHOLE).then_some((0, size));
    // Apart from the end.
    let pages = if size > WHOLE { (size - 2 * PIECE) / PAGE + 1 } else { 0 };
    let step = if size > EACH_PAGE { APART } else { 1 };
    let last = (size > WHOLE).then(|| (size - PIECE, PIECE));
    let starts = (0..pages).step_by(step);
    whole.into_iter().chain(starts.map(|page| (page * PAGE, PIECE))).chain(last)
}

fn noise(id: u64, offset: usize, len: usize) -> &'static [u8] {
    let start = (id as usize).wrapping_mul(31).wrapping_add(offset / PAGE * 7) % 4093;
    &NOISE[start..][..len]
}

/// Fills a block.
///
/// # Safety
/// The block has `size` bytes.
pub(crate) unsafe fn fill(ptr: *mut u8, size: usize, id: u64) {
    for (offset, len) in pieces(size) {
        let noise = noise(id, offset, len);
        // SAFETY: within the block.
        unsafe { ptr.add(offset).copy_from_nonoverlapping(noise.as_ptr(), len) };
    }
}

/// The offset of a byte among the first `kept` that is not what [`fill`] wrote when the
/// block had `size` bytes.
///
/// # Safety
/// The block has `kept` bytes, all written.
pub(crate) unsafe fn first_wrong(
    ptr: *const u8,
    kept: usize,
    size: usize,
    id: u64,
) -> Option<usize> {
    pieces(size).find_map(|(offset, len)| {
        let len = len.min(kept.saturating_sub(offset));
        if len == 0 {
            return None;
        }
        // SAFETY: within the block.
        let found = unsafe { std::slice::from_raw_parts(ptr.add(offset), len) };
        let noise = noise(id, offset, len);
        if found == noise {
            return None;
        }
        found.iter().zip(noise).position(|(is, was)| is != was).map(|at| offset + at)
    })
}

/// The offset of a byte that is not 0.
///
/// # Safety
/// The block has `size` bytes.
pub(crate) unsafe fn first_dirty(ptr: *const u8, size: usize) -> Option<usize> {
    static ZERO: [u8; WHOLE] = [0; WHOLE];
    (0..size).step_by(WHOLE).find_map(|at| {
        let len = WHOLE.min(size - at);
        // SAFETY: within the block.
        let found = unsafe { std::slice::from_raw_parts(ptr.add(at), len) };
        if found == &ZERO[..len] {
            return None;
        }
        found.iter().position(|byte| *byte != 0).map(|dirty| at + dirty)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_found() {
        for size in [1, 63, 4096, WHOLE, WHOLE + 1, 300_000, 1 << 20] {
            let mut block = vec![0u8; size];
            // SAFETY: the vector has so many bytes.
            unsafe {
                fill(block.as_mut_ptr(), size, 7);
                assert_eq!(first_wrong(block.as_ptr(), size, size, 7), None);
                assert_eq!(first_wrong(block.as_ptr(), size / 2, size, 7), None);
                assert!(first_wrong(block.as_ptr(), size, size, 8).is_some());
            }
            for at in [0, size / PAGE * PAGE % size, size - 1] {
                block[at] ^= 1;
                // SAFETY: as above.
                let wrong = unsafe { first_wrong(block.as_ptr(), size, size, 7) };
                assert_eq!(
                    wrong,
                    (size <= WHOLE || at % PAGE < PIECE || at == size - 1).then_some(at)
                );
                block[at] ^= 1;
            }
        }
    }

    #[test]
    fn a_byte_that_is_not_zero_is_found() {
        let mut block = vec![0u8; 200_000];
        // SAFETY: the vector has so many bytes.
        assert_eq!(unsafe { first_dirty(block.as_ptr(), block.len()) }, None);
        block[150_000] = 1;
        // SAFETY: as above.
        assert_eq!(unsafe { first_dirty(block.as_ptr(), block.len()) }, Some(150_000));
    }
}
