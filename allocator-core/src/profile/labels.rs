//! On whose behalf memory is allocated: a key and a value, such as the tenant 42, and what samples
//! say of it. There is one label for each, which is never freed: threads and stacks refer to it by
//! its address.

use core::mem::offset_of;
use core::ptr::NonNull;
use core::{slice, str};

use crate::base::directory;
use crate::pages::metadata;
use crate::profile::amounts::Amounts;
use crate::profile::interned::Interned;

/// Most bytes of a key, and of a value.
pub(crate) const MOST_TEXT: usize = 64;

/// Most places in the table; half of them stay empty.
const PLACES: usize = 1 << 11;

/// Most labels. What belongs to further ones is counted at [`OTHERS`].
const MOST_LABELS: usize = PLACES / 2;

static TABLE: Interned<Label, PLACES> = Interned::new();

/// Of threads that are in no scope.
pub(crate) static NONE: Label = Label::new(0, "(none)", "");

/// Stands for all labels that the table had no room for.
pub(crate) static OTHERS: Label = Label::new(1, "(others)", "");

pub(crate) struct Label {
    pub(super) hash: u64,
    pub(crate) key: &'static str,
    pub(crate) value: &'static str,
    pub(crate) amounts: Amounts,
}

impl Label {
    /// For readers outside of the process. That a text is its pointer and its length, a test holds.
    pub(super) const OFFSETS: directory::Label = directory::Label {
        bytes: size_of::<Label>(),
        key: offset_of!(Label, key),
        value: offset_of!(Label, value),
    };

    const fn new(hash: u64, key: &'static str, value: &'static str) -> Self {
        Label { hash, key, value, amounts: Amounts::new() }
    }
}

/// A label that may be published.
pub(super) struct Candidate {
    place: NonNull<Label>,
    bytes: usize,
}

impl Candidate {
    /// Makes a label of texts of at most [`MOST_TEXT`] bytes. `None`: there is no memory.
    pub(super) fn new(key: &str, value: &str) -> Option<Self> {
        let bytes = size_of::<Label>() + key.len() + value.len();
        let place: NonNull<Label> = metadata::alloc(bytes)?.cast();
        let hash = hash(key, value);
        // SAFETY: the memory is the candidate's, and has room for the label and the texts behind it.
        unsafe {
            let text = place.add(1).cast::<u8>();
            let key = copy(key, text);
            let value = copy(value, text.add(key.len()));
            place.write(Label::new(hash, key, value));
        }
        Some(Candidate { place, bytes })
    }

    /// The label. It may be kept if it is published, else until it is freed.
    pub(super) fn label(&self) -> &'static Label {
        // SAFETY: it was written, and what is published is never freed.
        unsafe { &*self.place.as_ptr() }
    }

    /// Frees the memory of a label that was not published.
    pub(super) fn free(self) {
        // SAFETY: nobody else has it.
        unsafe { metadata::free(self.place.cast(), self.bytes) };
    }
}

/// Copies a text.
///
/// # Safety
/// The memory there is the caller's, has room for it, and is not written any more while the copy
/// is used.
unsafe fn copy(text: &str, to: NonNull<u8>) -> &'static str {
    // SAFETY: by the caller; the bytes are those of a text.
    unsafe {
        to.copy_from_nonoverlapping(NonNull::from(text).cast(), text.len());
        str::from_utf8_unchecked(slice::from_raw_parts(to.as_ptr(), text.len()))
    }
}

/// The label of a key and a value; else the place for it.
pub(crate) fn find(key: &str, value: &str) -> Result<&'static Label, Option<usize>> {
    // A page must not name one twice.
    if let Some(label) = [&NONE, &OTHERS].into_iter().find(|it| it.key == key && it.value == value)
    {
        return Ok(label);
    }
    let hash = hash(key, value);
    TABLE.find(hash, MOST_LABELS, |label| {
        label.hash == hash && label.key == key && label.value == value
    })
}

/// Publishes a label in the place that [`find`] gave. Only one thread at a time does both.
pub(super) fn publish(place: usize, label: &'static Label) {
    TABLE.publish(place, label);
}

/// All labels so far, those of no scope and of others included.
pub(crate) fn all() -> impl Iterator<Item = &'static Label> {
    TABLE.all().chain([&NONE, &OTHERS])
}

/// The hash of a label: FNV-1a, with a byte between the texts that no text has.
fn hash(key: &str, value: &str) -> u64 {
    let bytes = key.bytes().chain([0xff]).chain(value.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ hash >> 29
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_pointer_and_a_length() {
        let text = "of nine..";
        let label = Label::new(0, text, "");
        let key = (&raw const label).wrapping_byte_add(Label::OFFSETS.key);
        // SAFETY: a reference to a text has two words, which are initialized.
        let words = unsafe { key.cast::<[usize; 2]>().read() };
        assert_eq!(words, [text.as_ptr().addr(), text.len()]);
    }
}
