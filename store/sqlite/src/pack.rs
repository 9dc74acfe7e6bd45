//! Many rows in one statement.
//!
//! SQLite has no arrays. Rows travel as two parameters: a JSON array of rows, and one blob that
//! holds their binary columns, to which the rows point by offset. That is one trip to SQLite's
//! thread for a batch, whatever its size, and the queries stay constant and checked.

use std::fmt::Write as _;

use godwit_core::commit::{Head, StoredKey};
use godwit_core::entry::{Entry, EntryKind};
use godwit_core::ids::{ConversationId, Identity, Seq, UserId};
use godwit_core::membership::{Member, Role};
use godwit_core::receipt::Cursors;
use godwit_core::stored::{mentions_text, signed};

/// Rows being packed.
#[derive(Debug)]
pub(crate) struct Pack {
    rows: String,
    blob: Vec<u8>,
}

impl Pack {
    /// No rows yet. The blob starts with a byte that is not used: `substr` counts from 1 and takes
    /// an empty blob for NULL.
    pub(crate) fn new() -> Self {
        Self { rows: "[".to_owned(), blob: vec![0] }
    }

    /// Whether there is no row yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The two parameters.
    pub(crate) fn finish(mut self) -> (String, Vec<u8>) {
        self.rows.push(']');
        (self.rows, self.blob)
    }

    /// Appends bytes and returns their offset as `substr` counts.
    fn bytes(&mut self, bytes: &[u8]) -> usize {
        let offset = self.blob.len() + 1;
        self.blob.extend_from_slice(bytes);
        offset
    }

    /// Appends a row. Its texts must be of the ids' alphabet: they are not escaped.
    fn row(&mut self, row: std::fmt::Arguments<'_>) {
        if self.rows.len() > 1 {
            self.rows.push(',');
        }
        // Writing to a String cannot fail.
        let _ = self.rows.write_fmt(row);
    }

    /// A row of `conversations/load`.
    pub(crate) fn send(&mut self, conversation: ConversationId, from: &Identity, key: &str) {
        let at = self.bytes(conversation.as_bytes());
        self.row(format_args!(r#"[{at},"{}","{}","{key}"]"#, from.user, from.device));
    }

    /// A row of `messages/targets`.
    pub(crate) fn target(
        &mut self,
        place: usize,
        conversation: ConversationId,
        target: Seq,
        kind: EntryKind,
        (sender, since_ms): (&UserId, u64),
    ) {
        let at = self.bytes(conversation.as_bytes());
        let (target, kind, since_ms) = (signed(target.0), kind.code(), signed(since_ms));
        self.row(format_args!(r#"[{at},{place},{target},{kind},"{sender}",{since_ms}]"#));
    }

    /// A row of `messages/append` and `outbox/append`.
    pub(crate) fn entry(&mut self, entry: &Entry, key: &StoredKey) {
        let at = self.bytes(entry.conversation.as_bytes());
        self.bytes(entry.message_id.as_bytes());
        self.bytes(&entry.chain.0);
        self.bytes(&entry.body);
        let (len, seq, kind) = (entry.body.len(), entry.seq, entry.kind.code());
        let (sender, device) = (&entry.sender, &entry.device);
        let (time_ms, number) = (signed(entry.time_ms), entry.number);
        let reply_to = Nullable(entry.reply_to.map(|seq| signed(seq.0)));
        let target = Nullable(entry.target.map(|seq| signed(seq.0)));
        let mentions = Nullable(mentions_text(&entry.mentions).map(Quoted));
        let expires_ms = Nullable(entry.expires_ms.map(signed));
        let gone = u8::from(entry.body_gone);
        let (key, asked) = (&key.text, Nullable(key.fingerprint.map(|asked| asked.0)));
        self.row(format_args!(
            r#"[{at},{len},{seq},{kind},"{sender}","{device}","{key}",{time_ms},{reply_to},{target},{mentions},{number},{expires_ms},{gone},{asked}]"#
        ));
    }

    /// A row of `mentions/append`, `mentions/remove`, `inbox/standing` and `inbox/read`.
    pub(crate) fn mention(&mut self, conversation: ConversationId, user: &UserId, seq: Seq) {
        let at = self.bytes(conversation.as_bytes());
        self.row(format_args!(r#"[{at},"{user}",{seq}]"#));
    }

    /// A row of `messages/erase` and `mentions/erase`.
    pub(crate) fn message(&mut self, conversation: ConversationId, seq: Seq) {
        let at = self.bytes(conversation.as_bytes());
        self.row(format_args!("[{at},{seq}]"));
    }

    /// A row of `inbox/load_cursors`.
    pub(crate) fn member(&mut self, conversation: ConversationId, user: &UserId) {
        let at = self.bytes(conversation.as_bytes());
        self.row(format_args!(r#"[{at},"{user}"]"#));
    }

    /// A row of `inbox/put_cursors`.
    pub(crate) fn cursors(&mut self, conversation: ConversationId, user: &UserId, to: Cursors) {
        let at = self.bytes(conversation.as_bytes());
        self.row(format_args!(r#"[{at},"{user}",{},{}]"#, to.delivered, to.read));
    }

    /// A row of `conversations/advance`.
    pub(crate) fn head(&mut self, conversation: ConversationId, head: &Head) {
        let at = self.bytes(conversation.as_bytes());
        self.bytes(&head.chain.0);
        let (active_seq, active_ms) = (head.active.0, signed(head.active.1));
        let Head { seq, group_version, number, .. } = head;
        self.row(format_args!("[{at},{seq},{group_version},{number},{active_seq},{active_ms}]"));
    }

    /// A row of `cursors/advance`.
    pub(crate) fn mark(&mut self, cursor: &godwit_core::cursor::Move) {
        let at = self.bytes(cursor.mark.conversation.as_bytes());
        let (feed, seq) = (cursor.mark.feed.code(), signed(cursor.mark.seq.0));
        let device = &cursor.device;
        self.row(format_args!(r#"[{at},"{}","{}",{feed},{seq}]"#, device.user, device.device));
    }
}

/// A value or `null`.
struct Nullable<T>(Option<T>);

impl<T: std::fmt::Display> std::fmt::Display for Nullable<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// A text of the ids' alphabet and spaces.
struct Quoted(String);

impl std::fmt::Display for Quoted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, r#""{}""#, self.0)
    }
}

/// A JSON array of arrays, or of what `row` writes for each item.
pub(crate) fn rows<T>(items: &[T], row: impl Fn(&T, &mut String)) -> String {
    let mut text = "[".to_owned();
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        row(item, &mut text);
    }
    text.push(']');
    text
}

/// `["alice","bob"]`.
pub(crate) fn users(users: &[UserId]) -> String {
    rows(users, |user, text| {
        let _ = write!(text, r#""{user}""#);
    })
}

/// `[["alice",3], ...]`: the rows of `members/roles`.
pub(crate) fn roles(roles: &[(UserId, Role)]) -> String {
    rows(roles, |(user, role), text| {
        let _ = write!(text, r#"["{user}",{}]"#, role.code());
    })
}

/// The rows of `members/insert`.
pub(crate) fn members(members: &[Member]) -> String {
    rows(members, |member, text| {
        let Member { user, role, joined_seq, visible_seq, tag, blocked } = member;
        let (role, blocked) = (role.code(), u8::from(*blocked));
        let _ = write!(text, r#"["{user}",{role},{joined_seq},{visible_seq},{tag},{blocked}]"#);
    })
}

/// `[["alice","phone"], ...]`.
pub(crate) fn devices(devices: &[Identity]) -> String {
    rows(devices, |device, text| {
        let _ = write!(text, r#"["{}","{}"]"#, device.user, device.device);
    })
}

/// `[["alice","phone",1800000000000], ...]`: the rows of `devices/note`.
pub(crate) fn connected(devices: &[(Identity, u64)]) -> String {
    rows(devices, |(device, at), text| {
        let _ = write!(text, r#"["{}","{}",{}]"#, device.user, device.device, signed(*at));
    })
}

/// `[["alice",1800000000000], ...]`: the rows of `users/seen`.
pub(crate) fn seen(users: &[(UserId, u64)]) -> String {
    rows(users, |(user, at), text| {
        let _ = write!(text, r#"["{user}",{}]"#, signed(*at));
    })
}
