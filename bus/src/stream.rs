//! A bounded stream of events in memory, with a place for each consumer group.

use std::collections::{HashMap, VecDeque};

use godwit_core::store::OutboxEvent;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Events kept for the slowest group: 40 bytes each, 2.5 MiB. When full, an append waits, and the
/// events stay in the outbox.
const EVENTS_MAX: usize = 65_536;

#[derive(Debug, Default)]
struct State {
    /// Position of the first event kept; positions start at 1.
    events: VecDeque<OutboxEvent>,
    dropped: u64,
    /// What each group has acknowledged.
    groups: HashMap<String, u64>,
}

impl State {
    fn end(&self) -> u64 {
        self.dropped + self.events.len() as u64
    }

    /// Drops what every group has acknowledged; without groups, everything.
    fn trim(&mut self) {
        let end = self.end();
        let upto = self.groups.values().copied().min().unwrap_or(end).min(end);
        while self.dropped < upto {
            self.events.pop_front();
            self.dropped += 1;
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct MemoryStream {
    state: Mutex<State>,
    appended: Notify,
    trimmed: Notify,
}

impl MemoryStream {
    /// The position after which the group is given events.
    pub(crate) fn join(&self, group: &str) -> u64 {
        let mut state = self.state.lock();
        let end = state.end();
        *state.groups.entry(group.to_owned()).or_insert(end)
    }

    /// The position of the newest event.
    pub(crate) fn end(&self) -> u64 {
        self.state.lock().end()
    }

    pub(crate) async fn append(&self, events: &[OutboxEvent]) {
        for event in events {
            loop {
                let trimmed = self.trimmed.notified();
                {
                    let mut state = self.state.lock();
                    if state.events.len() < EVENTS_MAX {
                        state.events.push_back(*event);
                        state.trim();
                        break;
                    }
                }
                trimmed.await;
            }
        }
        self.appended.notify_waiters();
    }

    pub(crate) async fn read(&self, group: &str, max: usize) -> Vec<(u64, OutboxEvent)> {
        self.join(group);
        loop {
            let appended = self.appended.notified();
            {
                let state = self.state.lock();
                let after = state.groups.get(group).copied().unwrap_or(state.dropped);
                let skip =
                    usize::try_from(after.saturating_sub(state.dropped)).unwrap_or(usize::MAX);
                let found: Vec<_> = (after.max(state.dropped) + 1..)
                    .zip(state.events.iter().skip(skip).take(max).copied())
                    .collect();
                if !found.is_empty() {
                    return found;
                }
            }
            appended.await;
        }
    }

    pub(crate) fn done(&self, group: &str, position: u64) {
        let mut state = self.state.lock();
        let end = state.end();
        if let Some(at) = state.groups.get_mut(group) {
            *at = (*at).max(position.min(end));
        }
        state.trim();
        drop(state);
        self.trimmed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::ids::{ConversationId, Seq};

    fn event(id: i64) -> OutboxEvent {
        OutboxEvent { id, conversation: ConversationId([0; 16]), seq: Seq(1) }
    }

    fn ids(found: &[(u64, OutboxEvent)]) -> Vec<i64> {
        found.iter().map(|(_, e)| e.id).collect()
    }

    #[tokio::test]
    async fn each_group_has_its_own_place() {
        let stream = MemoryStream::default();
        // Nobody listens: nothing is kept.
        stream.append(&[event(1)]).await;
        stream.join("inbox");
        stream.join("push");
        stream.append(&[event(2), event(3), event(4)]).await;
        let found = stream.read("inbox", 2).await;
        assert_eq!(ids(&found), [2, 3]);
        // Not acknowledged: the same again.
        assert_eq!(ids(&stream.read("inbox", 9).await), [2, 3, 4]);
        stream.done("inbox", found[1].0);
        assert_eq!(ids(&stream.read("inbox", 9).await), [4]);
        assert_eq!(ids(&stream.read("push", 9).await), [2, 3, 4]);
        stream.done("push", found[0].0);
        assert_eq!(stream.state.lock().events.len(), 2);
    }

    #[tokio::test]
    async fn a_full_stream_makes_the_relay_wait() {
        let stream = MemoryStream::default();
        stream.join("slow");
        let events: Vec<_> = (0..).take(EVENTS_MAX).map(event).collect();
        stream.append(&events).await;
        let late = [event(-1)];
        let mut more = Box::pin(stream.append(&late));
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(more.as_mut().poll(&mut context).is_pending());
        stream.done("slow", 1);
        more.await;
        assert_eq!(stream.state.lock().events.len(), EVENTS_MAX);
    }
}
