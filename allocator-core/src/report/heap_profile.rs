//! The heap profile: where in the program the memory in use was allocated, and where all that was
//! ever allocated while the profile was on. Estimated from samples; see `profile/rate.rs`.

use crate::profile::amounts::Amount;
use crate::profile::capture::Unwinder;
use crate::profile::rate::{self, For};
use crate::profile::record;
use crate::profile::stacks::{self, Stack};
use crate::scope::{self, Scope};
use crate::thread::switch;

/// A place in the program where samples were taken: the functions that had been called there, and
/// the [`Scope`] that the thread was in.
#[derive(Clone, Copy)]
pub struct ProfiledStack(&'static Stack);

impl ProfiledStack {
    /// The address behind the call in each function, the innermost first; at most 120. The
    /// first ones are in the allocator itself. None for the stacks that stand for all
    /// that the tables had no room for, one for each scope.
    #[must_use]
    pub fn frames(&self) -> &'static [usize] {
        self.0.frames()
    }

    /// What was allocated here while the profile was on.
    #[must_use]
    pub fn allocated(&self) -> Amount {
        self.0.amounts().allocated()
    }

    /// What of that was not freed.
    #[must_use]
    pub fn in_use(&self) -> Amount {
        self.0.amounts().used()
    }

    /// Who it was allocated for. `None`: the thread was in no scope. Each scope has stacks of its
    /// own.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        scope::of(self.0.label())
    }
}

/// Switches the profile on, or to another rate.
pub(crate) fn start(rate: usize) {
    switch::set(For::Profile, rate.max(1));
}

/// Switches the profile off.
pub(crate) fn stop() {
    switch::set(For::Profile, 0);
}

/// Bytes between two samples, in the mean. `None`: the profile is off.
pub(crate) fn rate() -> Option<usize> {
    Some(rate::get(For::Profile)).filter(|rate| *rate != 0)
}

/// All stacks so far.
pub(crate) fn stacks() -> impl Iterator<Item = ProfiledStack> {
    stacks::all().map(ProfiledStack)
}

/// Whether there was no sample so far.
pub(super) fn is_empty() -> bool {
    stacks().all(|stack| stack.allocated() == Amount::default())
}

/// Samples that there was no room for.
pub(crate) fn dropped() -> usize {
    record::dropped()
}

/// Sets what follows stacks. Returns whether it did.
pub(crate) fn set_unwinder(unwinder: Option<Unwinder>) -> bool {
    record::set_unwinder(unwinder)
}
