//! Child processes whose output is read with a time limit, and which are killed
//! when dropped.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// Number of lines of standard error that are kept.
const KEPT: usize = 200;
/// Time limit for the exit of a child that has closed its output.
const ENDING: Duration = Duration::from_secs(5);

/// A running child process that is killed when this value is dropped.
pub struct Leashed {
    what: String,
    child: Child,
    /// Kept open so that the child does not see the end of its input.
    _input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Arc<Mutex<VecDeque<String>>>,
    error_reader: Option<JoinHandle<()>>,
}

impl Leashed {
    /// Starts `command`; error messages call it `what`.
    pub fn start(command: &mut Command, what: &str) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {what}"))?;
        let (sender, lines) = channel();
        let errors = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(output) = child.stdout.take() {
            read_lines(output, move |line| sender.send(line).is_ok());
        }
        let error_reader = child.stderr.take().map(|output| {
            let errors = Arc::clone(&errors);
            read_lines(output, move |line| {
                let mut kept = errors.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_back(line);
                if kept.len() > KEPT {
                    kept.pop_front();
                }
                true
            })
        });
        let input = child.stdin.take();
        Ok(Self { what: what.to_owned(), child, _input: input, lines, errors, error_reader })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output. If it has exited, an error with its status.
    pub fn line(&mut self, limit: Duration) -> Result<String> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                Err(anyhow!("{} printed nothing for {} s", self.what, limit.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.obituary()),
        }
    }

    /// Succeeds if it is still running; otherwise an error with its status.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(self.obituary()),
        }
    }

    /// Reads all of its output and waits for its exit.
    pub fn run(&mut self, limit: Duration) -> Result<(ExitStatus, Vec<String>)> {
        let deadline = Instant::now() + limit;
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(anyhow!("{} took longer than {} s", self.what, limit.as_secs()));
                }
            }
        }
        let status = self.ended().with_context(|| format!("{} does not exit", self.what))?;
        Ok((status, lines))
    }

    /// The last lines that it wrote to standard error.
    pub fn errors(&mut self) -> Vec<String> {
        if self.ended().is_some() {
            // The rest is in the pipe: wait for the reader to finish.
            if let Some(reader) = self.error_reader.take() {
                let _ = reader.join();
            }
        }
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + ENDING;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return None,
            }
        }
    }

    fn obituary(&mut self) -> anyhow::Error {
        let Some(status) = self.ended() else {
            return anyhow!("{} closed its output", self.what);
        };
        let last = self.errors().into_iter().rev().find(|line| !line.trim().is_empty());
        match last {
            Some(last) => anyhow!("{} exited ({status}): {last}", self.what),
            None => anyhow!("{} exited ({status})", self.what),
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(
    output: impl Read + Send + 'static,
    mut take: impl FnMut(String) -> bool + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut bytes = Vec::new();
        while matches!(output.read_until(b'\n', &mut bytes), Ok(n) if n > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            if !take(line) {
                break;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Leashed {
        Leashed::start(Command::new("sh").args(["-c", script]), "the shell").unwrap()
    }

    #[test]
    fn a_child_that_ends_badly_is_reported_with_its_last_words() {
        let mut child = shell("echo hello; echo first >&2; echo last line >&2; exit 3");
        assert_eq!(child.line(Duration::from_secs(5)).unwrap(), "hello");
        let error = child.line(Duration::from_secs(5)).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("last line"), "{error}");
        assert!(child.check().is_err());
    }

    #[test]
    fn a_child_killed_by_a_signal_is_reported_so() {
        let mut child = shell("kill -SEGV $$");
        let error = child.line(Duration::from_secs(5)).unwrap_err().to_string();
        assert!(error.contains("signal: 11"), "{error}");
    }

    #[test]
    fn a_silent_child_hits_the_limit_and_is_killed_when_dropped() {
        let mut child = shell("sleep 60");
        let error = child.line(Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("printed nothing"), "{error}");
        child.check().unwrap();
        let pid = child.pid();
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_child_can_be_run_to_its_end() {
        let (status, lines) = shell("echo a; echo b").run(Duration::from_secs(5)).unwrap();
        assert!(status.success());
        assert_eq!(lines, ["a", "b"]);
        assert!(shell("exec sleep 60").run(Duration::from_millis(50)).is_err());
    }
}
