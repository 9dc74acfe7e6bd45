//! Tasks that nothing works without: one that ends by itself, or panics, is told to whoever can end
//! the process.
//!
//! A lane, a clock or a sweeper that stops silently stops what it was for: its conversations wait
//! for ever, with every probe green. The kept promise is simpler: such a task runs until it is told
//! to stop, or the process ends with a line that says which one died and how. A restart of the whole
//! process is the one restart that is known to be safe.
//!
//! What works for one client alone is contained instead ([`contain`]): a fault there ends what its
//! cure ends, usually that client's connection, which begins anew from the store. One user's fault
//! must not stop the others.
//!
//! No runtime is named here: a [`Supervisor`] wraps a future, the role spawns it as ever.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// A task that died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Its name.
    pub task: &'static str,
    /// The panic's words, or that it ended.
    pub why: String,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task \"{}\" died: {}", self.task, self.why)
    }
}

type Tell = dyn Fn(Death) + Send + Sync;

/// Watches the tasks of one role.
pub struct Supervisor {
    tell: Box<Tell>,
    stopping: AtomicBool,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("stopping", &self.stopping).finish_non_exhaustive()
    }
}

impl Supervisor {
    /// `tell` is called for each death, from the task that died. It must not block.
    #[must_use]
    pub fn new(tell: impl Fn(Death) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { tell: Box::new(tell), stopping: AtomicBool::new(false) })
    }

    /// From now on tasks may end. A panic is still told.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// The same task, watched: it never panics outwards. One that is dropped (aborted, or with its
    /// runtime) is not told of.
    pub fn watch<F>(self: &Arc<Self>, task: &'static str, future: F) -> Watched<F>
    where
        F: Future<Output = ()> + Send,
    {
        Watched { supervisor: Arc::clone(self), task, future: Box::pin(future), ends: false }
    }

    /// As [`Supervisor::watch`], for a task that ends when its work is done: only a panic is told.
    pub fn watch_part<F>(self: &Arc<Self>, task: &'static str, future: F) -> Watched<F>
    where
        F: Future<Output = ()> + Send,
    {
        Watched { ends: true, ..self.watch(task, future) }
    }

    fn died(&self, task: &'static str, why: String) {
        (self.tell)(Death { task, why });
    }
}

/// See [`Supervisor::watch`].
#[must_use = "a task does nothing until it is spawned"]
pub struct Watched<F> {
    supervisor: Arc<Supervisor>,
    task: &'static str,
    future: Pin<Box<F>>,
    /// It may.
    ends: bool,
}

impl<F> fmt::Debug for Watched<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.task)
    }
}

impl<F: Future<Output = ()> + Send> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // What the task leaves half-done is not looked at again: the process ends.
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => {
                if !self.ends && !self.supervisor.stopping.load(Ordering::SeqCst) {
                    self.supervisor.died(self.task, "it ended, which it must not".to_owned());
                }
            }
            Err(panic) => self.supervisor.died(self.task, words(panic.as_ref())),
        }
        Poll::Ready(())
    }
}

/// The same task, whose panic is the business of one client only: it is told to `cure` and goes no
/// further. `cure` has to leave nothing behind that waits for the task.
pub fn contain<F, C>(task: &'static str, future: F, cure: C) -> Contained<F, C>
where
    F: Future<Output = ()> + Send,
    C: FnOnce(Death) + Send,
{
    Contained { task, future: Box::pin(future), cure: Some(cure) }
}

/// See [`contain`].
#[must_use = "a task does nothing until it is spawned"]
pub struct Contained<F, C> {
    task: &'static str,
    future: Pin<Box<F>>,
    cure: Option<C>,
}

impl<F, C> fmt::Debug for Contained<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contained({})", self.task)
    }
}

// The future is boxed, and the cure is never pinned.
impl<F, C> Unpin for Contained<F, C> {}

impl<F: Future<Output = ()> + Send, C: FnOnce(Death) + Send> Future for Contained<F, C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(panic) => {
                if let Some(cure) = self.cure.take() {
                    cure(Death { task: self.task, why: words(panic.as_ref()) });
                }
                Poll::Ready(())
            }
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "it panicked".to_owned(), |text| format!("it panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::task::Waker;

    fn supervised() -> (Arc<Supervisor>, Arc<Mutex<Vec<Death>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let deaths = Arc::clone(&told);
        (Supervisor::new(move |death| deaths.lock().unwrap().push(death)), told)
    }

    fn poll(task: impl Future<Output = ()> + Send, supervisor: &Arc<Supervisor>) -> Poll<()> {
        let mut task = Box::pin(supervisor.watch("sweep", task));
        task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_death_is_told_and_a_stop_is_none() {
        let (supervisor, told) = supervised();
        assert_eq!(poll(std::future::pending(), &supervisor), Poll::Pending);
        assert!(told.lock().unwrap().is_empty(), "dropped, not dead");
        assert_eq!(poll(async {}, &supervisor), Poll::Ready(()));
        assert_eq!(poll(async { panic!("no {}", "way") }, &supervisor), Poll::Ready(()));
        let words: Vec<String> = told.lock().unwrap().drain(..).map(|d| d.to_string()).collect();
        assert_eq!(
            words,
            [
                "the task \"sweep\" died: it ended, which it must not",
                "the task \"sweep\" died: it panicked: no way"
            ]
        );
        supervisor.stop();
        assert_eq!(poll(async {}, &supervisor), Poll::Ready(()));
        assert!(told.lock().unwrap().is_empty());
        assert_eq!(poll(async { panic!("still") }, &supervisor), Poll::Ready(()));
        assert_eq!(told.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_contained_death_is_told_to_its_cure_alone() {
        let mut context = Context::from_waker(Waker::noop());
        let cured = Arc::new(Mutex::new(Vec::new()));
        let cure = || {
            let cured = Arc::clone(&cured);
            move |death: Death| cured.lock().unwrap().push(death.to_string())
        };
        let mut fine = contain("pull", async {}, cure());
        assert_eq!(Pin::new(&mut fine).poll(&mut context), Poll::Ready(()));
        assert!(cured.lock().unwrap().is_empty());
        let mut dead = contain("pull", async { panic!("no") }, cure());
        assert_eq!(Pin::new(&mut dead).poll(&mut context), Poll::Ready(()));
        assert_eq!(*cured.lock().unwrap(), ["the task \"pull\" died: it panicked: no"]);
    }
}
