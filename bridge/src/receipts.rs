//! Receipts: gathered from devices, stored, and told to devices.
//!
//! Up: what clients publish on `r` and what they acknowledge ([`gather`]) goes into one call of the
//! store, at once when nothing came for a while, else once in `receipt_delay` ([`rounds`]). What
//! moved is signalled on the bus. Down: each bridge tells the members' devices on `r/{cid}`
//! ([`tell`]); what comes within the delay is one message for a device and conversation
//! ([`device`]).

mod device;
mod gather;
mod rounds;
mod tell;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_core::bus::Announce;
use godwit_core::commit::ReadTo;
use godwit_core::cursor::Mark;
use godwit_core::edge::{Ack, Code, Outcome};
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::limits::RECEIPTS_MAX;
use godwit_core::receipt::{Cursors, Place, Report, Verdict};
use godwit_core::store::{Error, Store};
use godwit_proto::receipt::v1 as wire;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{Notify, oneshot};

use crate::fate::{self, About};
use crate::options::Options;
use crate::people::People;
use crate::retry::ASK_AGAIN;
use crate::session::DeviceSession;

pub(crate) use device::Device;
pub(crate) use tell::{Teller, flush, signalled};

use gather::{Asked, Gathered, Who};

/// The way of receipts from devices to the store and the bus.
pub(crate) struct Receipts {
    store: Arc<dyn Store>,
    announce: Arc<dyn Announce>,
    people: Arc<People>,
    delay: Duration,
    hold_max: Duration,
    gathered: Mutex<Gathered>,
    /// There is something to store.
    wanted: Notify,
    /// Held while a round is stored and told: what a user reports is told in that order.
    turn: tokio::sync::Mutex<()>,
}

impl Receipts {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        announce: Arc<dyn Announce>,
        people: Arc<People>,
        options: &Options,
    ) -> Self {
        Self {
            store,
            announce,
            people,
            delay: options.receipt_delay,
            hold_max: options.hold_max,
            gathered: Mutex::default(),
            wanted: Notify::new(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Notes what a device of the user has acknowledged. Called for every confirmed delivery.
    pub(crate) fn delivered(&self, user: &UserId, marks: &[Mark]) {
        if marks.is_empty() {
            return;
        }
        let was_empty = {
            let mut gathered = self.gathered.lock();
            let was_empty = gathered.is_empty();
            gathered.deliver(user, marks);
            was_empty
        };
        if was_empty {
            self.wanted.notify_one();
        }
    }

    /// Notes what was read by sending, to be told. It is stored already.
    pub(crate) fn sent(&self, read: Vec<(ReadTo, Cursors)>) {
        if !read.is_empty() {
            self.gathered.lock().sent(read);
            self.wanted.notify_one();
        }
    }

    /// Takes a report of the control plane; answers when it is stored and told.
    pub(crate) async fn report(&self, report: Report) -> Result<Verdict, Error> {
        let (tell, told) = oneshot::channel();
        let asked = Asked { report, who: Who::Caller(tell), since: Instant::now() };
        if self.ask(asked).is_err() {
            return Err(Error::Unavailable("too many receipts wait for the store".into()));
        }
        told.await.unwrap_or_else(|_| Err(Error::Unavailable("the bridge is stopping".into())))
    }

    /// Queues a report; `Err` gives it back: too many wait.
    fn ask(&self, asked: Asked) -> Result<(), Asked> {
        self.gathered.lock().ask(asked)?;
        self.wanted.notify_one();
        Ok(())
    }
}

/// A publish on `r`.
pub(crate) fn publish(session: &Arc<DeviceSession>, payload: Bytes, ack: Ack) {
    let report = match report_from_wire(&session.identity().user, payload) {
        Ok(report) => report,
        Err(outcome) => return fate::refuse(session, &About::default(), outcome, ack),
    };
    if report.places.is_empty() {
        return ack.settle(Outcome::SUCCESS);
    }
    let who = Who::Device { session: Arc::clone(session), ack };
    let asked = Asked { report, who, since: Instant::now() };
    if let Err(Asked { who: Who::Device { ack, .. }, .. }) = session.inner.receipts.ask(asked) {
        fate::refuse(session, &About::default(), Outcome::throttled(ASK_AGAIN), ack);
    }
}

/// Reads the payload of `r`.
fn report_from_wire(user: &UserId, payload: Bytes) -> Result<Report, Outcome> {
    let malformed = |reason: String| Outcome::refused(Code::PAYLOAD_INVALID, reason);
    let receipts = wire::Receipts::decode(payload)
        .map_err(|e| malformed(format!("the payload is not godwit.receipt.v1.Receipts: {e}")))?;
    let count = receipts.receipts.len();
    if count > RECEIPTS_MAX {
        return Err(malformed(format!(
            "receipts: there are {count}, at most {RECEIPTS_MAX} go into one message"
        )));
    }
    let mut places = Vec::with_capacity(count);
    for receipt in &receipts.receipts {
        let conversation = ConversationId::from_slice(&receipt.conversation_id)
            .map_err(|_| malformed("receipts: conversation_id must be 16 bytes".to_owned()))?;
        places.push(Place {
            conversation,
            delivered: Seq(receipt.delivered),
            read: Seq(receipt.read),
        });
    }
    Ok(Report { user: user.clone(), places, lenient: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_checked() {
        let user = UserId::new("bob").unwrap();
        let receipt = |id: &[u8]| wire::Receipt {
            conversation_id: Bytes::copy_from_slice(id),
            delivered: 4,
            read: 3,
        };
        let read = |receipts: Vec<wire::Receipt>| {
            report_from_wire(&user, wire::Receipts { receipts }.encode_to_vec().into())
        };
        let report = read(vec![receipt(&[7; 16])]).unwrap();
        let conversation = ConversationId([7; 16]);
        assert_eq!(report.places, [Place { conversation, delivered: Seq(4), read: Seq(3) }]);
        assert!(!report.lenient);
        assert_eq!(read(vec![receipt(&[7; 16]); RECEIPTS_MAX]).unwrap().places.len(), RECEIPTS_MAX);
        let wrong = [
            (read(vec![receipt(&[7; 16]), receipt(&[7; 15])]), "16 bytes"),
            (read(vec![receipt(&[7; 16]); RECEIPTS_MAX + 1]), "at most 1000"),
            (report_from_wire(&user, Bytes::from_static(b"\xff\xff")), "Receipts"),
        ];
        for (result, word) in wrong {
            let outcome = result.unwrap_err();
            assert_eq!(outcome.code, Code::PAYLOAD_INVALID);
            assert!(format!("{outcome:?}").contains(word), "{outcome:?}");
        }
    }
}
