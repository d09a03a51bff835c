//! The server on Google's TCMalloc.

benches::serve_with!(
    "tcmalloc",
    tcmalloc_better::TCMalloc,
    tcmalloc_better::TCMalloc,
    String::from("tcmalloc-better 0.1.19")
);
