//! Stage 5: the one table from a send's fate to what the sender is told, and the telling.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use godwit_core::commit::{Fate, Send, SendKey};
use godwit_core::edge::{Ack, Code, Detail, Outcome, wait_ms};
use godwit_core::ids::{ClientMessageId, ConversationId};
use godwit_proto::conversation::v1 as wire;

use crate::metrics;
use crate::session::DeviceSession;

/// The PUBACK's outcome and the metric's label.
pub(crate) fn outcome(fate: Fate) -> (Outcome, &'static str) {
    match fate {
        Fate::Accepted { message_id, seq, duplicate } => {
            let detail = Detail::Committed { message_id, seq, duplicate };
            let label = if duplicate { "duplicate" } else { "accepted" };
            (Outcome { code: Code::SUCCESS, detail }, label)
        }
        Fate::Forbidden(reason) => (Outcome::refused(Code::NOT_AUTHORIZED, reason), "forbidden"),
        Fate::StaleGroup { group_version } => {
            let detail = Detail::GroupVersion(group_version);
            (Outcome { code: Code::STALE_GROUP, detail }, "stale_group")
        }
        Fate::Malformed(reason) => (Outcome::refused(Code::PAYLOAD_INVALID, reason), "malformed"),
    }
}

/// Which send a fate on `a` is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    /// `None`: the publish was about none, or about several.
    pub(crate) conversation: Option<ConversationId>,
    pub(crate) cmid: Option<ClientMessageId>,
}

/// Who waits for a send's fate.
pub(crate) struct Waiting {
    pub(crate) ack: Ack,
    pub(crate) session: Arc<DeviceSession>,
    pub(crate) about: About,
    pub(crate) since: Instant,
}

/// Tells senders: the PUBACK each, and one message on `a` for each device.
pub(crate) fn answer(told: Vec<(Waiting, Outcome, &'static str)>) {
    let mut sessions: Vec<Arc<DeviceSession>> = Vec::new();
    for (who, outcome, label) in told {
        ::metrics::counter!(metrics::SENDS, "fate" => label).increment(1);
        if outcome.code.is_error() {
            count_lost(&who.session, &who.ack, &who.about, label, &outcome);
        }
        if tell(&who.session, &who.about, &outcome)
            && !sessions.iter().any(|s| Arc::ptr_eq(s, &who.session))
        {
            sessions.push(who.session);
        }
        who.ack.settle(outcome);
    }
    for session in sessions {
        session.flush_fates();
    }
}

/// A send with QoS 0 that was not stored: no PUBACK tells its sender. It is counted, said in the log
/// once for a connection, and told on `a` (MQTT 5 or 3.1.1) to whoever reads that.
pub(crate) fn count_lost(
    session: &DeviceSession,
    ack: &Ack,
    about: &About,
    label: &'static str,
    outcome: &Outcome,
) {
    if ack.is_awaited() || about.conversation.is_none() {
        return;
    }
    ::metrics::counter!(metrics::QOS_0_LOST, "fate" => label).increment(1);
    if session.lost_qos_0.swap(true, Ordering::Relaxed) {
        return;
    }
    let who = session.identity();
    tracing::info!(
        stage = "ack",
        user.id = %who.user,
        device.id = %who.device,
        fate = label,
        code = %outcome.code,
        reason = outcome.text(),
        "a send with QoS 0 was not stored, and no PUBACK says so: sends want QoS 1. Further ones of \
         this connection are only counted"
    );
}

/// Refuses a publish that is no send (a report, a request, a topic that is none): the PUBACK, and
/// `a` for those who cannot read its code.
pub(crate) fn refuse(session: &DeviceSession, about: &About, outcome: Outcome, ack: Ack) {
    if tell(session, about, &outcome) {
        session.flush_fates();
    }
    ack.settle(outcome);
}

/// Queues the fate for a device that wants it; `true`: there is one to flush.
fn tell(session: &DeviceSession, about: &About, outcome: &Outcome) -> bool {
    let wanted = session.wants_fates();
    if wanted {
        session.add_fate(to_wire(about, outcome));
    }
    wanted
}

impl About {
    pub(crate) fn of(send: &Send) -> Self {
        let cmid = match &send.key {
            SendKey::Client(cmid) => Some(cmid.clone()),
            SendKey::Change(_) | SendKey::Server(_) => None,
        };
        Self { conversation: Some(send.conversation), cmid }
    }
}

/// The same outcome as `a` tells it.
fn to_wire(about: &About, outcome: &Outcome) -> wire::Fate {
    let mut fate = wire::Fate {
        cmid: about.cmid.as_ref().map(ToString::to_string).unwrap_or_default(),
        conversation_id: about
            .conversation
            .map(|id| Bytes::copy_from_slice(id.as_bytes()))
            .unwrap_or_default(),
        code: u32::from(outcome.code.0),
        ..wire::Fate::default()
    };
    match &outcome.detail {
        Detail::Committed { message_id, seq, duplicate } => {
            fate.message_id = Bytes::copy_from_slice(message_id.as_bytes());
            fate.seq = seq.0;
            fate.duplicate = *duplicate;
        }
        Detail::GroupVersion(version) => {
            fate.group_version = *version;
            "the group version is another; refresh and send again".clone_into(&mut fate.reason);
        }
        Detail::RetryAfter(wait) => {
            fate.retry_after_ms = wait_ms(*wait);
            "too much at once; wait and send again".clone_into(&mut fate.reason);
        }
        Detail::Text(reason) => fate.reason = reason.to_string(),
        Detail::None | Detail::Withheld => {}
    }
    fate
}
