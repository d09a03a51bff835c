//! Threads of the C library. Rust's take a lock when they start, which the child of a fork
//! may find held for ever.

use std::ffi::c_void;

use crate::violated;

/// A thread that was started.
pub(crate) struct Thread(libc::pthread_t);

type Work = Box<dyn FnOnce() + Send>;

extern "C" fn run(work: *mut c_void) -> *mut c_void {
    // SAFETY: `start` made it of such a box, for this call alone.
    let work = unsafe { Box::from_raw(work.cast::<Work>()) };
    work();
    std::ptr::null_mut()
}

/// Starts a thread; `None` if the system refuses.
pub(crate) fn start(work: impl FnOnce() + Send + 'static) -> Option<Thread> {
    let work: Work = Box::new(work);
    let work = Box::into_raw(Box::new(work));
    let mut thread = 0;
    // SAFETY: the function takes the box.
    let status =
        unsafe { libc::pthread_create(&raw mut thread, std::ptr::null(), run, work.cast()) };
    if status != 0 {
        // SAFETY: no thread has it.
        drop(unsafe { Box::from_raw(work) });
        return None;
    }
    Some(Thread(thread))
}

impl Thread {
    /// Waits until the thread has ended, its exit hooks included.
    pub(crate) fn join(self) {
        // SAFETY: it is joined once.
        unsafe { libc::pthread_join(self.0, std::ptr::null_mut()) };
    }
}

/// Forks, does the `work` in the child, without the parent's alarms, and waits for it: it must
/// succeed.
pub(crate) fn fork(what: &str, work: impl FnOnce()) {
    // SAFETY: the child ends without handlers of the parent.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::signal(libc::SIGALRM, libc::SIG_DFL);
            libc::alarm(60);
            work();
            libc::_exit(0);
        }
        expect_success(child, what);
    }
}

/// Waits for a child, which must succeed.
fn expect_success(child: libc::pid_t, what: &str) {
    if child < 0 {
        return;
    }
    let mut status = 0;
    // SAFETY: plain calls.
    unsafe {
        while libc::waitpid(child, &raw mut status, 0) != child {
            if *libc::__errno_location() != libc::EINTR {
                return;
            }
        }
    }
    if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0 {
        let hung = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM;
        let how = if hung { ": it hangs" } else { "" };
        violated!("{what} ended with status {status:#x}{how}");
    }
}
