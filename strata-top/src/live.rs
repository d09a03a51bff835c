//! The live view: reads a process again and again, draws it, and follows the keys.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::draw::{self, Unread};
use crate::history::History;
use crate::problem::Problem;
use crate::process;
use crate::sample::{Sample, Source};

/// How often all processes are searched for those on Strata.
const SEARCH: Duration = Duration::from_secs(5);

/// The terminal does not do as it is told.
fn of_terminal(error: io::Error) -> Problem {
    Problem::System { what: "the terminal".to_owned(), error }
}

/// What is shown next.
enum Next {
    Quit,
    Process(Source),
    Processes,
}

/// Shows a process, or the list of all, until the user quits.
///
/// # Errors
/// The process cannot be read, or has ended. There is no terminal.
pub(crate) fn run(pid: Option<i32>, delay: Duration) -> Result<(), Problem> {
    // What is wrong with the process is said before the screen is cleared.
    let mut next = match pid {
        Some(pid) => Next::Process(Source::open(pid)?),
        None => Next::Processes,
    };
    if !io::stdout().is_terminal() {
        return Err(Problem::NoTerminal);
    }
    let mut terminal = ratatui::try_init().map_err(of_terminal)?;
    let result = loop {
        let shown = match next {
            Next::Quit => break Ok(()),
            Next::Process(source) => show(&mut terminal, source, delay),
            Next::Processes => choose(&mut terminal, delay),
        };
        match shown {
            Ok(then) => next = then,
            // Whoever came from the list goes back there.
            Err(Problem::Ended(_) | Problem::Replaced(_)) if pid.is_none() => {
                next = Next::Processes;
            }
            Err(problem) => break Err(problem),
        }
    };
    ratatui::restore();
    result
}

/// Waits for a key, or until a time.
fn key_until(until: Instant) -> Result<Option<KeyEvent>, Problem> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if !event::poll(left).map_err(of_terminal)? {
            return Ok(None);
        }
        match event::read().map_err(of_terminal)? {
            Event::Key(key) if key.kind == KeyEventKind::Press => return Ok(Some(key)),
            // What is there is drawn anew.
            Event::Resize(..) => return Ok(None),
            _ => {}
        }
    }
}

fn is_quit(key: KeyEvent) -> bool {
    let is_interrupt =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

/// Shows a process.
fn show(
    terminal: &mut DefaultTerminal,
    mut source: Source,
    delay: Duration,
) -> Result<Next, Problem> {
    let mut history = History::new(source.read()?);
    let (mut from, mut due) = (0_usize, Instant::now() + delay);
    loop {
        let draw = |frame: &mut ratatui::Frame| draw::process(frame, &history, from);
        terminal.draw(draw).map_err(of_terminal)?;
        let key = key_until(due)?;
        if Instant::now() >= due {
            history.add(source.read()?);
            due = Instant::now() + delay;
        }
        let Some(key) = key else { continue };
        match key.code {
            _ if is_quit(key) => return Ok(Next::Quit),
            KeyCode::Char('p') => return Ok(Next::Processes),
            KeyCode::Tab => {
                source.show_next();
                history = History::new(source.read()?);
            }
            KeyCode::Up => from = from.saturating_sub(1),
            KeyCode::Down => from = (from + 1).min(history.classes().len().saturating_sub(1)),
            _ => {}
        }
    }
}

/// All processes on Strata.
struct Found {
    sources: Vec<Source>,
    unread: Unread,
}

impl Found {
    fn search() -> Result<Self, Problem> {
        let (mut sources, mut unread) = (Vec::new(), Unread::default());
        for pid in process::all()? {
            match Source::open(pid) {
                Ok(source) => sources.push(source),
                Err(Problem::Denied { .. }) => unread.denied += 1,
                Err(Problem::Layout { .. }) => unread.of_another_layout += 1,
                Err(_) => {}
            }
        }
        Ok(Found { sources, unread })
    }

    /// Reads all of them. Those that have ended are gone.
    fn read(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.sources.retain_mut(|source| source.read().map(|it| samples.push(it)).is_ok());
        samples
    }
}

/// Lets the user choose a process.
fn choose(terminal: &mut DefaultTerminal, delay: Duration) -> Result<Next, Problem> {
    let mut found = Found::search()?;
    let (mut samples, mut selected) = (found.read(), 0_usize);
    let (mut due, mut search) = (Instant::now() + delay, Instant::now() + SEARCH);
    loop {
        selected = selected.min(samples.len().saturating_sub(1));
        terminal
            .draw(|frame| draw::processes(frame, &samples, selected, &found.unread))
            .map_err(of_terminal)?;
        let key = key_until(due)?;
        if Instant::now() >= due {
            if Instant::now() >= search {
                found = Found::search()?;
                search = Instant::now() + SEARCH;
            }
            samples = found.read();
            due = Instant::now() + delay;
        }
        let Some(key) = key else { continue };
        match key.code {
            _ if is_quit(key) => return Ok(Next::Quit),
            KeyCode::Up => selected = selected.saturating_sub(1),
            KeyCode::Down => selected += 1,
            KeyCode::Enter if selected < found.sources.len() => {
                return Ok(Next::Process(found.sources.swap_remove(selected)));
            }
            _ => {}
        }
    }
}
