//! Hardened mode: every block carries a tag behind the bytes of its user, which each free
//! checks; free memory is zero, and each allocation checks that; freed blocks wait in quarantine
//! and are handed out in random order; large blocks end at addresses without access.
//!
//! No thread has a cache in this mode, so all requests arrive here: in the C library, with
//! `STRATA_CONF=hardened:true`, from its slow paths; in Rust, with the feature `hardened`.

mod tag;
pub(crate) mod blocks;
#[cfg(feature = "hardened")]
#[cfg_attr(feature = "system", expect(dead_code, reason = "`system` is used instead"))]
pub(crate) mod layouts;
