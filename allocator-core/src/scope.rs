//! Scopes: who a thread allocates for. What is sampled in a scope is counted there, by its stack
//! and as a whole, until it is freed, by whichever thread.
//!
//! ```text
//!  scope      thread's word        sample            freed, anywhere
//!  ───────►   the label        ───►  stack with a label  ───►  subtracted from both
//!             until it ends
//! ```

use core::fmt::{self, Debug, Display, Formatter, Write};
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll};

use crate::profile::amounts::Amount;
use crate::profile::labels::{self, Label, MOST_TEXT};
use crate::profile::record;
use crate::thread::inside;
use crate::thread::scope;
use crate::thread::slow_path::SlowPath;

/// Who memory is allocated for, such as the tenant 42: what the heap profile samples in a scope is
/// counted there until it is freed, whenever that is and in whichever thread.
///
/// ```
/// # use allocator_core::{Scope, Strata};
/// # async fn handle(tenant: u32) {}
/// # fn serve(tenant: u32) -> impl Future<Output = ()> {
/// let scope = Scope::new("tenant", tenant);
/// let rows = scope.run(|| vec![0; 1000]); // code that does not wait
/// scope.wrap(handle(tenant)) // a future, wherever it is polled
/// # }
/// # drop(serve(42));
/// ```
///
/// A scope that a thread enters within another replaces it until it ends. It stays with the thread
/// or the future: a thread or task that is started in it is in none, unless it gets
/// [`Scope::current`].
///
/// There is room for 1,024 scopes, which are kept for ever: tenants, routes or kinds of jobs, but not
/// requests. All others are counted as one, with the key `(others)`.
#[derive(Clone, Copy)]
pub struct Scope(&'static Label);

impl Scope {
    /// The scope of a key and a value. Each is cut to 64 bytes, and control characters in them
    /// become spaces. It formats the value and looks it up in a table, and takes memory of the
    /// allocator's own the first time: the scope may be kept, and copied.
    #[must_use = "nothing is in the scope yet"]
    pub fn new(key: &str, value: impl Display) -> Self {
        let (key, value) = (Text::of(key), Text::of(value));
        let (key, value) = (key.get(), value.get());
        Scope(match labels::find(key, value) {
            Ok(label) => label,
            Err(None) => &labels::OTHERS,
            Err(Some(_)) => add(key, value),
        })
    }

    /// The scope that the calling thread is in, to be passed on to another thread or task. Outside
    /// of all it has the key `(none)`.
    #[must_use]
    pub fn current() -> Self {
        Scope(scope::label())
    }

    /// The key.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.0.key
    }

    /// The value.
    #[must_use]
    pub fn value(self) -> &'static str {
        self.0.value
    }

    /// What was allocated in the scope while the heap profile was on, as estimated from samples.
    #[must_use]
    pub fn allocated(self) -> Amount {
        self.0.amounts.allocated()
    }

    /// What of that was not freed.
    #[must_use]
    pub fn in_use(self) -> Amount {
        self.0.amounts.used()
    }

    /// Puts the calling thread into the scope until what this returns is dropped. Not to be held over
    /// an `await`, where the thread would go on with another task: that is what
    /// [`wrap`](Self::wrap) is for. If several are held at a time, the last is dropped first.
    #[inline]
    #[must_use = "the scope ends when it is dropped"]
    pub fn enter(self) -> Entered {
        Entered { _entered: scope::Entered::new(self.0) }
    }

    /// Runs a function in the scope.
    #[inline]
    pub fn run<R>(self, f: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        f()
    }

    /// A future that is polled in the scope, by whichever thread. A poll takes a few instructions
    /// more, and no memory.
    #[inline]
    pub fn wrap<F: Future>(self, future: F) -> Scoped<F> {
        Scoped { scope: self, future }
    }
}

/// Makes the label of a scope.
#[cold]
#[inline(never)]
fn add(key: &str, value: &str) -> &'static Label {
    let inside = inside::enter();
    let slow = SlowPath::enter();
    let label = record::add_label(key, value);
    slow.leave();
    drop(inside);
    label
}

/// All scopes so far that anything was sampled in, and what was sampled outside of all.
pub(crate) fn sampled() -> impl Iterator<Item = Scope> {
    labels::all().map(Scope).filter(|scope| scope.allocated() != Amount::default())
}

/// The scope of samples with this label; `None`: they were taken outside of all.
pub(crate) fn of(label: &'static Label) -> Option<Scope> {
    (!ptr::eq(label, &labels::NONE)).then_some(Scope(label))
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl Eq for Scope {}

impl Debug for Scope {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({self})")
    }
}

impl Display for Scope {
    /// The key, a colon and the value; the key alone, if the value is empty.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.value() {
            "" => f.write_str(self.key()),
            value => write!(f, "{}:{value}", self.key()),
        }
    }
}

/// The calling thread is in a scope, from [`Scope::enter`]. When it is dropped, also by a panic, the
/// thread is in the scope around it again.
pub struct Entered {
    _entered: scope::Entered,
}

impl Debug for Entered {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Entered")
    }
}

/// A future that is polled in a scope, from [`Scope::wrap`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct Scoped<F> {
    scope: Scope,
    future: F,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.scope.enter();
        // SAFETY: the future is not moved out of what is pinned, nor by its drop, which is the
        // compiler's.
        let future = unsafe { self.map_unchecked_mut(|it| &mut it.future) };
        future.poll(context)
    }
}

/// The beginning of a text, without control characters.
struct Text {
    bytes: [u8; MOST_TEXT],
    len: usize,
    is_cut: bool,
}

impl Text {
    fn of(it: impl Display) -> Self {
        let mut text = Text { bytes: [0; MOST_TEXT], len: 0, is_cut: false };
        // What the text itself refuses is cut; an error of the other's leaves what it wrote.
        let _ = write!(text, "{it}");
        text
    }

    fn get(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let character = if character.is_control() { ' ' } else { character };
            let end = self.len + character.len_utf8();
            self.is_cut |= end > self.bytes.len();
            if !self.is_cut {
                character.encode_utf8(&mut self.bytes[self.len..end]);
                self.len = end;
            }
        }
        Ok(())
    }
}
