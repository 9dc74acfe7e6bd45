//! How a store's connections are used: counted by the store, told by whoever keeps the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What operations have waited for before they had a connection (and on SQLite their turn). Cloning
/// shares it.
#[derive(Debug, Clone)]
pub struct Waits(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    name: &'static str,
    waiting: AtomicU64,
    taken: AtomicU64,
    failed: AtomicU64,
    waited_us: AtomicU64,
    longest_us: AtomicU64,
}

/// A pool at one moment, and since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// What the connections are for.
    pub name: &'static str,
    /// Connections that are open.
    pub open: u64,
    /// Those of them that nobody uses.
    pub idle: u64,
    /// Operations that wait for one.
    pub waiting: u64,
    /// Operations that were given one, since the begin.
    pub taken: u64,
    /// Operations that waited in vain, since the begin.
    pub failed: u64,
    /// What all of them have waited, since the begin.
    pub waited: Duration,
    /// The longest wait that has ended since the last look.
    pub longest: Duration,
}

/// Pools that can be looked at.
pub trait Pools: Send + Sync {
    /// Each pool, always in the same order. A look begins [`Use::longest`] anew.
    fn pools(&self) -> Vec<Use>;
}

/// Counts one who waits, also one who gives up.
struct Waiting<'a> {
    counts: &'a Counts,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        let waited_us = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.waited_us.fetch_add(waited_us, Ordering::Relaxed);
        self.counts.longest_us.fetch_max(waited_us, Ordering::Relaxed);
    }
}

impl Waits {
    /// For the pool of this name.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let zero = || AtomicU64::new(0);
        Self(Arc::new(Counts {
            name,
            waiting: zero(),
            taken: zero(),
            failed: zero(),
            waited_us: zero(),
            longest_us: zero(),
        }))
    }

    /// Awaits what gives a connection, and counts how that went.
    ///
    /// # Errors
    ///
    /// That of `taking`.
    pub async fn during<T, E>(&self, taking: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting { counts: &self.0, since: Instant::now() };
        let taken = taking.await;
        let count = if taken.is_ok() { &self.0.taken } else { &self.0.failed };
        count.fetch_add(1, Ordering::Relaxed);
        drop(waiting);
        taken
    }

    /// A look at it, with how many connections are open and how many of these nobody uses.
    #[must_use]
    pub fn look(&self, open: usize, idle: usize) -> Use {
        let counts = &self.0;
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Use {
            name: counts.name,
            open: wide(open),
            // Both are read one after the other.
            idle: wide(idle.min(open)),
            waiting: read(&counts.waiting),
            taken: read(&counts.taken),
            failed: read(&counts.failed),
            waited: Duration::from_micros(read(&counts.waited_us)),
            longest: Duration::from_micros(counts.longest_us.swap(0, Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_waits_is_counted_also_in_vain() {
        let waits = Waits::new("readers");
        assert_eq!(poll(waits.during(ready(Ok::<_, ()>(7)))), Poll::Ready(Ok(7)));
        assert_eq!(poll(waits.during(ready(Err::<(), _>(8)))), Poll::Ready(Err(8)));
        let mut stuck = Box::pin(waits.during(pending::<Result<(), ()>>()));
        assert!(poll(stuck.as_mut()).is_pending());
        let seen = waits.look(3, 5);
        assert_eq!((seen.name, seen.open, seen.idle), ("readers", 3, 3));
        assert_eq!((seen.waiting, seen.taken, seen.failed), (1, 1, 1));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1) {
            std::hint::spin_loop();
        }
        // Given up.
        drop(stuck);
        let seen = waits.look(3, 3);
        assert_eq!((seen.waiting, seen.taken, seen.failed), (0, 1, 1));
        assert!(
            seen.waited >= Duration::from_millis(1) && seen.longest >= Duration::from_millis(1)
        );
        assert_eq!(waits.look(3, 3).longest, Duration::ZERO);
    }
}
