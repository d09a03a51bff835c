//! A table of records that are kept once each, by what they say. They are never freed, so that a
//! reader needs no lock.

use core::mem::offset_of;

use crate::base::directory::Address;
use crate::base::ordering;
use crate::base::published::Published;
use crate::base::sync::AtomicUsize;

pub(super) struct Interned<T: 'static, const PLACES: usize> {
    places: [Published<T>; PLACES],
    /// The number of records.
    count: AtomicUsize,
}

impl<T, const PLACES: usize> Interned<T, PLACES> {
    pub(super) const fn new() -> Self {
        Interned { places: [const { Published::new() }; PLACES], count: AtomicUsize::new(0) }
    }

    /// Where the places are, for readers outside of the process.
    pub(super) const fn places(&'static self) -> Address {
        Address::of(&raw const *self).plus(offset_of!(Self, places))
    }

    /// The record with this hash that `is_it`; else the place for it, if there are fewer than
    /// `most` records.
    pub(super) fn find(
        &self,
        hash: u64,
        most: usize,
        is_it: impl Fn(&T) -> bool,
    ) -> Result<&'static T, Option<usize>> {
        for at in 0..PLACES {
            let place = (hash as usize).wrapping_add(at) % PLACES;
            match self.places[place].get() {
                Some(known) if is_it(known) => return Ok(known),
                Some(_) => {}
                None => {
                    let has_room = self.count.load(ordering::profile_counts()) < most;
                    return Err(has_room.then_some(place));
                }
            }
        }
        Err(None)
    }

    /// Publishes a record in the place that [`find`](Self::find) gave. Only one thread at a time
    /// does both.
    pub(super) fn publish(&self, place: usize, record: &'static T) {
        self.count.fetch_add(1, ordering::profile_counts());
        self.places[place].publish(record);
    }

    /// All records so far.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static T> {
        self.places.iter().filter_map(Published::get)
    }
}
