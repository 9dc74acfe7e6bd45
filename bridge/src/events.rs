//! The outbox's stream: what announcements only hasten is true here.
//!
//! This process is a consumer group of its own. An event of an entry that has not gone out waits for
//! its announcement (`event_patience`), and then the entry is read from the log
//! ([`crate::mend`]). So all announcements may be lost, and nobody notices for longer than half a
//! second.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_core::bus::Stream;
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::store::Error;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::directory::Late;
use crate::inner::Inner;
use crate::{limits, retry, route};

/// An event whose announcement may be on its way.
struct Waiting {
    conversation: ConversationId,
    late: Late,
}

/// What the outbox held at a moment, by conversation: the lowest place of each.
struct Look {
    begun: Instant,
    /// `None`: there was more than is looked at.
    lowest: Option<HashMap<ConversationId, Seq>>,
}

/// The events that wait, the oldest first.
#[derive(Default)]
struct Line {
    waiting: Mutex<VecDeque<Waiting>>,
    /// Some wait, or some wait no more.
    changed: Notify,
}

/// This process's place in the stream.
pub(crate) struct Events {
    stream: Arc<dyn Stream>,
    group: String,
    line: Line,
    /// Events up to this position have been looked at. `None`: not joined yet.
    seen: watch::Sender<Option<u64>>,
    /// The newest look; held while it is taken, so that all who wait share the next one.
    look: tokio::sync::Mutex<Option<Look>>,
}

impl Events {
    /// `process` sets this process's group apart from all others'.
    pub(crate) fn new(stream: Arc<dyn Stream>, process: u64) -> Self {
        Self {
            stream,
            group: format!("bridge-{process:016x}"),
            line: Line::default(),
            seen: watch::Sender::new(None),
            look: tokio::sync::Mutex::default(),
        }
    }

    /// Completes when every event from now on is kept for this process: only then may a session
    /// begin. A stream that is away for longer keeps nobody out.
    pub(crate) async fn joined(&self) {
        if self.seen.borrow().is_some() {
            return;
        }
        let mut seen = self.seen.subscribe();
        let joined = seen.wait_for(Option::is_some);
        let _ = tokio::time::timeout(Duration::from_secs(1), joined).await;
    }

    /// Completes when all events that were in the stream at the begin have been looked at.
    async fn caught_up(&self) -> Result<(), Error> {
        let end = self.stream.end().await?;
        let mut seen = self.seen.subscribe();
        let reached = seen.wait_for(|seen| seen.is_some_and(|seen| seen >= end));
        match tokio::time::timeout(limits::EVENTS_TIMEOUT, reached).await {
            // The sender lives as long as `self`.
            Ok(_) => Ok(()),
            Err(elapsed) => Err(Error::Unavailable(Box::new(elapsed))),
        }
    }
}

/// The lowest place of a conversation whose event this process may not have looked at yet; `None`
/// inside: it has looked at all. `None`: that cannot be said, the outbox is too long.
///
/// The outbox is read once for all who ask at the same time.
pub(crate) async fn lowest(
    inner: &Inner,
    conversation: ConversationId,
) -> Result<Option<Option<Seq>>, Error> {
    let asked = Instant::now();
    let events = &inner.events;
    let mut look = events.look.lock().await;
    if look.as_ref().is_none_or(|look| look.begun <= asked) {
        *look = None;
        let begun = Instant::now();
        let found = inner.store.outbox(limits::OUTBOX_LOOK_MAX).await?;
        // What had left the outbox before that is in the stream: it says so itself.
        events.caught_up().await?;
        let whole = found.len() < limits::OUTBOX_LOOK_MAX as usize;
        let lowest = whole.then(|| {
            let mut lowest = HashMap::new();
            for event in found {
                let seq = lowest.entry(event.conversation).or_insert(event.seq);
                *seq = event.seq.min(*seq);
            }
            lowest
        });
        *look = Some(Look { begun, lowest });
    }
    let lowest = look.as_ref().and_then(|look| look.lowest.as_ref());
    Ok(lowest.map(|lowest| lowest.get(&conversation).copied()))
}

/// Looks at events as they come.
pub(crate) async fn follow(inner: Arc<Inner>) {
    let events = &inner.events;
    let mut backoff = retry::Backoff::new();
    loop {
        let joined = events.seen.borrow().is_some();
        let result = if joined {
            read(&inner).await
        } else {
            let at = events.stream.join(&events.group).await;
            at.map(|at| {
                events.seen.send_replace(Some(at));
            })
        };
        match result {
            Ok(()) => backoff = retry::Backoff::new(),
            Err(error) => {
                retry::note("stream", &error);
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

async fn read(inner: &Inner) -> Result<(), Error> {
    let events = &inner.events;
    let found = events.stream.read(&events.group, limits::EVENTS_PER_READ).await?;
    let Some((last, _)) = found.last().copied() else { return Ok(()) };
    let (since, before) = (Instant::now(), inner.presence.epoch_now());
    let late: Vec<Waiting> = found
        .into_iter()
        .filter(|(_, event)| route::happened(inner, event.conversation, event.seq))
        .map(|(_, event)| Waiting {
            conversation: event.conversation,
            late: Late { since, before, upto: event.seq },
        })
        .collect();
    if !late.is_empty() {
        events.line.room().await;
        events.line.waiting.lock().extend(late);
        events.line.changed.notify_waiters();
    }
    events.seen.send_replace(Some(last));
    events.stream.done(&events.group, last).await
}

impl Line {
    /// While too many wait the stream is not read.
    async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            if self.waiting.lock().len() < limits::EVENTS_WAITING_MAX {
                return;
            }
            changed.await;
        }
    }
}

/// Has those read from the log whose announcement does not come.
pub(crate) async fn heal(inner: Arc<Inner>) {
    let (events, patience) = (&inner.events.line, inner.options.event_patience);
    loop {
        let changed = events.changed.notified();
        let first = events.waiting.lock().front().map(|waiting| waiting.late.since);
        let Some(first) = first else {
            changed.await;
            continue;
        };
        tokio::time::sleep_until((first + patience).into()).await;
        let now = Instant::now();
        loop {
            let due =
                events.waiting.lock().pop_front_if(|waiting| waiting.late.since + patience <= now);
            let Some(Waiting { conversation, late }) = due else { break };
            route::overdue(&inner, conversation, late);
        }
        events.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use godwit_core::presence::Epoch;

    use super::*;

    #[test]
    fn events_that_wait_are_bounded_and_the_stream_is_not_read_meanwhile() {
        let line = Line::default();
        let late = Late { since: Instant::now(), before: Epoch(1), upto: Seq(1) };
        let waiting = || Waiting { conversation: ConversationId([1; 16]), late };
        line.waiting.lock().extend((1..limits::EVENTS_WAITING_MAX).map(|_| waiting()));
        let context = &mut Context::from_waker(Waker::noop());
        assert!(Box::pin(line.room()).as_mut().poll(context).is_ready());
        line.waiting.lock().push_back(waiting());
        let mut room = Box::pin(line.room());
        assert!(room.as_mut().poll(context).is_pending());
        line.waiting.lock().pop_front();
        line.changed.notify_waiters();
        assert!(room.as_mut().poll(context).is_ready());
    }
}
