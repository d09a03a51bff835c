//! What the operators need of a C++ runtime when memory is exhausted: the
//! new-handler, the exception, and the operators that catch it. The library does
//! not link a runtime. It takes these from the one of the caller, which may be a
//! shared library, or part of the program or of a library.

use core::ffi::{CStr, c_void};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::symbol_lookup;
use crate::system::Function;

/// The next thing to do for a request that failed: a function to call, and its
/// arguments.
#[repr(C)]
pub(crate) struct Step {
    function: *const c_void,
    arguments: [*const c_void; 3],
}

/// What to do after a [`Step`].
#[repr(u32)]
pub(crate) enum Then {
    /// Return what the function returned.
    Return = 0,
    /// Try to allocate again.
    Retry = 1,
}

/// Stands for `std::nothrow`, a tag that is never read.
static NOTHROW: u8 = 0;

/// Decides what an operator does next, given the address that it returns to.
pub(crate) fn decide(
    caller: *const c_void,
    operator: Function,
    size: usize,
    align: usize,
) -> (Step, Then) {
    let runtime = Runtime { caller };
    let handler = runtime.new_handler();
    let quiet = operator.is_nothrow();
    if !handler.is_null() {
        // The handler may throw: the runtime's operator catches that.
        if quiet && let Some(function) = runtime.operator(operator) {
            let (size, align) = (ptr::without_provenance(size), ptr::without_provenance(align));
            let tag = (&raw const NOTHROW).cast();
            let arguments =
                if operator.is_aligned() { [size, align, tag] } else { [size, tag, ptr::null()] };
            return (Step { function, arguments }, Then::Return);
        }
        return (Step { function: handler, arguments: [ptr::null(); 3] }, Then::Retry);
    }
    if quiet {
        let function = return_null as extern "C" fn() -> *const c_void as *const c_void;
        return (Step { function, arguments: [ptr::null(); 3] }, Then::Return);
    }
    (runtime.throw(), Then::Return)
}

extern "C" fn return_null() -> *const c_void {
    ptr::null()
}

/// The C++ runtime of an operator's caller.
struct Runtime {
    caller: *const c_void,
}

/// The address of a symbol of a runtime, or null: as this library sees it, else
/// as the caller's library or program does.
macro_rules! address {
    ($runtime:expr, $name:literal) => {{
        let global = symbol_lookup::weak_address!($name);
        let name = const {
            match CStr::from_bytes_with_nul(concat!($name, "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!(),
            }
        };
        if global.is_null() { symbol_lookup::find_for($runtime.caller, name) } else { global }
    }};
}

impl Runtime {
    /// The new-handler, or null.
    fn new_handler(&self) -> *const c_void {
        let get = address!(self, "_ZSt15get_new_handlerv");
        if get.is_null() {
            return get;
        }
        // SAFETY: this is `std::get_new_handler`.
        unsafe { mem::transmute::<*const c_void, extern "C" fn() -> *const c_void>(get)() }
    }

    /// The runtime's operator of a form, if it has one besides this library's.
    fn operator(&self, operator: Function) -> Option<*const c_void> {
        let symbol = operator.symbol();
        let usable = |at: &*const c_void| !at.is_null() && !symbol_lookup::is_own_code(*at);
        Some(symbol_lookup::find_next(symbol))
            .filter(usable)
            .or_else(|| Some(symbol_lookup::find_for(self.caller, symbol)).filter(usable))
    }

    /// How to throw `std::bad_alloc`. Aborts if there is no C++ runtime.
    fn throw(&self) -> Step {
        let function = address!(self, "_ZSt17__throw_bad_allocv");
        if !function.is_null() {
            return Step { function, arguments: [ptr::null(); 3] };
        }
        self.throw_object().unwrap_or_else(|| {
            allocator_sys::write_stderr(
                b"strata: operator new: out of memory, and no C++ runtime to throw\n",
            );
            allocator_sys::abort()
        })
    }

    /// How to throw an object made here. A runtime that is linked into a program
    /// has only those of its functions that the program uses: whoever catches
    /// uses these two, and has the types that it names.
    fn throw_object(&self) -> Option<Step> {
        type Allocate = extern "C" fn(usize) -> *mut *const c_void;
        let allocate = address!(self, "__cxa_allocate_exception");
        let function = address!(self, "__cxa_throw");
        if allocate.is_null() || function.is_null() {
            return None;
        }
        let (table, class) = self.bad_alloc()?;
        // SAFETY: this is that function. It does not return null. An object of
        // the class consists of the address of the first function in its table.
        let object = unsafe {
            let object =
                mem::transmute::<*const c_void, Allocate>(allocate)(size_of::<*const c_void>());
            object.write(table.add(FUNCTIONS).cast());
            object
        };
        let no_destructor = ptr::null();
        Some(Step { function, arguments: [object.cast_const().cast(), class, no_destructor] })
    }

    /// The virtual table and the type of `std::bad_alloc`: the caller's, so that
    /// it is one type; else those of this library, which are the same by name.
    fn bad_alloc(&self) -> Option<(*const *const c_void, *const c_void)> {
        let table: *const *const c_void = address!(self, "_ZTVSt9bad_alloc").cast();
        let class = address!(self, "_ZTISt9bad_alloc");
        if !table.is_null() && !class.is_null() {
            return Some((table, class));
        }
        let kind = address!(self, "_ZTVN10__cxxabiv120__si_class_type_infoE");
        let base = address!(self, "_ZTISt9exception");
        if kind.is_null() || base.is_null() {
            return None;
        }
        // SAFETY: the table has functions.
        let kind = unsafe { kind.cast::<*const c_void>().add(FUNCTIONS) };
        CLASS[0].store(kind.cast_mut().cast(), Ordering::Relaxed);
        CLASS[1].store(c"St9bad_alloc".as_ptr().cast_mut().cast(), Ordering::Relaxed);
        CLASS[2].store(base.cast_mut(), Ordering::Relaxed);
        let class = CLASS.as_ptr().cast::<c_void>();
        let destroy = destroy as extern "C" fn(*const c_void) as *mut c_void;
        let what = what as extern "C" fn(*const c_void) -> *const c_void as *mut c_void;
        for (place, entry) in TABLE[1..].iter().zip([class.cast_mut(), destroy, destroy, what]) {
            place.store(entry, Ordering::Relaxed);
        }
        Some((TABLE.as_ptr().cast(), class))
    }
}

/// Words of a virtual table before its functions: an offset and the type.
const FUNCTIONS: usize = 2;

/// A class with one base: the address of its kind's functions, its name, its base.
static CLASS: [AtomicPtr<c_void>; 3] = [const { AtomicPtr::new(ptr::null_mut()) }; 3];

/// Its virtual table: an offset of 0, the class, two forms of the destructor,
/// `what`.
static TABLE: [AtomicPtr<c_void>; 5] = [const { AtomicPtr::new(ptr::null_mut()) }; 5];

extern "C" fn destroy(_object: *const c_void) {}

extern "C" fn what(_object: *const c_void) -> *const c_void {
    c"std::bad_alloc".as_ptr().cast()
}
