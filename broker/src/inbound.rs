//! Stage 2 for a connected client: what each packet means.

use std::collections::HashSet;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use bytestring::ByteString;
use godwit_core::cursor::Subscription;
use godwit_core::edge::{
    Ack, Action, Admitted, Code, Credentials, Downlink, Message, Outcome, Publish, Qos,
    SubscribeRequest, Version,
};

use crate::connection::{Busy, BusyKind, Connection, End};
use crate::packet::{Inbound, Incoming, TOKEN_METHOD};
use crate::quota::{self, Quota};
use crate::{metrics, reply};

impl Connection {
    /// Handles one packet. `Err`: the connection ends.
    pub(crate) fn handle(&mut self, packet: Inbound) -> Result<(), End> {
        if self.told_dropped > 0 {
            // It speaks, so the CONNACK has come.
            self.client.told_dropped(std::mem::take(&mut self.told_dropped));
        }
        match packet {
            Inbound::Publish(incoming) => self.on_publish(*incoming),
            Inbound::PubAck(packet_id) => {
                let mut marks = Vec::new();
                // An unknown id is ignored: it may be of a connection that was taken over. A known
                // one was paid for by who sent the message.
                if !self.inflight.acknowledge(packet_id.get(), &mut marks) {
                    self.owe(quota::PUBLISH, 0);
                }
                self.confirm(&marks);
                Ok(())
            }
            Inbound::Subscribe { packet_id, identifier, filters } => {
                self.on_subscribe(packet_id, identifier, filters);
                Ok(())
            }
            Inbound::Unsubscribe { packet_id, filters } => {
                self.on_unsubscribe(packet_id, &filters);
                Ok(())
            }
            Inbound::Ping => {
                self.owe(quota::PUBLISH, 0);
                reply::pong(&self.codec, self.version, &mut self.output);
                Ok(())
            }
            Inbound::Disconnect { with_will, expiry_s } => self.on_disconnect(with_will, expiry_s),
            // [MQTT-3.1.0-2]
            Inbound::Connect(_) => Err(End::cut(Code::PROTOCOL_ERROR, "a second CONNECT")),
            Inbound::Auth { method, data, again } => self.on_auth(method.as_ref(), data, again),
            Inbound::Qos2 => Err(End::cut(Code::PROTOCOL_ERROR, "QoS 2 is not spoken here")),
            Inbound::Other => Err(End::cut(Code::PROTOCOL_ERROR, "not a client's packet")),
        }
    }

    fn on_disconnect(&mut self, with_will: bool, expiry_s: Option<u32>) -> Result<(), End> {
        if let Some(expiry_s) = expiry_s {
            // [MQTT-3.14.2-2]: what began without expiry cannot be kept.
            if self.expiry_s == 0 && expiry_s > 0 {
                return Err(End::cut(Code::PROTOCOL_ERROR, "expiry of a session that has none"));
            }
            let max = self.shared.options.session_expiry_max.as_secs();
            self.expiry_s = expiry_s.min(u32::try_from(max).unwrap_or(u32::MAX));
        }
        Err(End { code: None, why: "the client disconnected", goodbye: !with_will })
    }

    /// A fresh token for the same client, before the old one expires.
    fn on_auth(
        &mut self,
        method: Option<&ByteString>,
        data: Option<Bytes>,
        again: bool,
    ) -> Result<(), End> {
        // [MQTT-4.12.1-1]
        if !self.may_refresh || !again || method.is_none_or(|method| method != TOKEN_METHOD) {
            let why = "AUTH without the method named at CONNECT";
            return Err(End::cut(Code::PROTOCOL_ERROR, why));
        }
        self.owe(quota::TOKEN, data.as_ref().map_or(0, Bytes::len));
        let credentials = Credentials {
            client_id: self.admitted.client_id.clone(),
            user_name: None,
            password: data,
            version: self.version,
            peer: Some(self.peer),
        };
        let gate = Arc::clone(&self.shared.gate);
        self.refresh = Some(tokio::spawn(async move { gate.authenticate(credentials).await }));
        Ok(())
    }

    /// The gate has judged the fresh token.
    pub(crate) fn refreshed(&mut self, verdict: Result<Admitted, Outcome>) -> Result<(), End> {
        match verdict {
            Ok(fresh) if fresh.identity == self.admitted.identity => {
                let expires_ms = fresh.expires_ms.unwrap_or(0);
                self.link.expires_ms.store(expires_ms, Ordering::Relaxed);
                self.admitted = Arc::new(fresh);
                self.recheck();
                reply::refreshed(&self.codec, &mut self.output);
                Ok(())
            }
            // [MQTT-4.12.1-2]
            other => {
                let outcome = other.err().unwrap_or(Outcome::refused(Code::NOT_AUTHORIZED, ""));
                metrics::authentication_failed(&outcome);
                Err(End::cut(Code::NOT_AUTHORIZED, "the fresh token is not good for this client"))
            }
        }
    }

    fn on_publish(&mut self, incoming: Incoming) -> Result<(), End> {
        metrics::received();
        let Incoming { mut message, alias, qos, packet_id, retain, dup } = incoming;
        let qos = qos.ok_or(End::cut(Code::QOS_NOT_SUPPORTED, "QoS 2 is not spoken here"))?;
        if alias.is_some() || message.topic.is_empty() {
            let names = self.inward.get_or_insert_default();
            message.topic = names
                .resolve(alias, message.topic, self.shared.options.topic_alias_max)
                .map_err(|code| End::cut(code, "the topic alias names nothing"))?;
        }
        let ack = match packet_id {
            Some(packet_id) if qos == Qos::AtLeastOnce => {
                match self.expect_ack(packet_id, dup)? {
                    Some(ack) => ack,
                    // 3.1.1 clients may repeat within a connection; the first one is at work.
                    None => return Ok(()),
                }
            }
            _ => Ack::NONE,
        };
        let bytes = message.payload.len() + message.topic.len();
        if let Err(wait) = self.take_quota(quota::PUBLISH, bytes) {
            // 3.1.1 cannot be told to wait, and a client that was told often enough does not listen:
            // both are made to, for nothing is read meanwhile.
            let deaf = match (self.version, &mut self.quota) {
                (Version::V5, Some(quota)) => quota.refuse(),
                _ => Some(wait),
            };
            if deaf.is_none() {
                metrics::refused(Code::QUOTA_EXCEEDED);
                ack.settle(Outcome::throttled(wait));
                return Ok(());
            }
            self.owe(quota::PUBLISH, bytes);
        }
        self.route(message, qos, retain, ack);
        Ok(())
    }

    /// Takes a place among the PUBACKs. `None`: this packet id waits already.
    fn expect_ack(&mut self, packet_id: NonZeroU16, dup: bool) -> Result<Option<Ack>, End> {
        if self.acks.holds(packet_id.get()) {
            return if dup && self.version == Version::V3 {
                Ok(None)
            } else {
                Err(End::cut(Code::PROTOCOL_ERROR, "the packet id is in flight"))
            };
        }
        let ticket = self.acks.push(packet_id.get());
        Ok(Some(Ack::new(Arc::clone(&self.link) as Arc<dyn Downlink>, ticket)))
    }

    /// Takes what a packet costs, or says how long to wait for it.
    fn take_quota(&mut self, weight: f64, bytes: usize) -> Result<(), Duration> {
        let now = Instant::now();
        self.quota(now).map_or(Ok(()), |quota| quota.take(weight, bytes, now))
    }

    /// Takes what was done for a packet already; whoever owes is not read from for a while.
    pub(crate) fn owe(&mut self, weight: f64, bytes: usize) {
        let now = Instant::now();
        if let Some(wait) = self.quota(now).and_then(|quota| quota.owe(weight, bytes, now)) {
            self.pause = Some(Box::pin(tokio::time::sleep(wait)));
        }
    }

    /// The budget; none without a bound.
    fn quota(&mut self, now: Instant) -> Option<&mut Quota> {
        let options = &self.shared.options;
        let (weight, bytes) = (options.publishes_per_s, options.publish_bytes_per_s);
        if weight == 0 && bytes == 0 {
            return None;
        }
        Some(self.quota.get_or_insert_with(|| Box::new(Quota::new(weight, bytes, now))))
    }

    /// To the session above, or to the plain topics.
    fn route(&mut self, message: Message, qos: Qos, retain: bool, ack: Ack) {
        let grant = self.shared.gate.authorize(&self.admitted, Action::Publish(&message.topic));
        match &self.session {
            Some(session) if grant.mounted => {
                session.publish(Publish { message, qos, retain }, ack);
            }
            _ if !grant.plain.is_empty() => {
                let message = Arc::new(message);
                let client = Some(&self.client);
                let owner = self.admitted.identity.as_ref().map(|identity| &identity.user);
                let retain = retain.then_some(owner);
                ack.settle(self.shared.publish_plain(&message, qos, retain, client));
            }
            _ => {
                metrics::refused(Code::NOT_AUTHORIZED);
                let reason = "not allowed to publish to this topic";
                ack.settle(Outcome::refused(Code::NOT_AUTHORIZED, reason));
            }
        }
    }

    fn on_subscribe(
        &mut self,
        packet_id: NonZeroU16,
        identifier: Option<NonZeroU32>,
        filters: Vec<(ByteString, u8)>,
    ) {
        self.owe_filters(filters.iter().map(|(filter, _)| filter));
        let mut all = Vec::with_capacity(filters.len());
        let (mut promised, max) = (HashSet::new(), self.shared.options.subscriptions_max);
        for (filter, options) in filters {
            let grant = self.shared.gate.authorize(&self.admitted, Action::Subscribe(&filter));
            let request = SubscribeRequest {
                subscription: Subscription {
                    filter: filter.to_string(),
                    options,
                    identifier: identifier.map(NonZeroU32::get),
                },
                mounted: grant.mounted,
            };
            let verdict = if grant.is_denied() {
                Err(Code::NOT_AUTHORIZED)
            } else if !self.client.promise(&grant.plain, &mut promised, max) {
                // Refused here, so that no session keeps what is not in force.
                Err(Code::QUOTA_EXCEEDED)
            } else {
                Ok(grant.plain)
            };
            all.push((request, verdict));
        }
        let requests: Vec<_> = all
            .iter()
            .filter(|(_, verdict)| verdict.is_ok())
            .map(|(request, _)| request.clone())
            .collect();
        let kind = BusyKind::Subscribe(packet_id, all);
        match self.session.clone() {
            Some(session) if !requests.is_empty() => {
                let task = tokio::spawn(async move { session.subscribe(requests).await });
                self.busy = Some(Box::new(Busy { kind, task }));
            }
            _ => {
                let codes: Vec<_> = requests.iter().map(granted).collect();
                self.finish_busy(kind, &codes);
            }
        }
    }

    fn owe_filters<'a>(&mut self, filters: impl Iterator<Item = &'a ByteString>) {
        let (mut weight, mut bytes) = (0.0, 0);
        for filter in filters {
            weight += quota::FILTER;
            bytes += filter.len();
        }
        self.owe(weight, bytes);
    }

    fn on_unsubscribe(&mut self, packet_id: NonZeroU16, filters: &[ByteString]) {
        /// UNSUBACK: no such subscription.
        const NONE: Code = Code(0x11);
        self.owe_filters(filters.iter());
        let filters: Vec<_> = filters.iter().map(ToString::to_string).collect();
        // `#` of a device stands for the plain filters that it was granted.
        let plain = filters.iter().map(|filter| {
            let grant = self.shared.gate.authorize(&self.admitted, Action::Subscribe(filter));
            (filter.clone(), grant.plain)
        });
        let kind = BusyKind::Unsubscribe(packet_id, plain.collect());
        match self.session.clone() {
            Some(session) => {
                let task = tokio::spawn(async move { session.unsubscribe(filters).await });
                self.busy = Some(Box::new(Busy { kind, task }));
            }
            None => self.finish_busy(kind, &vec![NONE; filters.len()]),
        }
    }

    /// The session above has answered: plain filters come into force or end, the client is told.
    pub(crate) fn finish_busy(&mut self, kind: BusyKind, codes: &[Code]) {
        match kind {
            BusyKind::Subscribe(packet_id, all) => {
                let mut answers = codes.iter();
                let mut told = Vec::with_capacity(all.len());
                for (request, verdict) in &all {
                    let code = match verdict {
                        Err(code) => *code,
                        Ok(plain) => {
                            let code = answers.next().copied().unwrap_or(Code::UNSPECIFIED);
                            self.subscribe_plain(request, plain, code)
                        }
                    };
                    told.push(code);
                }
                let (codec, version) = (&self.codec, self.version);
                reply::suback(codec, version, packet_id, &told, &mut self.output);
            }
            BusyKind::Unsubscribe(packet_id, all) => {
                let mut answers = codes.iter();
                let mut told = Vec::with_capacity(all.len());
                for (filter, plain) in &all {
                    let code = answers.next().copied().unwrap_or(Code::UNSPECIFIED);
                    told.push(self.unsubscribe_plain(filter, plain, code));
                }
                let (codec, version) = (&self.codec, self.version);
                reply::unsuback(codec, version, packet_id, &told, &mut self.output);
            }
            BusyKind::Revoked => {}
        }
    }

    /// What could not be ended above stays in force here as well.
    fn unsubscribe_plain(&self, filter: &str, plain: &[String], code: Code) -> Code {
        if code.is_error() {
            return code;
        }
        let mut any = false;
        for filter in plain.iter().map(String::as_str).chain(std::iter::once(filter)) {
            any |= self.shared.unsubscribe_plain(&self.client, filter);
        }
        if any { Code::SUCCESS } else { code }
    }

    fn subscribe_plain(&self, request: &SubscribeRequest, plain: &[String], code: Code) -> Code {
        if code.is_error() {
            return code;
        }
        for filter in plain {
            if self.shared.subscribe_plain(&self.client, filter, request, true).is_err() {
                return Code::QUOTA_EXCEEDED;
            }
        }
        code
    }
}

/// The code of a subscription that nobody above has to agree to.
fn granted(request: &SubscribeRequest) -> Code {
    match request.qos() {
        Qos::AtMostOnce => Code(0),
        Qos::AtLeastOnce => Code(1),
    }
}
