//! Sends of 3.1.1 devices that come too fast.
//!
//! MQTT 5 is told to wait (0x97). MQTT 3.1.1 has no word for it: such a device's sends stand in
//! line, in their order, until the rate allows them, and their PUBACKs stay out so long.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use godwit_core::edge::{Ack, Outcome, Version};
use godwit_core::ids::ConversationId;

use crate::fate::About;
use crate::ingest::Draft;
use crate::retry::ASK_AGAIN;
use crate::session::DeviceSession;
use crate::{limits, rates};

/// A send that waits.
pub(crate) struct Delayed {
    conversation: ConversationId,
    draft: Draft,
    ack: Ack,
}

/// The sends of one device that wait; while there is one, a task releases them.
#[derive(Default)]
pub(crate) struct Line {
    waiting: VecDeque<Delayed>,
    bytes: usize,
}

impl Line {
    /// Whether so many bytes more may wait; one send always may.
    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.is_empty()
            || (self.waiting.len() < limits::DELAYED_SENDS_MAX
                && self.bytes + bytes <= limits::DELAYED_BYTES_MAX)
    }

    fn push(&mut self, delayed: Delayed) {
        self.bytes += delayed.draft.body.len();
        self.waiting.push_back(delayed);
    }

    fn pop(&mut self) -> Option<Delayed> {
        let delayed = self.waiting.pop_front()?;
        self.bytes -= delayed.draft.body.len();
        Some(delayed)
    }

    /// The connection has ended: what waits stays unanswered.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Submits a send if its rates allow it now; otherwise it waits, or its sender does.
pub(crate) fn pass(
    session: &Arc<DeviceSession>,
    conversation: ConversationId,
    draft: Draft,
    ack: Ack,
) {
    let check = || rates::check(&session.inner, &session.identity().user, conversation);
    let about = About { conversation: Some(conversation), cmid: draft.cmid.clone() };
    if session.link.version() == Version::V5 {
        return match check() {
            Ok(()) => session.submit(conversation, draft, ack),
            Err(wait) => session.refuse(about, Outcome::throttled(wait), ack),
        };
    }
    let mut line = session.line.lock();
    if !line.has_room(draft.body.len()) {
        drop(line);
        return session.refuse(about, Outcome::throttled(ASK_AGAIN), ack);
    }
    if line.waiting.is_empty() {
        match check() {
            // Under the lock, so that nothing overtakes it.
            Ok(()) => return session.submit(conversation, draft, ack),
            Err(wait) => {
                session.start("sends that wait for their rate", run(session.me.clone(), wait));
            }
        }
    }
    line.push(Delayed { conversation, draft, ack });
}

/// Releases what waits, until nothing does.
async fn run(session: Weak<DeviceSession>, mut wait: Duration) {
    loop {
        tokio::time::sleep(wait).await;
        let Some(next) = session.upgrade().and_then(|session| release(&session)) else { return };
        wait = next;
    }
}

/// Submits what may go now; how long the next one waits, if there is one.
fn release(session: &Arc<DeviceSession>) -> Option<Duration> {
    let mut line = session.line.lock();
    while let Some(first) = line.waiting.front() {
        let user = &session.identity().user;
        if let Err(wait) = rates::check(&session.inner, user, first.conversation) {
            return Some(wait);
        }
        if let Some(Delayed { conversation, draft, ack }) = line.pop() {
            session.submit(conversation, draft, ack);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use godwit_core::commit::Act;

    fn delayed(bytes: usize) -> Delayed {
        let draft = Draft {
            cmid: None,
            act: Act::MESSAGE,
            body: Bytes::from(vec![0; bytes]),
            group_version: None,
            previous_chain: None,
            expiry_s: None,
            key: None,
            reads: true,
        };
        Delayed { conversation: ConversationId([1; 16]), draft, ack: Ack::NONE }
    }

    #[test]
    fn a_line_is_bounded_in_sends_and_bytes() {
        let mut line = Line::default();
        assert!(line.has_room(2 * limits::DELAYED_BYTES_MAX), "one always waits");
        line.push(delayed(2 * limits::DELAYED_BYTES_MAX));
        assert!(!line.has_room(0));
        assert!(line.pop().is_some() && line.pop().is_none());
        for _ in 0..limits::DELAYED_SENDS_MAX {
            assert!(line.has_room(1));
            line.push(delayed(1));
        }
        assert!(!line.has_room(0));
        assert!(line.pop().is_some());
        assert!(line.has_room(0) && !line.has_room(limits::DELAYED_BYTES_MAX));
        line.clear();
        assert_eq!((line.bytes, line.waiting.len()), (0, 0));
    }
}
