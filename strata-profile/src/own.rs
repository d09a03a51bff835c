//! The process that this runs in.

use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;

use backtrace::SymbolName;

use crate::modules;
use crate::process::{Function, Object, Process};

/// This process.
#[derive(Debug)]
pub(crate) struct Own;

impl Process for Own {
    fn objects(&self) -> Vec<Object> {
        modules::each(|module| Object {
            path: module.path,
            code: module.code,
            build_id: module.build_id,
        })
    }

    fn functions(&self, address: usize) -> Vec<Function> {
        let mut found = Vec::new();
        backtrace::resolve(address as *mut c_void, |symbol| {
            let name = symbol.name().map(|name| format!("{name:#}"));
            found.extend(name.map(|name| Function {
                name,
                file: symbol.filename().map(|it| it.display().to_string()).unwrap_or_default(),
                line: symbol.lineno().unwrap_or(0),
            }));
        });
        if found.is_empty() {
            let name = exported(address);
            found.extend(name.map(|name| Function { name, file: String::new(), line: 0 }));
        }
        found
    }
}

/// The function at an address behind a call, by the names that its object exports: of libraries
/// that were loaded after the first address was looked up, nothing else is known.
fn exported(address: usize) -> Option<String> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the loader fills the place, and the name is its object's.
    unsafe {
        if libc::dladdr((address - 1) as *const c_void, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_sname;
        let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes())?;
        Some(format!("{:#}", SymbolName::new(name)))
    }
}
