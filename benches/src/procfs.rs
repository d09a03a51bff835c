//! Memory and CPU time of a process, from the kernel.
//!
//! Not from a crate: most of this is read by the programs that are measured, and
//! one that parses whole files into tables would allocate on what it measures.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::FromRawFd;

use anyhow::{Context, Result};

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux port that
/// Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident bytes of process `pid`, from `smaps_rollup` (exact) or, if that
/// cannot be read, from `status`.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .ok()
        .and_then(|text| kilobytes(&text, "Rss:"))
        .or_else(|| kilobytes(&status(pid).ok()?, "VmRSS:"))
        .with_context(|| format!("no resident size of process {pid}"))
}

/// What is resident of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resident {
    /// In bytes.
    pub bytes: u64,
    /// Bytes in huge pages of anonymous memory.
    pub huge_bytes: u64,
    /// The most so far.
    pub peak_bytes: u64,
}

/// What is resident of process `pid`.
pub fn resident(pid: u32) -> Result<Resident> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let sums = fs::read_to_string(&path).with_context(|| path.clone())?;
    let of = |key| kilobytes(&sums, key).with_context(|| format!("no {key} in {path}"));
    let (bytes, huge_bytes) = (of("Rss:")?, of("AnonHugePages:")?);
    Ok(Resident { bytes, huge_bytes, peak_bytes: peak_resident_bytes(pid)?.max(bytes) })
}

/// Numbers of processors, from a list with commas.
pub fn processors(list: &str) -> Result<Vec<usize>> {
    let number = |word: &str| word.parse().ok().filter(|cpu| *cpu < libc::CPU_SETSIZE as usize);
    let cpus: Option<Vec<usize>> = list.split(',').map(number).collect();
    cpus.with_context(|| format!("{list} is not a list of processors"))
}

/// Resident bytes of this process, from `smaps_rollup`. Does not allocate, so
/// that the measurement does not affect the result.
pub fn own_resident_bytes() -> Option<u64> {
    // SAFETY: the path ends with a null byte.
    let file = unsafe {
        libc::open(c"/proc/self/smaps_rollup".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)
    };
    if file < 0 {
        return None;
    }
    // SAFETY: just opened, and not used elsewhere.
    let mut file = unsafe { File::from_raw_fd(file) };
    let (mut text, mut length) = ([0; 4096], 0);
    loop {
        match file.read(&mut text[length..]).ok()? {
            0 => return kilobytes(str::from_utf8(&text[..length]).ok()?, "Rss:"),
            read => length += read,
        }
    }
}

/// Peak resident bytes of process `pid`.
pub fn peak_resident_bytes(pid: u32) -> Result<u64> {
    kilobytes(&status(pid)?, "VmHWM:")
        .with_context(|| format!("no peak resident size of process {pid}"))
}

/// Bytes of addresses that process `pid` has mapped, touched or not: what
/// `RLIMIT_AS` limits.
pub fn mapped_bytes(pid: u32) -> Result<u64> {
    kilobytes(&status(pid)?, "VmSize:").with_context(|| format!("no size of process {pid}"))
}

/// User and system time of process `pid` so far, in seconds.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    ticks(&text).map(|ticks| ticks as f64 / TICKS_PER_SECOND).with_context(|| path)
}

fn status(pid: u32) -> Result<String> {
    let path = format!("/proc/{pid}/status");
    fs::read_to_string(&path).context(path)
}

/// The value of the line that starts with `key`, given in kB.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    let value: u64 = line[key.len()..].split_whitespace().next()?.parse().ok()?;
    Some(value * 1024)
}

/// `utime` + `stime`, the 14th and 15th fields. The 2nd may contain spaces, so
/// counting starts after its closing parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Pages of the largest block that the kernel keeps, as a power of two.
const LARGEST_ORDER: u32 = 10;

/// Whether the kernel gives free blocks of this many pages, a power of two, back to the host
/// of a virtual machine. What is used again then costs a page fault in the host as well.
fn reports_free_pages(order: &str) -> bool {
    order.trim().parse::<u32>().is_ok_and(|order| order <= LARGEST_ORDER)
}

/// One-line description of the machine: processor, cores, memory, kernel, huge
/// page setting, and whether free pages leave it.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = kilobytes(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) >> 30;
    let kernel = read("/proc/sys/kernel/osrelease");
    let huge = read("/sys/kernel/mm/transparent_hugepage/enabled");
    let huge = huge.split(['[', ']']).nth(1).unwrap_or("unknown");
    let order = read("/sys/module/page_reporting/parameters/page_reporting_order");
    let reports = if reports_free_pages(&order) { ", free pages go back to the host" } else { "" };
    format!(
        "{model}, {cores} cores, {memory} GiB, Linux {}, transparent huge pages: {huge}{reports}",
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_blanks_and_brackets() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 3 0";
        assert_eq!(ticks(stat), Some(150));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn free_pages_are_reported_by_blocks_that_exist() {
        assert!(reports_free_pages("9\n"));
        // Without a device that takes reports; switched off; a kernel without it.
        assert!(!["4294967295\n", "11\n", ""].into_iter().any(reports_free_pages));
    }

    #[test]
    fn sizes_are_read_in_kilobytes() {
        assert_eq!(kilobytes("VmPeak: 9 kB\nVmHWM:\t  12 kB\n", "VmHWM:"), Some(12 * 1024));
        assert_eq!(kilobytes("VmPeak: 9 kB\n", "VmHWM:"), None);
    }

    #[test]
    fn processors_are_numbers() {
        assert_eq!(processors("0,3").unwrap(), [0, 3]);
        assert!(processors("0,x").is_err() && processors("").is_err());
        assert!(processors("4096").is_err());
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        let resident = resident_bytes(pid).unwrap();
        assert!(resident > 64 << 10);
        assert!(own_resident_bytes().unwrap() > 64 << 10);
        assert!(peak_resident_bytes(pid).unwrap() + (1 << 20) >= resident / 2);
        assert!(mapped_bytes(pid).unwrap() >= resident / 2);
        let before = cpu_seconds(pid).unwrap();
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 60 {
            std::hint::black_box(0);
        }
        assert!(cpu_seconds(pid).unwrap() > before);
    }
}
