//! The outbox's stream: what announcements only hasten is true here.
//!
//! This process is a consumer group of its own. An event of an entry that has not gone out waits for
//! its announcement (`event_patience`), and then the entry is read from the log
//! ([`crate::mend`]). So all announcements may be lost, and nobody notices for longer than half a
//! second.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use godwit_core::ids::ConversationId;
use godwit_core::store::Error;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::directory::Late;
use crate::inner::Inner;
use crate::{limits, retry, route};

/// An event whose announcement may be on its way.
struct Waiting {
    conversation: ConversationId,
    late: Late,
}

/// The events that wait, the oldest first.
#[derive(Default)]
pub(crate) struct Line {
    waiting: Mutex<VecDeque<Waiting>>,
    /// Some wait, or some wait no more.
    changed: Notify,
}

/// Looks at events as they come.
pub(crate) async fn follow(inner: Arc<Inner>, line: Arc<Line>) {
    let events = &inner.events;
    let mut backoff = retry::Backoff::new();
    loop {
        let joined = events.seen.borrow().is_some();
        let result = if joined {
            read(&inner, &line).await
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

async fn read(inner: &Inner, line: &Line) -> Result<(), Error> {
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
        line.room().await;
        line.waiting.lock().extend(late);
        line.changed.notify_waiters();
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
pub(crate) async fn heal(inner: Arc<Inner>, events: Arc<Line>) {
    let patience = inner.options.event_patience;
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

    use godwit_core::ids::Seq;
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
