//! Large groups: their fan-out leaves the hot path.
//!
//! One task gives out the entries of all large groups, in the order of their announcement, a slice
//! of members at a time, so that neither the lanes of the committer nor pairs wait for it. When it
//! is behind, sends into large groups are answered 0x97; what comes all the same is not queued:
//! the devices read it from the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::presence::Epoch;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::directory::{Known, Overflow, Route};
use crate::inner::Inner;
use crate::pace::Pace;
use crate::session::DeviceSession;
use crate::wire::Rendered;
use crate::{clock, limits, metrics};

/// Part of a log, on its way to the devices of a large group.
pub(crate) struct Job {
    pub(crate) route: Arc<Mutex<Route>>,
    pub(crate) conversation: ConversationId,
    /// The members when it was announced, or later.
    pub(crate) known: Arc<Known>,
    pub(crate) what: What,
    /// Sessions from here on have begun after it was committed.
    pub(crate) before: Epoch,
    pub(crate) since: Instant,
}

/// What is given out.
pub(crate) enum What {
    /// The entry that follows the one before.
    Entry(Arc<Entry>),
    /// From the first place to the last the devices read the log.
    Gap(Seq, Seq),
}

impl What {
    /// Of bodies.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Entry(entry) => entry.body.len(),
            Self::Gap(..) => 0,
        }
    }

    /// From the first place to the last.
    pub(crate) fn places(&self) -> (Seq, Seq) {
        match self {
            Self::Entry(entry) => (entry.seq, entry.seq),
            Self::Gap(from, to) => (*from, *to),
        }
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
}

/// The pool of large groups.
pub(crate) struct Large {
    queue: Mutex<Queue>,
    filled: Notify,
    waiting: AtomicUsize,
    /// How long the entry that is being given out has waited, in milliseconds.
    waited_ms: AtomicU64,
}

impl Large {
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
            waiting: AtomicUsize::new(0),
            waited_ms: AtomicU64::new(0),
        }
    }

    /// Whether an entry with a body of so many bytes can be queued.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let queue = self.queue.lock();
        queue.jobs.len() < limits::LARGE_QUEUE_MAX
            && queue.bytes + bytes <= limits::LARGE_QUEUE_BYTES_MAX
    }

    /// Queues. The caller has asked [`Large::has_room`], or queues a gap, which is small and of
    /// which each conversation has at most one.
    pub(crate) fn push(&self, job: Job) {
        let mut queue = self.queue.lock();
        queue.bytes += job.what.bytes();
        queue.jobs.push_back(job);
        self.note(queue.jobs.len());
        drop(queue);
        self.filled.notify_one();
    }

    fn pop(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        let job = queue.jobs.pop_front()?;
        queue.bytes -= job.what.bytes();
        self.note(queue.jobs.len());
        let waited_ms = u64::try_from(job.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.waited_ms.store(waited_ms, Ordering::Relaxed);
        Some(job)
    }

    fn note(&self, waiting: usize) {
        self.waiting.store(waiting, Ordering::Relaxed);
        // A gauge may round.
        #[allow(clippy::cast_precision_loss)]
        ::metrics::gauge!(metrics::LARGE_QUEUE).set(waiting as f64);
    }

    /// Whether more comes than can be given out: large groups shall wait.
    pub(crate) fn is_behind(&self) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        let late = || self.waited_ms.load(Ordering::Relaxed) >= limits::LARGE_LATE_MS;
        waiting >= limits::LARGE_BEHIND || (waiting > 0 && late())
    }
}

/// Starts the pool.
pub(crate) fn start(inner: &Arc<Inner>) -> JoinHandle<()> {
    tokio::spawn(inner.supervisor.watch("fan-out of large groups", run(Arc::clone(inner))))
}

async fn run(inner: Arc<Inner>) {
    loop {
        while let Some(job) = inner.large.pop() {
            give_out(&inner, job).await;
        }
        inner.large.filled.notified().await;
    }
}

/// Gives out a job; behind the last one of its conversation, what has come while the queue was full.
async fn give_out(inner: &Arc<Inner>, mut job: Job) {
    loop {
        fan_out(inner, &job).await;
        let mut state = job.route.lock();
        let last = state.pooled <= 1;
        match state.overflow.take_if(|_| last) {
            Some(Overflow { from, to, before }) => {
                (job.what, job.before) = (What::Gap(from, to), before);
                // Some may have joined since.
                job.known = state.known.clone().unwrap_or(job.known);
            }
            None => {
                state.pooled = state.pooled.saturating_sub(1);
                return;
            }
        }
    }
}

async fn fan_out(inner: &Inner, job: &Job) {
    let now_ms = clock::now_ms();
    let (rendered, seq) = match &job.what {
        What::Entry(entry) => (Some(Rendered::new(entry, now_ms)), entry.seq),
        What::Gap(_, to) => (None, *to),
    };
    let mut pace = Pace::new();
    let short = job.known.members.len() <= limits::LARGE_BURST_MAX;
    for slice in job.known.members.chunks(limits::LARGE_SLICE) {
        // Whoever was removed since the announcement gets nothing any more.
        let Some(now) = job.route.lock().known.clone() else { return };
        let mut given = 0;
        for member in slice {
            let joined = if Arc::ptr_eq(&now, &job.known) {
                Some(member.joined)
            } else {
                now.joined(&member.user)
            };
            let Some(joined) = joined.filter(|joined| seq > *joined) else { continue };
            inner.online.each(&member.user, |session| {
                if session.epoch >= job.before {
                    return;
                }
                given += 1;
                give(session, job, rendered.as_ref(), joined, now.large);
            });
        }
        let waiting = inner.large.waiting.load(Ordering::Relaxed);
        pace.gave(given, short || waiting >= limits::LARGE_HURRY).await;
    }
}

/// Gives a job to one device. `large`: the conversation still is a large group.
fn give(
    session: &DeviceSession,
    job: &Job,
    rendered: Option<&Rendered<'_>>,
    joined: Seq,
    large: bool,
) {
    let (next, seq) = match &job.what {
        What::Entry(entry) => (entry.seq, entry.seq),
        What::Gap(from, to) => ((*from).max(joined.next()), *to),
    };
    let own = rendered.is_some_and(|rendered| is_own(session, rendered.entry()));
    if large && session.hold(job.conversation, next, seq, own) {
        return;
    }
    match rendered {
        Some(rendered) => session.offer(rendered),
        None => session.fall_behind(job.conversation, next, seq),
    }
}

fn is_own(session: &DeviceSession, entry: &Entry) -> bool {
    let identity = session.identity();
    entry.sender == identity.user && entry.device == identity.device
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_has_room_for_so_many_bytes() {
        let large = Large::new();
        large.queue.lock().bytes = limits::LARGE_QUEUE_BYTES_MAX - 10;
        assert!(large.has_room(10) && !large.has_room(11));
    }
}
