//! The live view on a real terminal, as `tmux` has one: what is on the screen, the keys, and the
//! end.

mod targets;

use std::process::Command;

use allocator_core::Strata;
use capi_tests::available_or_skip;
use targets::{Target, rest, wait_for};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

#[test]
fn child() {
    rest();
}

/// A terminal with a program in it.
struct Screen {
    /// The name of a server of its own.
    server: String,
}

impl Screen {
    /// `None`: there is no `tmux`.
    fn new(name: &str, columns: u32, rows: u32, arguments: &str) -> Option<Self> {
        if !available_or_skip("tmux") {
            return None;
        }
        let screen = Screen { server: format!("strata-top-{}-{name}", std::process::id()) };
        // The message of a program that ends at once is seen, too.
        let command =
            format!("{} {arguments}; echo \"status $?\"; cat", env!("CARGO_BIN_EXE_strata-top"));
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let size = ["-x", &columns, "-y", &rows];
        screen.tmux(&[&["new-session", "-d"], &size[..], &["sh", "-c", &command]].concat());
        Some(screen)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        // Characters are those of UTF-8 whatever the environment says; no settings of the user's.
        command.args(["-u", "-f", "/dev/null", "-L", &self.server]).args(arguments);
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
        let output = command.output().expect("tmux starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen has all of these.
    fn shows(&self, parts: &[&str]) -> String {
        let mut text = String::new();
        wait_for(&format!("{parts:?} on the screen"), || {
            text = self.text();
            parts.iter().all(|part| text.contains(part))
        });
        text
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let server = ["-L", &self.server, "kill-server"];
        let _ = Command::new("tmux").args(server).output();
    }
}

/// The names of the rows that each screen has.
const ROWS: [&str; 15] = [
    "live ",
    "  above 32 KiB ",
    "cached ",
    "free ",
    "committed ",
    "mapped ",
    "RSS ",
    "  huge pages ",
    "allocated so far ",
    "freed so far ",
    "purged so far ",
    "soft limit ",
    "hard limit ",
    "threads ",
    "q quit ",
];

fn check_rows(text: &str, rows: &[&str]) {
    for row in rows {
        assert!(text.lines().any(|line| line.starts_with(row)), "{row} in\n{text}");
    }
}

#[test]
fn a_small_terminal() {
    let target = Target::rust();
    let arguments = format!("--delay 0.2 {}", target.pid());
    let Some(screen) = Screen::new("small", 80, 24, &arguments) else { return };
    let text = screen.shows(&["q quit", "size class", "20480 B", "1.0 MiB"]);
    assert_eq!(text.lines().count(), 24);
    check_rows(&text, &ROWS);
    assert!(!text.contains("swapped"), "{text}");
    // There is a line of what was.
    let text = screen.shows(&["█"]);
    assert!(text.contains("committed") && text.contains(", up to "), "{text}");
    screen.press("q");
    screen.shows(&["status 0"]);
}

#[test]
fn a_large_terminal() {
    let target = Target::c("limit:1GiB");
    let Some(screen) = Screen::new("large", 200, 50, &target.pid().to_string()) else { return };
    let text = screen.shows(&["q quit", "size class", "20480 B"]);
    assert_eq!(text.lines().count(), 50);
    check_rows(&text, &ROWS);
    check_rows(&text, &["tables and records ", "swapped ", "refused requests "]);
    let limit = text.lines().find(|line| line.starts_with("soft limit ")).expect("the row");
    assert!(limit.contains(" 1.0 GiB"), "{limit}");
    assert!(text.contains("libstrata.so"), "{text}");
}

/// From the list to a process and back. What is stopped can be looked at.
#[test]
fn the_list_of_processes() {
    let target = Target::c("");
    target.signal(libc::SIGSTOP);
    let Some(screen) = Screen::new("list", 100, 40, "--delay 0.2") else { return };
    let line = format!(" {} ", target.pid());
    let text = screen.shows(&["on Strata", &line]);
    // The list may have processes of other tests.
    let (mut down, at) = (0, |text: &str| text.lines().position(|it| it.contains(&line)));
    let rows = at(&text).expect("it is there") - 2;
    while down < rows {
        screen.press("Down");
        down += 1;
    }
    screen.press("Enter");
    screen.shows(&["size class"]);
    screen.press("p");
    screen.shows(&["on Strata", "Enter show"]);
    screen.press("q");
    screen.shows(&["status 0"]);
}

#[test]
fn a_process_that_ends() {
    let mut target = Target::rust();
    let arguments = format!("--delay 0.2 {}", target.pid());
    let Some(screen) = Screen::new("ends", 80, 24, &arguments) else { return };
    screen.shows(&["q quit"]);
    target.kill();
    screen.shows(&[&format!("strata-top: process {} has ended", target.pid()), "status 1"]);
}
