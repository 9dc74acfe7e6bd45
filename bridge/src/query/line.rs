//! The requests of one device. No I/O.

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;
use godwit_core::edge::Ack;
use godwit_proto::{group, inbox as inbox_wire, sync as sync_wire};

use crate::limits;
use crate::wish::Wish;

/// Where a reply goes.
pub(crate) struct ReplyTo {
    pub(super) topic: ByteString,
    pub(super) correlation_data: Option<Bytes>,
    pub(super) wish: Wish,
}

/// A request, read.
pub(crate) enum Request {
    Sync(sync_wire::v1::SyncRequest),
    History(sync_wire::v1::HistoryRequest),
    Inbox(inbox_wire::v1::InboxRequest),
    Groups(group::v1::GroupRequest),
}

/// A request that is to be answered.
pub(crate) struct Asked {
    pub(super) request: Request,
    pub(super) reply_to: ReplyTo,
    pub(super) ack: Ack,
    /// Of its payload.
    pub(super) bytes: usize,
}

/// Where a new request stands.
pub(super) enum Place {
    /// A task of its own answers it, and goes on with what waits.
    First(Box<Asked>),
    /// A task that is at work comes to it.
    Waits,
    /// Too many wait; given back.
    Full(Box<Asked>),
}

/// What is under way, and what waits for it: a device that opens asks for much at once, and a
/// 3.1.1 one cannot be told to ask again.
#[derive(Default)]
pub(crate) struct Line {
    running: u32,
    waiting: VecDeque<Asked>,
    bytes: usize,
}

impl Line {
    pub(super) fn put(&mut self, asked: Asked) -> Place {
        if self.running < limits::QUERIES_MAX {
            self.running += 1;
            return Place::First(Box::new(asked));
        }
        let full = self.waiting.len() >= limits::QUERIES_WAITING_MAX
            || self.bytes + asked.bytes > limits::QUERIES_WAITING_BYTES_MAX;
        if full {
            return Place::Full(Box::new(asked));
        }
        self.bytes += asked.bytes;
        self.waiting.push_back(asked);
        Place::Waits
    }

    /// The next one for a task that has answered one; `None`: the task ends.
    pub(super) fn next(&mut self) -> Option<Asked> {
        let next = self.waiting.pop_front();
        match &next {
            Some(asked) => self.bytes -= asked.bytes,
            None => self.running -= 1,
        }
        next
    }

    /// The connection has ended: what waits stays unanswered.
    pub(crate) fn clear(&mut self) {
        (self.waiting, self.bytes) = (VecDeque::new(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::edge::Qos;
    use godwit_proto::sync::v1::SyncRequest;

    fn asked(bytes: usize) -> Asked {
        let wish = Wish { qos: Qos::AtLeastOnce, no_local: false, identifier: None };
        let reply_to = ReplyTo { topic: "q/sync".into(), correlation_data: None, wish };
        Asked { request: Request::Sync(SyncRequest::default()), reply_to, ack: Ack::NONE, bytes }
    }

    #[test]
    fn a_few_are_answered_at_once_and_the_others_in_turn() {
        let mut line = Line::default();
        for _ in 0..limits::QUERIES_MAX {
            assert!(matches!(line.put(asked(10)), Place::First(_)));
        }
        for _ in 0..limits::QUERIES_WAITING_MAX {
            assert!(matches!(line.put(asked(10)), Place::Waits));
        }
        assert!(matches!(line.put(asked(0)), Place::Full(_)));
        assert!(line.next().is_some());
        assert!(matches!(line.put(asked(limits::QUERIES_WAITING_BYTES_MAX)), Place::Full(_)));
        assert!(matches!(line.put(asked(10)), Place::Waits));
        for _ in 0..limits::QUERIES_WAITING_MAX {
            assert!(line.next().is_some());
        }
        for _ in 0..limits::QUERIES_MAX {
            assert!(line.next().is_none());
        }
        assert_eq!((line.running, line.bytes), (0, 0));
        assert!(matches!(line.put(asked(10)), Place::First(_)));
        assert!(line.next().is_none());
    }

    #[test]
    fn an_ended_connection_leaves_nothing_to_do() {
        let mut line = Line::default();
        for _ in 0..=limits::QUERIES_MAX {
            line.put(asked(10));
        }
        line.clear();
        for _ in 0..limits::QUERIES_MAX {
            assert!(line.next().is_none());
        }
        assert_eq!((line.running, line.bytes), (0, 0));
    }
}
