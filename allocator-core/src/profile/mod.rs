//! The sampled heap profile: of each stretch of bytes that the program allocates, one allocation
//! is recorded, with its stack, and with the scope that the thread was in.

pub(crate) mod rate;
pub(crate) mod countdown;
pub(crate) mod amounts;
mod interned;
pub(crate) mod labels;
pub(crate) mod capture;
pub(crate) mod stacks;
pub(crate) mod live;
pub(crate) mod record;
