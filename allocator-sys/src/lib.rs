//! The system below the allocator.
#![no_std]

#[cfg(test)]
extern crate std;

mod linux;

pub use linux::*;
