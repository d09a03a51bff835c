//! All twenty forms of C++'s operators `new` and `delete`, without linking a
//! C++ runtime. What they need of one (the new-handler, the exception) is taken
//! from the runtime that the program has.
//!
//! A failed allocation calls the new-handler and retries until there is no
//! handler, and then throws. Exceptions cannot unwind through Rust frames, so
//! this loop is written in assembly, and the operators end in a jump to it.

use core::arch::global_asm;
use core::ffi::{CStr, c_void};
use core::mem;
use core::ptr;

use allocator_core::c_internals;

use crate::replaced;
use crate::sized;
use crate::symbol_lookup;

/// C++'s `std::nothrow_t`: a tag that is never read.
type Nothrow = *const c_void;

unsafe extern "C" {
    /// Allocates with the help of the new-handler, or throws.
    fn strata_new_slow(size: usize, align: usize) -> *mut c_void;
}

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .text.strata_new_slow,\"ax\",@progbits",
    ".p2align 4",
    ".globl strata_new_slow",
    ".hidden strata_new_slow",
    ".type strata_new_slow,@function",
    "strata_new_slow:",
    ".cfi_startproc",
    "push rbx",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbx, -16",
    "push r12",
    ".cfi_def_cfa_offset 24",
    ".cfi_offset r12, -24",
    "sub rsp, 8",
    ".cfi_def_cfa_offset 32",
    "mov rbx, rdi",
    "mov r12, rsi",
    "2:",
    "call {handler}",
    "test rax, rax",
    "je 3f",
    "call rax",
    "mov rdi, rbx",
    "mov rsi, r12",
    "call {alloc}",
    "test rax, rax",
    "je 2b",
    "jmp 4f",
    "3:",
    "call {thrower}",
    "call rax",
    "4:",
    "add rsp, 8",
    ".cfi_def_cfa_offset 24",
    "pop r12",
    ".cfi_def_cfa_offset 16",
    "pop rbx",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
    ".size strata_new_slow, . - strata_new_slow",
    ".popsection",
    handler = sym get_new_handler,
    alloc = sym retry_alloc,
    thrower = sym find_throw_bad_alloc,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .text.strata_new_slow,\"ax\",@progbits",
    ".p2align 4",
    ".globl strata_new_slow",
    ".hidden strata_new_slow",
    ".type strata_new_slow,@function",
    "strata_new_slow:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-32]!",
    ".cfi_def_cfa_offset 32",
    ".cfi_offset x29, -32",
    ".cfi_offset x30, -24",
    "stp x19, x20, [sp, #16]",
    ".cfi_offset x19, -16",
    ".cfi_offset x20, -8",
    "mov x19, x0",
    "mov x20, x1",
    "2:",
    "bl {handler}",
    "cbz x0, 3f",
    "blr x0",
    "mov x0, x19",
    "mov x1, x20",
    "bl {alloc}",
    "cbz x0, 2b",
    "b 4f",
    "3:",
    "bl {thrower}",
    "blr x0",
    "4:",
    "ldp x19, x20, [sp, #16]",
    "ldp x29, x30, [sp], #32",
    ".cfi_def_cfa_offset 0",
    "ret",
    ".cfi_endproc",
    ".size strata_new_slow, . - strata_new_slow",
    ".popsection",
    handler = sym get_new_handler,
    alloc = sym retry_alloc,
    thrower = sym find_throw_bad_alloc,
);

extern "C" fn retry_alloc(size: usize, align: usize) -> *mut c_void {
    c_internals::alloc(size, align).cast()
}

/// The sonames of the C++ runtimes.
const RUNTIMES: [&CStr; 3] = [c"libstdc++.so.6", c"libc++.so.1", c"libc++abi.so.1"];

/// The address of a function in a loaded C++ runtime, or null.
fn find_in_runtime(name: &CStr) -> *const c_void {
    let found = |library| symbol_lookup::find_in_library(library, name);
    RUNTIMES.into_iter().map(found).find(|at| !at.is_null()).unwrap_or(ptr::null())
}

/// The new-handler, or null.
extern "C" fn get_new_handler() -> *const c_void {
    let mut get = symbol_lookup::weak_address!("_ZSt15get_new_handlerv");
    if get.is_null() {
        get = find_in_runtime(c"_ZSt15get_new_handlerv");
    }
    if get.is_null() {
        return get;
    }
    // SAFETY: this is `std::get_new_handler`.
    unsafe { mem::transmute::<*const c_void, extern "C" fn() -> *const c_void>(get)() }
}

/// The address of the function that throws `std::bad_alloc`. Aborts if there is
/// no C++ runtime.
extern "C" fn find_throw_bad_alloc() -> *const c_void {
    let mut throw = symbol_lookup::weak_address!("_ZSt17__throw_bad_allocv");
    if throw.is_null() {
        throw = find_in_runtime(c"_ZSt17__throw_bad_allocv");
    }
    if throw.is_null() {
        allocator_sys::write_stderr(
            b"strata: operator new: out of memory, and no C++ runtime to throw\n",
        );
        allocator_sys::abort();
    }
    throw
}

#[inline(always)]
fn new(size: usize) -> *mut c_void {
    let block = c_internals::pop(size);
    if !block.is_null() {
        return block.cast();
    }
    new_aligned(size, 1)
}

/// Ends in a jump to `strata_new_slow` if memory is exhausted, so that an
/// exception does not unwind through this frame.
#[inline(never)]
extern "C" fn new_aligned(size: usize, align: usize) -> *mut c_void {
    replaced::detect();
    let block = c_internals::alloc(size, align);
    if !block.is_null() {
        return block.cast();
    }
    // SAFETY: the call is the last action, whether it returns or throws.
    unsafe { strata_new_slow(size, align) }
}

/// Without a new-handler, returns null if memory is exhausted. With one, or if
/// the program replaced the operators, calls the runtime's operator of this
/// name: it calls the basic form and catches what that throws.
#[inline(always)]
fn new_nothrow(size: usize, align: usize, runtime: impl FnOnce() -> *mut c_void) -> *mut c_void {
    replaced::detect();
    if replaced::operators_are_replaced() {
        return runtime();
    }
    let block = c_internals::alloc(size, align);
    if block.is_null() && !get_new_handler().is_null() {
        return runtime();
    }
    block.cast()
}

#[cold]
fn runtime_new(name: &CStr, size: usize, tag: Nothrow) -> *mut c_void {
    type New = unsafe extern "C" fn(usize, Nothrow) -> *mut c_void;
    let at = find_in_runtime(name);
    if at.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: this is the runtime's operator of that name.
    unsafe { mem::transmute::<*const c_void, New>(at)(size, tag) }
}

#[cold]
fn runtime_new_aligned(name: &CStr, size: usize, align: usize, tag: Nothrow) -> *mut c_void {
    type New = unsafe extern "C" fn(usize, usize, Nothrow) -> *mut c_void;
    let at = find_in_runtime(name);
    if at.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: this is the runtime's operator of that name.
    unsafe { mem::transmute::<*const c_void, New>(at)(size, align, tag) }
}

/// Frees a block. Unlike C's `free`, it has a slow path of its own: functions
/// that are the same down to their jumps get one address, and tools that tell
/// them apart by their addresses would take `delete` for `free`.
///
/// # Safety
/// The block must not be used afterwards.
#[inline(always)]
unsafe fn free(ptr: *mut c_void) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !c_internals::push(ptr.cast()) {
            free_slow(ptr);
        }
    }
}

/// Frees a block that usually belongs to another thread.
#[cold]
#[inline(never)]
unsafe extern "C" fn free_slow(ptr: *mut c_void) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !c_internals::buffer_remote(ptr.cast()) {
            sized::free_to_core(ptr);
        }
    }
}

/// Calls the basic form. One without an alignment parameter ignores that
/// argument.
#[cold]
extern "C" fn new_by_basic(basic: *const c_void, size: usize, align: usize) -> *mut c_void {
    type New = unsafe extern "C" fn(usize, usize) -> *mut c_void;
    // SAFETY: this is that operator. The call is the last action, so that an
    // exception does not unwind through this frame.
    unsafe { mem::transmute::<*const c_void, New>(basic)(size, align) }
}

/// Passes a block to the basic form. One without an alignment parameter ignores
/// that argument.
///
/// # Safety
/// The block must not be used afterwards.
#[cold]
unsafe extern "C" fn delete_by_basic(basic: *const c_void, ptr: *mut c_void, align: usize) {
    type Delete = unsafe extern "C" fn(*mut c_void, usize);
    // SAFETY: this is that operator; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Delete>(basic)(ptr, align) }
}

/// `operator new(size_t)`
#[unsafe(export_name = "_Znwm")]
pub extern "C" fn new_one(size: usize) -> *mut c_void {
    new(size)
}

/// `operator new[](size_t)`
#[unsafe(export_name = "_Znam")]
pub extern "C" fn new_array(size: usize) -> *mut c_void {
    if replaced::operators_are_replaced() {
        return new_by_basic(symbol_lookup::global_address!("_Znwm"), size, 1);
    }
    new(size)
}

/// `operator new(size_t, align_val_t)`
#[unsafe(export_name = "_ZnwmSt11align_val_t")]
pub extern "C" fn new_one_aligned(size: usize, align: usize) -> *mut c_void {
    new_aligned(size, align)
}

/// `operator new[](size_t, align_val_t)`
#[unsafe(export_name = "_ZnamSt11align_val_t")]
pub extern "C" fn new_array_aligned(size: usize, align: usize) -> *mut c_void {
    if replaced::operators_are_replaced() {
        return new_by_basic(symbol_lookup::global_address!("_ZnwmSt11align_val_t"), size, align);
    }
    new_aligned(size, align)
}

/// `operator new(size_t, const nothrow_t&)`
#[unsafe(export_name = "_ZnwmRKSt9nothrow_t")]
pub extern "C" fn new_one_nothrow(size: usize, tag: Nothrow) -> *mut c_void {
    new_nothrow(size, 1, || runtime_new(c"_ZnwmRKSt9nothrow_t", size, tag))
}

/// `operator new[](size_t, const nothrow_t&)`
#[unsafe(export_name = "_ZnamRKSt9nothrow_t")]
pub extern "C" fn new_array_nothrow(size: usize, tag: Nothrow) -> *mut c_void {
    new_nothrow(size, 1, || runtime_new(c"_ZnamRKSt9nothrow_t", size, tag))
}

/// `operator new(size_t, align_val_t, const nothrow_t&)`
#[unsafe(export_name = "_ZnwmSt11align_val_tRKSt9nothrow_t")]
pub extern "C" fn new_one_aligned_nothrow(size: usize, align: usize, tag: Nothrow) -> *mut c_void {
    let name = c"_ZnwmSt11align_val_tRKSt9nothrow_t";
    new_nothrow(size, align, || runtime_new_aligned(name, size, align, tag))
}

/// `operator new[](size_t, align_val_t, const nothrow_t&)`
#[unsafe(export_name = "_ZnamSt11align_val_tRKSt9nothrow_t")]
pub extern "C" fn new_array_aligned_nothrow(
    size: usize,
    align: usize,
    tag: Nothrow,
) -> *mut c_void {
    let name = c"_ZnamSt11align_val_tRKSt9nothrow_t";
    new_nothrow(size, align, || runtime_new_aligned(name, size, align, tag))
}

/// `operator delete(void*)`
///
/// # Safety
/// The block must not be used afterwards.
#[unsafe(export_name = "_ZdlPv")]
pub unsafe extern "C" fn delete(ptr: *mut c_void) {
    // SAFETY: the caller guarantees it.
    unsafe { free(ptr) }
}

/// `operator delete(void*, align_val_t)`
///
/// # Safety
/// The block must not be used afterwards.
#[unsafe(export_name = "_ZdlPvSt11align_val_t")]
pub unsafe extern "C" fn delete_aligned(ptr: *mut c_void, _align: usize) {
    // SAFETY: the caller guarantees it.
    unsafe { free(ptr) }
}

/// Defines the other forms of `delete`. They call the basic form given after
/// `=>` if the program replaced the operators, and run the last expression
/// otherwise.
macro_rules! deletes {
    ($($name:literal $function:ident ($ptr:ident $(, $argument:ident: $type:ty)*)
        => $basic:literal $align:expr, $body:expr;)*) => {$(
        #[doc = concat!("`operator delete`, as ", $name)]
        ///
        /// # Safety
        /// The block must not be used afterwards.
        #[unsafe(export_name = $name)]
        pub unsafe extern "C" fn $function($ptr: *mut c_void $(, $argument: $type)*) {
            if replaced::operators_are_replaced() {
                let basic = symbol_lookup::global_address!($basic);
                // SAFETY: the caller guarantees it.
                return unsafe { delete_by_basic(basic, $ptr, $align) };
            }
            // SAFETY: the caller guarantees it.
            unsafe { $body }
        }
    )*};
}

deletes! {
    "_ZdaPv" delete_array(ptr) => "_ZdlPv" 0, free(ptr);
    "_ZdlPvRKSt9nothrow_t" delete_nothrow(ptr, _tag: Nothrow) => "_ZdlPv" 0, free(ptr);
    "_ZdaPvRKSt9nothrow_t" delete_array_nothrow(ptr, _tag: Nothrow)
        => "_ZdaPv" 0, free(ptr);
    "_ZdlPvm" delete_sized(ptr, size: usize) => "_ZdlPv" 0, sized::free(ptr, size);
    "_ZdaPvm" delete_array_sized(ptr, size: usize) => "_ZdaPv" 0, sized::free(ptr, size);
    "_ZdaPvSt11align_val_t" delete_array_aligned(ptr, align: usize)
        => "_ZdlPvSt11align_val_t" align, free(ptr);
    "_ZdlPvSt11align_val_tRKSt9nothrow_t" delete_aligned_nothrow(ptr, align: usize, _tag: Nothrow)
        => "_ZdlPvSt11align_val_t" align, free(ptr);
    "_ZdaPvSt11align_val_tRKSt9nothrow_t"
        delete_array_aligned_nothrow(ptr, align: usize, _tag: Nothrow)
        => "_ZdaPvSt11align_val_t" align, free(ptr);
    "_ZdlPvmSt11align_val_t" delete_sized_aligned(ptr, size: usize, align: usize)
        => "_ZdlPvSt11align_val_t" align, sized::free_aligned(ptr, size, align);
    "_ZdaPvmSt11align_val_t" delete_array_sized_aligned(ptr, size: usize, align: usize)
        => "_ZdaPvSt11align_val_t" align, sized::free_aligned(ptr, size, align);
}
