//! Stage 7 on the wire: queued deliveries become packets as the client's window allows.

use std::num::NonZeroU16;
use std::sync::atomic::Ordering;

use godwit_core::cursor::Mark;
use godwit_core::edge::{Delivery, Qos};

use crate::clock::now_s;
use crate::codec::Outgoing;
use crate::connection::Connection;
use crate::limits::OUTPUT_BYTES_HIGH;
use crate::link::Queued;
use crate::{alias, metrics, quota};

impl Connection {
    /// Encodes what the window and the write buffer take. `true`: only the buffer was full, so there
    /// may be more as soon as it is written.
    pub(crate) fn fill(&mut self) -> bool {
        self.resend();
        let mut room = self.inflight.room();
        let mut bytes = OUTPUT_BYTES_HIGH.saturating_sub(self.output.len());
        let mut more = false;
        let mut taken = Vec::new();
        let mut want = |queued: &Queued| {
            let cost = queued.delivery.message.payload.len() + 64;
            let fits = queued.delivery.qos == Qos::AtMostOnce || room > 0;
            more |= fits && bytes == 0;
            if bytes == 0 || !fits {
                return false;
            }
            room -= usize::from(queued.delivery.qos == Qos::AtLeastOnce);
            bytes = bytes.saturating_sub(cost);
            true
        };
        let has_plain = self.link.has_plain.load(Ordering::Relaxed);
        // In turns, so that neither kind keeps the window from the other.
        self.plain_first = has_plain && !self.plain_first;
        if self.plain_first {
            self.client.drain(&self.link, &mut want, &mut taken);
        }
        self.link.drain(&mut want, &mut taken);
        if has_plain && !self.plain_first {
            self.client.drain(&self.link, &mut want, &mut taken);
        }
        if taken.is_empty() {
            return more;
        }
        let mut marks = Vec::new();
        for queued in taken {
            self.send(queued, &mut marks);
        }
        self.confirm(&marks);
        if self.link.relieved()
            && let Some(session) = &self.session
        {
            session.writable();
        }
        more
    }

    /// Gives a step of the retained messages that the client is owed, paid from its budget; `true`:
    /// there may be more. Whoever owes for earlier ones gets none for a while.
    pub(crate) fn replay(&mut self) -> bool {
        if self.pause.is_some() || !self.client.is_owed() {
            return false;
        }
        let seen = self.shared.router.replay(&self.client, &self.link);
        // A step is short.
        #[allow(clippy::cast_precision_loss)]
        self.owe(quota::RETAINED * seen as f64, 0);
        seen > 0
    }

    /// Tells the session what has certainly arrived.
    pub(crate) fn confirm(&self, marks: &[Mark]) {
        if let (Some(session), false) = (&self.session, marks.is_empty()) {
            session.confirmed(marks);
        }
    }

    /// Encodes one delivery. What cannot or need not be sent counts as arrived.
    fn send(&mut self, queued: Queued, marks: &mut Vec<Mark>) {
        let Queued { delivery, plain, since_s } = queued;
        let expiry_s = delivery.message.properties.as_ref().and_then(|p| p.expiry_s);
        let left_s = expiry_s.map(|s| s.saturating_sub(now_s().saturating_sub(since_s)));
        if left_s == Some(0) {
            return self.drop_delivery(&delivery, marks, "expired");
        }
        match delivery.qos {
            Qos::AtMostOnce => {
                if self.encode(&delivery, None, false, left_s) {
                    marks.extend(delivery.mark);
                } else {
                    self.drop_delivery(&delivery, marks, "too_large");
                }
            }
            Qos::AtLeastOnce => {
                let kept = plain.then(|| delivery.clone());
                let id = self.inflight.push(delivery.mark, kept);
                if !self.encode(&delivery, NonZeroU16::new(id), false, left_s) {
                    self.inflight.acknowledge(id, marks);
                    metrics::dropped("too_large");
                }
            }
        }
    }

    /// [MQTT-3.1.2-25]: a message that is too large for the client counts as delivered.
    fn drop_delivery(&mut self, delivery: &Delivery, marks: &mut Vec<Mark>, why: &'static str) {
        metrics::dropped(why);
        if delivery.mark.is_some() {
            // In line with those in flight, so that marks stay in order.
            let id = self.inflight.push(delivery.mark, None);
            self.inflight.acknowledge(id, marks);
        }
    }

    /// Sends again what an earlier connection of the kept session left unacknowledged, before
    /// anything else and within the window.
    fn resend(&mut self) {
        while self.output.len() < OUTPUT_BYTES_HIGH {
            let Some((packet_id, delivery)) = self.inflight.next_again() else { return };
            if self.encode(&delivery, NonZeroU16::new(packet_id), true, None) {
                self.inflight.resume(packet_id, delivery);
            } else {
                metrics::dropped("too_large");
            }
        }
    }

    fn encode(
        &mut self,
        delivery: &Delivery,
        packet_id: Option<NonZeroU16>,
        dup: bool,
        expiry_s: Option<u32>,
    ) -> bool {
        let topic = &delivery.message.topic;
        let alias = match self.alias_max {
            0 => None,
            max => {
                let names = self.outward.get_or_insert_with(|| Box::new(alias::Outward::new(max)));
                names.name(topic)
            }
        };
        let written = self.codec.encode_publish(
            &mut self.output,
            &Outgoing {
                topic,
                alias,
                dup,
                qos: delivery.qos,
                retain: delivery.retain,
                packet_id,
                properties: delivery.message.properties.as_deref(),
                expiry_s,
                identifier: delivery.identifier,
                payload: &delivery.message.payload,
            },
        );
        if let (Err(_), Some((_, false)), Some(names)) = (&written, alias, &mut self.outward) {
            names.forget(topic);
        }
        if written.is_ok() {
            metrics::delivered();
        }
        written.is_ok()
    }
}
