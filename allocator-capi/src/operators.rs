//! All twenty forms of C++'s operators `new` and `delete`.
//!
//! A failed allocation calls the new-handler and retries until there is no
//! handler, and then throws. Exceptions cannot unwind through Rust frames, so
//! this loop is written in assembly, and the operators end in a jump to it.

use core::arch::global_asm;
use core::ffi::c_void;
use core::mem;
use core::ptr;

use allocator_core::c_internals;

use crate::cxx_runtime::{self, Step, Then};
use crate::foreign;
use crate::own;
use crate::replaced;
use crate::sized;
use crate::symbol_lookup;
use crate::system::{self, Function, Server};

/// C++'s `std::nothrow_t`: a tag that is never read.
type Nothrow = *const c_void;

unsafe extern "C" {
    /// Allocates with the help of the new-handler; else throws, or returns null.
    fn strata_new_slow(size: usize, align: usize, operator: Function) -> *mut c_void;
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
    "push r13",
    ".cfi_def_cfa_offset 32",
    ".cfi_offset r13, -32",
    "sub rsp, 32",
    ".cfi_def_cfa_offset 64",
    "mov rbx, rdi",
    "mov r12, rsi",
    "mov r13, rdx",
    "2:",
    "mov rdi, rsp",
    "mov rsi, [rsp + 56]",
    "mov rdx, rbx",
    "mov rcx, r12",
    "mov r8, r13",
    "call {decide}",
    "test eax, eax",
    "jne 3f",
    "mov rdi, [rsp + 8]",
    "mov rsi, [rsp + 16]",
    "mov rdx, [rsp + 24]",
    "call [rsp]",
    "jmp 4f",
    "3:",
    "call [rsp]",
    "mov rdi, rbx",
    "mov rsi, r12",
    "mov rdx, r13",
    "call {alloc}",
    "test rax, rax",
    "je 2b",
    "4:",
    "add rsp, 32",
    ".cfi_def_cfa_offset 32",
    "pop r13",
    ".cfi_def_cfa_offset 24",
    "pop r12",
    ".cfi_def_cfa_offset 16",
    "pop rbx",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
    ".size strata_new_slow, . - strata_new_slow",
    ".popsection",
    decide = sym decide,
    alloc = sym alloc,
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
    "stp x29, x30, [sp, #-80]!",
    ".cfi_def_cfa_offset 80",
    ".cfi_offset x29, -80",
    ".cfi_offset x30, -72",
    "stp x19, x20, [sp, #16]",
    ".cfi_offset x19, -64",
    ".cfi_offset x20, -56",
    "str x21, [sp, #32]",
    ".cfi_offset x21, -48",
    "mov x19, x0",
    "mov x20, x1",
    "mov x21, x2",
    "2:",
    "add x0, sp, #48",
    "ldr x1, [sp, #8]",
    "mov x2, x19",
    "mov x3, x20",
    "mov x4, x21",
    "bl {decide}",
    "ldr x9, [sp, #48]",
    "cbnz w0, 3f",
    "ldp x0, x1, [sp, #56]",
    "ldr x2, [sp, #72]",
    "blr x9",
    "b 4f",
    "3:",
    "blr x9",
    "mov x0, x19",
    "mov x1, x20",
    "mov x2, x21",
    "bl {alloc}",
    "cbz x0, 2b",
    "4:",
    "ldr x21, [sp, #32]",
    "ldp x19, x20, [sp, #16]",
    "ldp x29, x30, [sp], #80",
    ".cfi_def_cfa_offset 0",
    "ret",
    ".cfi_endproc",
    ".size strata_new_slow, . - strata_new_slow",
    ".popsection",
    decide = sym decide,
    alloc = sym alloc,
);

/// See [`cxx_runtime::decide`].
///
/// # Safety
/// `step` is writable.
unsafe extern "C" fn decide(
    step: *mut Step,
    caller: *const c_void,
    size: usize,
    align: usize,
    operator: Function,
) -> Then {
    let (next, then) = cxx_runtime::decide(caller, operator, size, align);
    // SAFETY: the caller guarantees it.
    unsafe { step.write(next) };
    then
}

/// Allocates a block; null if memory is exhausted.
extern "C" fn alloc(size: usize, align: usize, operator: Function) -> *mut c_void {
    match system::server() {
        Server::Own(mode) => own::alloc(mode, size, align, operator.kind()).cast(),
        Server::System => system::alloc(size, align),
    }
}

#[inline(always)]
fn new(size: usize, operator: Function) -> *mut c_void {
    match c_internals::pop(size) {
        Some(block) => block.cast(),
        None => new_aligned(size, 1, operator),
    }
}

/// Ends in a jump to `strata_new_slow` if memory is exhausted, so that an
/// exception does not unwind through this frame.
#[inline(never)]
extern "C" fn new_aligned(size: usize, align: usize, operator: Function) -> *mut c_void {
    if let Some(next) = system::operator(operator) {
        return new_by(next, size, align);
    }
    let block = alloc(size, align, operator);
    if !block.is_null() {
        return block;
    }
    // SAFETY: the call is the last action, whether it returns or throws.
    unsafe { strata_new_slow(size, align, operator) }
}

/// Without a new-handler, returns null if memory is exhausted. With one, or if
/// the program replaced the operators, the runtime's operator is called: it
/// calls the basic form and catches what that throws.
#[inline(always)]
fn new_nothrow(size: usize, align: usize, operator: Function) -> *mut c_void {
    if replaced::operators_are_replaced() {
        return new_replaced(size, align, operator);
    }
    new_aligned(size, align, operator)
}

/// Calls the runtime's operator of this form.
#[cold]
fn new_replaced(size: usize, align: usize, operator: Function) -> *mut c_void {
    let at = symbol_lookup::find_next(operator.symbol());
    if at.is_null() {
        return ptr::null_mut();
    }
    let second = if operator.is_aligned() { align } else { 0 };
    new_by(at, size, second)
}

/// Frees a block. Unlike C's `free`, it has a slow path of its own: functions
/// that are the same down to their jumps get one address, and tools that tell
/// them apart by their addresses would take `delete` for `free`.
///
/// # Safety
/// The block must not be used afterwards.
#[inline(always)]
unsafe fn free(ptr: *mut c_void, align: usize, operator: Function) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !c_internals::push(ptr.cast()) {
            free_slow(ptr, align, operator);
        }
    }
}

/// Frees a block that usually belongs to another thread.
///
/// # Safety
/// The block must not be used afterwards.
#[cold]
#[inline(never)]
unsafe extern "C" fn free_slow(ptr: *mut c_void, align: usize, operator: Function) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !c_internals::buffer_remote(ptr.cast()) {
            free_to_core(ptr, align, operator);
        }
    }
}

/// # Safety
/// The block must not be used afterwards.
#[cold]
#[inline(never)]
unsafe extern "C" fn free_to_core(ptr: *mut c_void, align: usize, operator: Function) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !ptr.is_null() && !own::free(ptr.cast(), operator.kind()) {
            match system::operator(operator) {
                Some(next) => delete_by(next, ptr, align),
                None => foreign::free(ptr),
            }
        }
    }
}

/// Frees a block that was allocated with `size` bytes.
///
/// # Safety
/// The block must not be used afterwards.
#[inline(always)]
unsafe fn free_sized(ptr: *mut c_void, size: usize, operator: Function) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !c_internals::push_sized(ptr.cast(), size) {
            free_sized_aligned(ptr, size, 1, operator);
        }
    }
}

/// Frees a block that was allocated with `size` bytes and `align`.
///
/// # Safety
/// The block must not be used afterwards.
#[inline(never)]
unsafe extern "C" fn free_sized_aligned(
    ptr: *mut c_void,
    size: usize,
    align: usize,
    operator: Function,
) {
    // SAFETY: the caller guarantees it.
    unsafe {
        match system::operator(operator) {
            Some(_) => free_to_core(ptr, align, operator),
            None => sized::free_aligned(ptr, size, align, operator.kind()),
        }
    }
}

/// Calls another operator. One without an alignment parameter ignores that
/// argument; a tag is never read.
#[inline(always)]
fn new_by(operator: *const c_void, size: usize, align: usize) -> *mut c_void {
    type New = unsafe extern "C" fn(usize, usize, usize) -> *mut c_void;
    // SAFETY: this is such an operator. The call is the last action, so that an
    // exception does not unwind through this frame.
    unsafe { mem::transmute::<*const c_void, New>(operator)(size, align, 0) }
}

/// Passes a block to another operator. One without an alignment parameter
/// ignores that argument.
///
/// # Safety
/// The block must not be used afterwards.
#[cold]
unsafe extern "C" fn delete_by(operator: *const c_void, ptr: *mut c_void, align: usize) {
    type Delete = unsafe extern "C" fn(*mut c_void, usize);
    // SAFETY: this is that operator; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Delete>(operator)(ptr, align) }
}

/// `operator new(size_t)`
#[unsafe(export_name = "_Znwm")]
pub extern "C" fn new_one(size: usize) -> *mut c_void {
    new(size, Function::New)
}

/// `operator new[](size_t)`
#[unsafe(export_name = "_Znam")]
pub extern "C" fn new_array(size: usize) -> *mut c_void {
    if replaced::operators_are_replaced() {
        return new_by(symbol_lookup::global_address!("_Znwm"), size, 1);
    }
    new(size, Function::NewArray)
}

/// `operator new(size_t, align_val_t)`
#[unsafe(export_name = "_ZnwmSt11align_val_t")]
pub extern "C" fn new_one_aligned(size: usize, align: usize) -> *mut c_void {
    new_aligned(size, align, Function::NewAligned)
}

/// `operator new[](size_t, align_val_t)`
#[unsafe(export_name = "_ZnamSt11align_val_t")]
pub extern "C" fn new_array_aligned(size: usize, align: usize) -> *mut c_void {
    if replaced::operators_are_replaced() {
        return new_by(symbol_lookup::global_address!("_ZnwmSt11align_val_t"), size, align);
    }
    new_aligned(size, align, Function::NewArrayAligned)
}

/// `operator new(size_t, const nothrow_t&)`
#[unsafe(export_name = "_ZnwmRKSt9nothrow_t")]
pub extern "C" fn new_one_nothrow(size: usize, _tag: Nothrow) -> *mut c_void {
    new_nothrow(size, 1, Function::NewNothrow)
}

/// `operator new[](size_t, const nothrow_t&)`
#[unsafe(export_name = "_ZnamRKSt9nothrow_t")]
pub extern "C" fn new_array_nothrow(size: usize, _tag: Nothrow) -> *mut c_void {
    new_nothrow(size, 1, Function::NewArrayNothrow)
}

/// `operator new(size_t, align_val_t, const nothrow_t&)`
#[unsafe(export_name = "_ZnwmSt11align_val_tRKSt9nothrow_t")]
pub extern "C" fn new_one_aligned_nothrow(size: usize, align: usize, _tag: Nothrow) -> *mut c_void {
    new_nothrow(size, align, Function::NewAlignedNothrow)
}

/// `operator new[](size_t, align_val_t, const nothrow_t&)`
#[unsafe(export_name = "_ZnamSt11align_val_tRKSt9nothrow_t")]
pub extern "C" fn new_array_aligned_nothrow(
    size: usize,
    align: usize,
    _tag: Nothrow,
) -> *mut c_void {
    new_nothrow(size, align, Function::NewArrayAlignedNothrow)
}

/// `operator delete(void*)`
///
/// # Safety
/// The block must not be used afterwards.
#[unsafe(export_name = "_ZdlPv")]
pub unsafe extern "C" fn delete(ptr: *mut c_void) {
    // SAFETY: the caller guarantees it.
    unsafe { free(ptr, 0, Function::Delete) }
}

/// `operator delete(void*, align_val_t)`
///
/// # Safety
/// The block must not be used afterwards.
#[unsafe(export_name = "_ZdlPvSt11align_val_t")]
pub unsafe extern "C" fn delete_aligned(ptr: *mut c_void, align: usize) {
    // SAFETY: the caller guarantees it.
    unsafe { free(ptr, align, Function::DeleteAligned) }
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
                return unsafe { delete_by(basic, $ptr, $align) };
            }
            // SAFETY: the caller guarantees it.
            unsafe { $body }
        }
    )*};
}

deletes! {
    "_ZdaPv" delete_array(ptr) => "_ZdlPv" 0, free(ptr, 0, Function::DeleteArray);
    "_ZdlPvRKSt9nothrow_t" delete_nothrow(ptr, _tag: Nothrow)
        => "_ZdlPv" 0, free(ptr, 0, Function::Delete);
    "_ZdaPvRKSt9nothrow_t" delete_array_nothrow(ptr, _tag: Nothrow)
        => "_ZdaPv" 0, free(ptr, 0, Function::DeleteArray);
    "_ZdlPvm" delete_sized(ptr, size: usize)
        => "_ZdlPv" 0, free_sized(ptr, size, Function::Delete);
    "_ZdaPvm" delete_array_sized(ptr, size: usize)
        => "_ZdaPv" 0, free_sized(ptr, size, Function::DeleteArray);
    "_ZdaPvSt11align_val_t" delete_array_aligned(ptr, align: usize)
        => "_ZdlPvSt11align_val_t" align, free(ptr, align, Function::DeleteArrayAligned);
    "_ZdlPvSt11align_val_tRKSt9nothrow_t" delete_aligned_nothrow(ptr, align: usize, _tag: Nothrow)
        => "_ZdlPvSt11align_val_t" align, free(ptr, align, Function::DeleteAligned);
    "_ZdaPvSt11align_val_tRKSt9nothrow_t"
        delete_array_aligned_nothrow(ptr, align: usize, _tag: Nothrow)
        => "_ZdaPvSt11align_val_t" align, free(ptr, align, Function::DeleteArrayAligned);
    "_ZdlPvmSt11align_val_t" delete_sized_aligned(ptr, size: usize, align: usize)
        => "_ZdlPvSt11align_val_t" align,
        free_sized_aligned(ptr, size, align, Function::DeleteAligned);
    "_ZdaPvmSt11align_val_t" delete_array_sized_aligned(ptr, size: usize, align: usize)
        => "_ZdaPvSt11align_val_t" align,
        free_sized_aligned(ptr, size, align, Function::DeleteArrayAligned);
}
