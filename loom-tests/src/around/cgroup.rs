//! Replaces the container: it has no limits.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Supply {
    Plenty,
}

pub(crate) fn now() -> Supply {
    Supply::Plenty
}

pub(crate) fn update() {}

pub(crate) fn is_short() -> bool {
    false
}

pub(crate) fn is_scarce() -> bool {
    false
}

pub(crate) fn estimate(_bytes: usize) -> bool {
    false
}

pub(crate) fn step_from(_mapped: usize, step: usize) -> usize {
    step
}

pub(crate) fn cpus() -> Option<usize> {
    None
}
