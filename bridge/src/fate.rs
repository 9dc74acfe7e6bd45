//! The one table from a send's fate to what the sender is told.

use bytes::Bytes;
use godwit_core::commit::{Fate, Send, SendKey};
use godwit_core::edge::{Code, Detail, Outcome};
use godwit_core::ids::{ClientMessageId, ConversationId};
use godwit_proto::conversation::v1 as wire;

/// The PUBACK's outcome and the metric's label.
pub(crate) fn outcome(fate: Fate) -> (Outcome, &'static str) {
    match fate {
        Fate::Accepted { message_id, seq, duplicate } => {
            let detail = Detail::Committed { message_id, seq, duplicate };
            let label = if duplicate { "duplicate" } else { "accepted" };
            (Outcome { code: Code::SUCCESS, detail }, label)
        }
        Fate::Forbidden => {
            let reason = "not a member of this conversation";
            (Outcome::refused(Code::NOT_AUTHORIZED, reason), "forbidden")
        }
        Fate::StaleGroup { group_version } => {
            let detail = Detail::GroupVersion(group_version);
            (Outcome { code: Code::STALE_GROUP, detail }, "stale_group")
        }
        Fate::Malformed(reason) => (Outcome::refused(Code::PAYLOAD_INVALID, reason), "malformed"),
    }
}

/// Which send a fate on `a` is about.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) conversation: ConversationId,
    pub(crate) cmid: Option<ClientMessageId>,
}

impl About {
    pub(crate) fn of(send: &Send) -> Self {
        let cmid = match &send.key {
            SendKey::Client(cmid) => Some(cmid.clone()),
            SendKey::Server(_) => None,
        };
        Self { conversation: send.conversation, cmid }
    }
}

/// The same outcome as `a` tells it.
pub(crate) fn to_wire(about: &About, outcome: &Outcome) -> wire::Fate {
    let mut fate = wire::Fate {
        cmid: about.cmid.as_ref().map(ToString::to_string).unwrap_or_default(),
        conversation_id: Bytes::copy_from_slice(about.conversation.as_bytes()),
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
            fate.retry_after_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
            "too much at once; wait and send again".clone_into(&mut fate.reason);
        }
        Detail::Text(reason) => fate.reason = reason.to_string(),
        Detail::None | Detail::Withheld => {}
    }
    fate
}
