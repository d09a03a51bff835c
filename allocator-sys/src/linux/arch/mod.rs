//! Instructions specific to the processor.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{
    begin_thread_block, call_on_stack, clone, dynamic_section, has_thread_sanitizer, prefetch,
    registers, rseq_offset_ptr, signal_return, syscall, thread_pointer, thread_word, trap,
    unmap_and_exit,
};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{
    begin_thread_block, call_on_stack, clone, dynamic_section, has_thread_sanitizer, prefetch,
    registers, rseq_offset_ptr, signal_return, syscall, thread_pointer, thread_word, trap,
    unmap_and_exit,
};
