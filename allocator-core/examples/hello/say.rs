//! The code that both programs share.

/// Prints a greeting, the anonymous and the resident bytes of this process.
pub(crate) fn hello() {
    let words = ["hello", "world"].map(String::from);
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let bytes = |field: &str| {
        let value = rollup.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0 kB");
        let kib = value.split_whitespace().next().and_then(|n| n.parse::<usize>().ok());
        kib.unwrap_or(0) << 10
    };
    let (own, all) = (bytes("Anonymous:"), bytes("Rss:"));
    println!("{}: {own} {all} bytes", words.join(" "));
}
