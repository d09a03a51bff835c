//! The program that runs a row on its process' allocator: `page_heap-run ROW
//! SCALE WATCH_SECONDS` prints the row's figures as a line of JSON.

use std::process::ExitCode;
use std::time::Duration;

use benches::pages::{Run, find};

fn values(arguments: &[String]) -> Option<Vec<Option<f64>>> {
    let [row, scale, watch] = arguments else { return None };
    let number = |text: &str| text.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0);
    let watch = Duration::from_secs_f64(number(watch)?);
    Some(find(row)?.run(&Run { scale: number(scale)?, watch }))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match values(&arguments).map(|values| serde_json::to_string(&values)) {
        Some(Ok(line)) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: page_heap-run ROW SCALE WATCH_SECONDS");
            ExitCode::from(2)
        }
    }
}
