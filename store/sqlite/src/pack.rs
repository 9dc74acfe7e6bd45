//! Many rows in one statement.
//!
//! SQLite has no arrays. Rows travel as two parameters: a JSON array of rows, and one blob that
//! holds their binary columns, to which the rows point by offset. That is one trip to SQLite's
//! thread for a batch, whatever its size, and the queries stay constant and checked.

use std::fmt::Write as _;

use godwit_core::commit::Head;
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, UserId};
use godwit_core::stored::signed;

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

    /// A row of `messages/append` and `outbox/append`.
    pub(crate) fn entry(&mut self, entry: &Entry, key: &str) {
        let at = self.bytes(entry.conversation.as_bytes());
        self.bytes(entry.message_id.as_bytes());
        self.bytes(&entry.chain.0);
        self.bytes(&entry.body);
        let (len, seq, kind) = (entry.body.len(), entry.seq, entry.kind.code());
        let (sender, device) = (&entry.sender, &entry.device);
        let time_ms = signed(entry.time_ms);
        let reply_to = Nullable(entry.reply_to.map(|seq| signed(seq.0)));
        let expires_ms = Nullable(entry.expires_ms.map(signed));
        self.row(format_args!(
            r#"[{at},{len},{seq},{kind},"{sender}","{device}","{key}",{time_ms},{reply_to},{expires_ms}]"#
        ));
    }

    /// A row of `conversations/advance`.
    pub(crate) fn head(&mut self, conversation: ConversationId, head: &Head) {
        let at = self.bytes(conversation.as_bytes());
        self.bytes(&head.chain.0);
        self.row(format_args!("[{at},{},{}]", head.seq, head.group_version));
    }

    /// A row of `cursors/advance`.
    pub(crate) fn mark(&mut self, cursor: &godwit_core::cursor::Move) {
        let at = self.bytes(cursor.mark.conversation.as_bytes());
        let (feed, seq) = (cursor.mark.feed.code(), signed(cursor.mark.seq.0));
        let device = &cursor.device;
        self.row(format_args!(r#"[{at},"{}","{}",{feed},{seq}]"#, device.user, device.device));
    }
}

/// A number or `null`.
struct Nullable(Option<i64>);

impl std::fmt::Display for Nullable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("null"),
        }
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

/// `[["alice","phone"], ...]`.
pub(crate) fn devices(devices: &[Identity]) -> String {
    rows(devices, |device, text| {
        let _ = write!(text, r#"["{}","{}"]"#, device.user, device.device);
    })
}
