//! An entry of a log as REST shows it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use godwit_core::change::{Change, DetailsChange};
use godwit_core::entry::{Entry, EntryKind};
use godwit_core::ids::UserId;
use godwit_core::membership::Role;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::{HistoryName, RoleName};

/// One entry of a log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Entry)]
pub(crate) struct MessageView {
    /// 1, 2, 3 ...
    seq: u64,
    /// The message's id: 22 characters of base64url.
    mid: String,
    kind: EntryName,
    /// The sender's user id.
    from: String,
    /// The sender's device id.
    device: String,
    /// Milliseconds since 1970.
    ts: u64,
    /// Base64 with padding; empty when `body_gone`, and for changes of members and details.
    body: String,
    /// The body as it is, when it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The body was removed, or has expired.
    body_gone: bool,
    /// The first 8 bytes of the chain hash up to this entry, in hexadecimal digits.
    chain: String,
    /// Messages in the log up to and with this entry: unread is a subtraction of two of these.
    number: u64,
    /// The place that this message answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<u64>,
    /// The place of the message that an edit, deletion, reaction, pin or unpin is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<u64>,
    /// The users that a message names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<String>,
    /// Milliseconds since 1970 after which the body is not delivered any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    /// For changes of members and roles only.
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<ChangeView>,
    /// For changes of title, description and settings only.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<DetailsView>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = EntryKind)]
pub(crate) enum EntryName {
    Message,
    Membership,
    Edit,
    Deletion,
    Reaction,
    Details,
    Pin,
    Unpin,
}

impl From<EntryKind> for EntryName {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Message => Self::Message,
            EntryKind::Membership => Self::Membership,
            EntryKind::Edit => Self::Edit,
            EntryKind::Deletion => Self::Deletion,
            EntryKind::Reaction => Self::Reaction,
            EntryKind::Details => Self::Details,
            EntryKind::Pin => Self::Pin,
            EntryKind::Unpin => Self::Unpin,
        }
    }
}

/// A change of members or roles.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MembershipChange)]
pub(crate) struct ChangeView {
    change: ChangeName,
    users: Vec<String>,
    /// The group version after it.
    group_version: u64,
    /// Of those who were added.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<RoleName>,
    /// The tag of the first of `users` who were added; the others' follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_tag: Option<u32>,
    /// Who has which role now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<MemberRole>,
}

/// A member's new role.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberRole {
    user: String,
    role: RoleName,
}

/// What changed of the members.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MembershipChangeKind)]
pub(crate) enum ChangeName {
    Created,
    Added,
    Removed,
    Roles,
}

/// A change of details; what is not there stayed as it was.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DetailsChange)]
pub(crate) struct DetailsView {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<HistoryName>,
    /// Seconds after which messages disappear; 0: they stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_s: Option<u32>,
    /// The entries whose title or description it replaced.
    replaces: Vec<u64>,
    /// Its writer did not know of what it replaced: whoever wrote that has lost.
    concurrent: bool,
}

impl From<DetailsChange> for DetailsView {
    fn from(change: DetailsChange) -> Self {
        Self {
            title: change.title,
            description: change.description,
            history: change.history.map(Into::into),
            expiry_s: change.expiry_s,
            replaces: change.replaces.iter().map(|seq| seq.0).collect(),
            concurrent: change.concurrent,
        }
    }
}

impl MessageView {
    /// The entry as it is at `now_ms`.
    pub(crate) fn of(entry: &Entry, now_ms: u64) -> Self {
        Self::cut(entry, now_ms, usize::MAX).0
    }

    /// The entry with at most `bytes_max` of its body; and whether that is less than all.
    pub(crate) fn cut(entry: &Entry, now_ms: u64, bytes_max: usize) -> (Self, bool) {
        let (membership, details) = changes(entry);
        let gone = !entry.kind.is_change() && !entry.is_live(now_ms);
        let whole: &[u8] = if gone || entry.kind.is_change() { &[] } else { &entry.body };
        let body = &whole[..whole.len().min(bytes_max)];
        let cut = body.len() < whole.len();
        // The cut may be within a character.
        let text = match std::str::from_utf8(body) {
            Ok(text) => Some(text),
            Err(error) if cut && error.error_len().is_none() => {
                std::str::from_utf8(&body[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        let view = Self {
            seq: entry.seq.0,
            mid: entry.message_id.to_string(),
            kind: entry.kind.into(),
            from: entry.sender.to_string(),
            device: entry.device.to_string(),
            ts: entry.time_ms,
            body: STANDARD.encode(body),
            text: text.filter(|text| !text.is_empty()).map(str::to_owned),
            body_gone: gone,
            chain: hex(entry.chain.wire()),
            number: entry.number,
            reply_to: entry.reply_to.map(|seq| seq.0),
            target: entry.target.map(|seq| seq.0),
            mentions: entry.mentions.iter().map(ToString::to_string).collect(),
            expires_ms: entry.expires_ms,
            membership,
            details,
        };
        (view, cut)
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn changes(entry: &Entry) -> (Option<ChangeView>, Option<DetailsView>) {
    let texts =
        |users: &[godwit_core::ids::UserId]| users.iter().map(ToString::to_string).collect();
    let view = |change, group_version, users| ChangeView {
        change,
        users,
        group_version,
        role: None,
        first_tag: None,
        roles: Vec::new(),
    };
    match entry.change() {
        None => (None, None),
        Some(Change::Created { members, details, .. }) => {
            let users = members.iter().map(|(user, _)| user.to_string()).collect();
            let set = details != DetailsChange::default();
            let roles = roles(members);
            let created =
                ChangeView { roles, first_tag: Some(1), ..view(ChangeName::Created, 1, users) };
            (Some(created), set.then(|| details.into()))
        }
        Some(Change::Added { group_version, users, role, first_tag }) => {
            let added = ChangeView {
                role: Some(role.into()),
                first_tag: (first_tag > 0).then_some(first_tag),
                ..view(ChangeName::Added, group_version, texts(&users))
            };
            (Some(added), None)
        }
        Some(Change::Removed { group_version, users }) => {
            (Some(view(ChangeName::Removed, group_version, texts(&users))), None)
        }
        Some(Change::Roles { group_version, roles }) => {
            let users = roles.iter().map(|(user, _)| user.to_string()).collect();
            let roles = self::roles(roles);
            (Some(ChangeView { roles, ..view(ChangeName::Roles, group_version, users) }), None)
        }
        Some(Change::Details(change)) => (None, Some(change.into())),
    }
}

fn roles(roles: Vec<(UserId, Role)>) -> Vec<MemberRole> {
    let view =
        |(user, role): (UserId, Role)| MemberRole { user: user.to_string(), role: role.into() };
    roles.into_iter().map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use godwit_core::entry::ChainHash;
    use godwit_core::ids::{ConversationId, DeviceId, MessageId, Seq};

    fn entry(kind: EntryKind, body: &[u8]) -> Entry {
        Entry {
            conversation: ConversationId([1; 16]),
            seq: Seq(7),
            chain: ChainHash([0xab; 16]),
            kind,
            message_id: MessageId([2; 16]),
            sender: UserId::new("alice").unwrap(),
            device: DeviceId::new("phone").unwrap(),
            time_ms: 5,
            body: Bytes::copy_from_slice(body),
            reply_to: None,
            target: None,
            mentions: Vec::new(),
            number: 3,
            expires_ms: None,
            body_gone: false,
        }
    }

    fn json(entry: &Entry) -> serde_json::Value {
        serde_json::to_value(MessageView::of(entry, 10)).unwrap()
    }

    #[test]
    fn every_kind_has_its_name_and_its_fields() {
        for kind in EntryKind::ALL {
            let name = format!("{kind:?}").to_lowercase();
            assert_eq!(json(&entry(kind, b""))["kind"], name);
        }
        let mut edit = entry(EntryKind::Edit, b"new");
        (edit.target, edit.expires_ms) = (Some(Seq(3)), Some(11));
        let shown = json(&edit);
        assert_eq!((&shown["target"], &shown["text"]), (&3.into(), &"new".into()));
        edit.expires_ms = Some(10);
        let shown = json(&edit);
        assert_eq!((&shown["body_gone"], &shown["body"]), (&true.into(), &"".into()));
        let message = json(&entry(EntryKind::Message, b"x"));
        for absent in ["target", "reply_to", "mentions", "membership", "details", "expires_ms"] {
            assert!(message.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn changes_are_told_in_words() {
        let bob = UserId::new("bob").unwrap();
        let roles = Change::Roles { group_version: 4, roles: vec![(bob, Role::ReadOnly)] };
        let shown = json(&entry(EntryKind::Membership, &roles.to_body()));
        let expected = serde_json::json!({
            "change": "roles", "users": ["bob"], "group_version": 4,
            "roles": [{"user": "bob", "role": "read-only"}],
        });
        assert_eq!((&shown["membership"], &shown["body"]), (&expected, &"".into()));
        let details = Change::Details(DetailsChange {
            title: Some("Trip".to_owned()),
            replaces: vec![Seq(2)],
            concurrent: true,
            ..DetailsChange::default()
        });
        let shown = json(&entry(EntryKind::Details, &details.to_body()));
        let expected = serde_json::json!({"title": "Trip", "replaces": [2], "concurrent": true});
        assert_eq!((&shown["details"], &shown["text"]), (&expected, &serde_json::Value::Null));
    }

    #[test]
    fn a_body_is_cut_between_characters() {
        let long = entry(EntryKind::Message, "aäb".as_bytes());
        for (max, body, text, cut) in
            [(9, "YcOkYg==", "aäb", false), (2, "YcM=", "a", true), (3, "YcOk", "aä", true)]
        {
            let (view, was_cut) = MessageView::cut(&long, 10, max);
            assert_eq!(
                (view.body.as_str(), view.text.as_deref(), was_cut),
                (body, Some(text), cut)
            );
        }
        let (view, cut) = MessageView::cut(&entry(EntryKind::Message, b"\xff\xfe"), 10, 1);
        assert_eq!((view.text, cut), (None, true));
    }
}
