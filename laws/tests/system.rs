//! Laws of the system below the allocator.

use laws::source::{idents, tokens};
use laws::workspace::{folder, published, read, shown, with_extension};

/// Memory comes from mappings only; the break belongs to the C library.
#[test]
fn nobody_moves_the_break() {
    for package in published() {
        for path in with_extension(&folder(package).join("src"), &["rs"]) {
            let names = idents(&tokens(&read(path)));
            let named = ["brk", "sbrk", "SYS_brk"].into_iter().find(|it| names.contains(*it));
            assert_eq!(named, None, "{}", shown(path));
        }
    }
}
