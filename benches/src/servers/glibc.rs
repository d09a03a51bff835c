//! The server on the system's allocator (glibc's malloc on most distributions).

benches::serve_with!("glibc", std::alloc::System, std::alloc::System, String::from("the system's"));
