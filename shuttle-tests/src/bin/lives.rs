//! Runs lives of threads under random schedules, until one fails or the time is over.

use clap::Parser;
use shuttle_tests::{Plan, Schedules, run};

#[derive(Parser)]
#[command(about = "Random schedules of whole threads' lives")]
struct Arguments {
    /// What to begin with: with the same seed, the same happens.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// No other execution begins after so many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Executions at most.
    #[arg(long, default_value_t = usize::MAX)]
    executions: usize,
    /// Threads at once.
    #[arg(long, default_value_t = 4)]
    threads: usize,
    /// Steps of each.
    #[arg(long, default_value_t = 12)]
    steps: usize,
    /// Threads have priorities, which change at so many points; without, any thread may be next.
    #[arg(long)]
    pct: Option<usize>,
    /// How many of a thousand steps fork.
    #[arg(long, default_value_t = 0)]
    forks: u32,
    /// A labelled step of the allocator's protocols that is left out.
    #[arg(long)]
    left_out: Option<String>,
}

fn main() {
    let Arguments { seed, seconds, executions, threads, steps, pct, forks, left_out } =
        Arguments::parse();
    let schedules = pct.map_or(Schedules::Random, Schedules::Pct);
    let done = run(&Plan { schedules, seed, executions, seconds, threads, steps, forks, left_out });
    println!("{done} executions");
}
