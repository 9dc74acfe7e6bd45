//! `n/{cid}` down: in a large group a device in the background is told that the log has grown instead
//! of what it holds; it reads when it comes to the foreground, or asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use godwit_core::cursor::{Feed, Scope};
use godwit_core::edge::{Message, Qos};
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::presence::Epoch;
use godwit_proto::sync::v1 as wire;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::feeds::Feeds;
use crate::inner::Inner;
use crate::pace::Pace;
use crate::session::DeviceSession;
use crate::stance::Tell;
use crate::topic::Target;
use crate::wish::Wish;
use crate::{limits, metrics};

/// Head notices that wait for their second to be over.
#[derive(Default)]
pub(crate) struct Notices {
    waiting: Mutex<BTreeMap<(Instant, Epoch, ConversationId), Weak<DeviceSession>>>,
    /// There is an earlier one.
    wanted: Notify,
}

impl Notices {
    /// A notice waits until its second is over; `false`: too many do.
    fn wait(
        &self,
        due: Instant,
        (epoch, session): (Epoch, Weak<DeviceSession>),
        conversation: ConversationId,
    ) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= limits::NOTICES_WAITING_MAX {
            return false;
        }
        let key = (due, epoch, conversation);
        waiting.insert(key, session);
        let first = waiting.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(waiting);
        if first {
            self.wanted.notify_one();
        }
        true
    }

    /// The next one that is due, or when to look again.
    fn next(&self, now: Instant) -> Result<(Weak<DeviceSession>, ConversationId), Instant> {
        let mut waiting = self.waiting.lock();
        let Some(entry) = waiting.first_entry() else { return Err(now + limits::NOTICES_IDLE) };
        let (due, _, conversation) = *entry.key();
        if due > now { Err(due) } else { Ok((entry.remove(), conversation)) }
    }
}

/// Starts the clock of the notices.
pub(crate) fn start(inner: &Arc<Inner>) -> JoinHandle<()> {
    tokio::spawn(inner.supervisor.watch("head notices", run(Arc::clone(inner))))
}

async fn run(inner: Arc<Inner>) {
    let mut pace = Pace::new();
    loop {
        match inner.notices.next(Instant::now()) {
            Ok((session, conversation)) => {
                if let Some(session) = session.upgrade() {
                    session.flush_notice(conversation);
                    pace.gave(1, false).await;
                }
            }
            Err(due) => tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = inner.notices.wanted.notified() => {}
            },
        }
    }
}

impl DeviceSession {
    /// A large group's log has grown by `next` to `head`. A device in the background that reads
    /// head notices is told so and reads nothing: `true`. One that lags far is told as well, so
    /// that it may ask for the end first; it is served as ever.
    pub(crate) fn hold(
        &self,
        conversation: ConversationId,
        next: Seq,
        head: Seq,
        own: bool,
    ) -> bool {
        let mut feeds = self.feeds.lock();
        let background = feeds.is_background();
        if !background && !lags_far(&feeds, conversation) {
            return false;
        }
        let topic = Target::Notices(Scope::One(conversation));
        let Some(wish) = feeds.wish_topic(&topic) else { return false };
        if background {
            for feed in [Feed::Log, Feed::Plain] {
                if feeds.wish(feed, conversation).is_some() {
                    feeds.hold(feed, conversation, next, head);
                }
            }
        }
        // What the device has sent itself is no news.
        if !own {
            self.notice(&mut feeds, conversation, head, wish);
        }
        background
    }

    fn notice(&self, feeds: &mut Feeds, conversation: ConversationId, head: Seq, wish: Wish) {
        let now = Instant::now();
        let waits = match feeds.stance_mut().grown(conversation, head, now) {
            Tell::Now => false,
            Tell::At(due) => {
                let session = (self.epoch, self.me.clone());
                self.inner.notices.wait(due, session, conversation)
            }
            Tell::Waits => true,
        };
        if !waits {
            feeds.stance_mut().owed(conversation, now);
            self.send_notice(conversation, head, wish);
        }
    }

    /// Tells the newest head when its second is over.
    fn flush_notice(&self, conversation: ConversationId) {
        let mut feeds = self.feeds.lock();
        if feeds.closed {
            return;
        }
        let owed = feeds.stance_mut().owed(conversation, Instant::now());
        let wish = feeds.wish_topic(&Target::Notices(Scope::One(conversation)));
        if let (Some(head), Some(wish)) = (owed, wish) {
            self.send_notice(conversation, head, wish);
        }
    }

    fn send_notice(&self, conversation: ConversationId, head: Seq, wish: Wish) {
        let message = Message {
            topic: format!("n/{conversation}").into(),
            payload: wire::HeadNotice { head_seq: head.0 }.encode_to_vec().into(),
            properties: None,
        };
        // A hint: the next one says more.
        if self.send(Arc::new(message), Wish { qos: Qos::AtMostOnce, ..wish }).is_ok() {
            ::metrics::counter!(metrics::NOTICES).increment(1);
        }
    }
}

fn lags_far(feeds: &Feeds, conversation: ConversationId) -> bool {
    [Feed::Log, Feed::Plain].into_iter().any(|feed| {
        let lag = feeds.lag_of(feed, conversation);
        lag.is_some_and(|lag| lag.target.0.saturating_sub(lag.next.0) > limits::LAGS_FAR)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_that_wait_are_bounded_and_come_in_their_order() {
        let (notices, now) = (Notices::default(), Instant::now());
        let wait = |n: u64| {
            let due = now + limits::NOTICES_IDLE * u32::try_from(n % 2).unwrap();
            notices.wait(due, (Epoch(n), Weak::new()), ConversationId([1; 16]))
        };
        let most = limits::NOTICES_WAITING_MAX as u64;
        assert!((0..most).all(wait), "each waits");
        // This one is told at once.
        assert!(!wait(most));
        for _ in 0..most / 2 {
            assert!(notices.next(now).is_ok());
        }
        assert_eq!(notices.next(now).map(|_| ()), Err(now + limits::NOTICES_IDLE));
        assert!(wait(most));
    }
}
