//! What was asked, what was answered and what arrived in one conversation, and the verdict over it
//! (THREATS.md, the history checker).
//!
//! A test writes down every attempt with its outcome, every delivery, every accepted receipt, and
//! what inboxes showed at rest. [`History::judge`] holds it against the log and says what is wrong,
//! point by point; it is pure, so wrong histories can be planted:
//! (1) each accepted attempt is in the log, and at every entitled device, exactly once;
//! (2) each unknown one at most once; (3) the same key always gave the same message;
//! (4) the same entry at the same place at all devices; (5) no gap; (6) what answers or is about
//! something stands above it; (7) nothing outside of the stays; (8) nothing accepted with a stale
//! group version; (9) bodies unchanged, and gone where they were deleted; (10) numbers, inboxes,
//! receipts and titles equal a recomputation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use godwit_proto::conversation::v1::{self as wire, EntryType, Role};
use godwit_proto::inbox::v1::Item;

use crate::server::Godwit;

mod deliveries;
mod judge;
mod log;
mod recount;
mod stays;
#[cfg(test)]
mod tests;

pub use log::{Change, Entry, read_log};

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its device never learned.
    Unknown,
    /// Nothing was stored; the code.
    Refused(u32),
    /// Committed: where, as which message (if that was told), and whether by an earlier try.
    Accepted(u64, Option<String>, bool),
}

/// A send or a change, as a device asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// `user:device`.
    pub who: String,
    /// Its idempotency key.
    pub key: String,
    /// What it is.
    pub kind: EntryType,
    /// The place that it answers; 0: none.
    pub reply_to: u64,
    /// The place of the message that it is about; 0: none.
    pub target: u64,
    /// The group version that it names.
    pub version: Option<u64>,
    /// The body. Bodies of one conversation's messages, edits and reactions are distinct.
    pub body: Vec<u8>,
    /// For a new title: the place up to which its writer knew the log.
    pub based_on: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Attempt {
    /// A plain message whose key is its body.
    #[must_use]
    pub fn message(who: &str, key: &str, outcome: Outcome) -> Self {
        Self {
            who: who.to_owned(),
            key: key.to_owned(),
            kind: EntryType::Message,
            reply_to: 0,
            target: 0,
            version: None,
            body: key.as_bytes().to_vec(),
            based_on: None,
            outcome,
        }
    }

    /// A send and its fate.
    #[must_use]
    pub fn sent(who: &str, send: &wire::Send, fate: Option<&wire::Fate>) -> Self {
        let kind = match send.r#type() {
            EntryType::Unspecified => EntryType::Message,
            kind => kind,
        };
        let outcome = fate.map_or(Outcome::Unknown, |fate| match fate.code {
            0 => Outcome::Accepted(fate.seq, Some(mid(&fate.message_id)), fate.duplicate),
            code => Outcome::Refused(code),
        });
        Self {
            kind,
            reply_to: send.reply_to,
            target: send.target,
            version: send.group_version,
            body: send.body.to_vec(),
            ..Self::message(who, &send.cmid, outcome)
        }
    }

    /// The place, if it was accepted.
    #[must_use]
    pub fn place(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Accepted(seq, ..) => Some(seq),
            _ => None,
        }
    }
}

fn mid(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// What reached one device, connection by connection.
#[derive(Debug, Clone, Default)]
struct Device {
    connections: Vec<Vec<Entry>>,
    /// It was subscribed all the time since this place: it must have everything above.
    since: Option<u64>,
    /// The highest place that it has got.
    seen: u64,
}

impl fmt::Display for Device {
    /// The places, connection by connection.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for connection in &self.connections {
            let places: Vec<String> = connection.iter().map(|e| e.seq.to_string()).collect();
            write!(f, "[{}]", places.join(" "))?;
        }
        Ok(())
    }
}

/// What an inbox showed of the conversation when all was at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whose inbox.
    pub user: String,
    /// As in [`Item`].
    pub head_seq: u64,
    /// As in [`Item`].
    pub group_version: u64,
    /// As in [`Item`].
    pub members: u32,
    /// As in [`Item`].
    pub role: Role,
    /// As in [`Item`].
    pub title: String,
    /// As in [`Item`].
    pub unread: u64,
    /// As in [`Item`].
    pub mentions: u64,
    /// As in [`Item`].
    pub delivered: u64,
    /// As in [`Item`].
    pub read: u64,
}

impl Shown {
    /// What a user's item says.
    #[must_use]
    pub fn of(user: &str, item: &Item) -> Self {
        Self {
            user: user.to_owned(),
            head_seq: item.head_seq,
            group_version: item.group_version,
            members: item.members,
            role: item.role(),
            title: item.title.clone(),
            unread: item.unread,
            mentions: item.mentions,
            delivered: item.delivered,
            read: item.read,
        }
    }
}

/// One thing that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The point of THREATS.md, 1 to 10.
    pub point: u8,
    /// What.
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}) {}", self.point, self.what)
    }
}

/// Everything that a test's clients saw of one conversation.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Who was there from the begin.
    members: Vec<(String, Role)>,
    attempts: Vec<Attempt>,
    devices: BTreeMap<String, Device>,
    /// The highest accepted read receipt of a user.
    reads: BTreeMap<String, u64>,
    /// What devices were told of others: (device, user) and each (delivered, read) in order.
    told: BTreeMap<(String, String), Vec<(u64, u64)>>,
    shown: Vec<Shown>,
}

impl History {
    /// Of a conversation that begins with these members; the first owns it.
    #[must_use]
    pub fn of(members: &[&str]) -> Self {
        let role = |at| if at == 0 { Role::Owner } else { Role::Member };
        let members = members.iter().enumerate().map(|(at, name)| ((*name).to_owned(), role(at)));
        Self { members: members.collect(), ..Self::default() }
    }

    /// Something was asked for.
    pub fn attempt(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
    }

    /// A device is subscribed from here on, at this place of the log, and stays so.
    pub fn watches(&mut self, who: &str, since: u64) {
        self.devices.entry(who.to_owned()).or_default().since = Some(since);
    }

    /// A device has a new connection: the last entries may come again.
    pub fn connected(&mut self, who: &str) {
        self.devices.entry(who.to_owned()).or_default().connections.push(Vec::new());
    }

    /// A device got an entry.
    pub fn arrived(&mut self, who: &str, entry: Entry) {
        let device = self.devices.entry(who.to_owned()).or_default();
        device.seen = device.seen.max(entry.seq);
        match device.connections.last_mut() {
            Some(connection) => connection.push(entry),
            None => device.connections.push(vec![entry]),
        }
    }

    /// The highest place that a device has got.
    #[must_use]
    pub fn seen(&self, who: &str) -> u64 {
        self.devices.get(who).map_or(0, |device| device.seen)
    }

    /// How many different keys were accepted.
    #[must_use]
    pub fn accepted(&self) -> usize {
        let accepted = self.attempts.iter().filter(|attempt| attempt.place().is_some());
        accepted.map(|attempt| (&attempt.who, &attempt.key)).collect::<BTreeSet<_>>().len()
    }

    /// A user's read receipt was accepted.
    pub fn read(&mut self, user: &str, seq: u64) {
        let read = self.reads.entry(user.to_owned()).or_default();
        *read = (*read).max(seq);
    }

    /// A device was told how far a user has got.
    pub fn told(&mut self, who: &str, user: &str, delivered: u64, read: u64) {
        self.told.entry((who.to_owned(), user.to_owned())).or_default().push((delivered, read));
    }

    /// An inbox, at rest.
    pub fn shown(&mut self, shown: Shown) {
        self.shown.push(shown);
    }

    /// Asks the server's log, by REST, whether the history holds. Gives the log.
    pub async fn verdict(&self, server: &Godwit, cid: &str) -> Vec<Entry> {
        let log = read_log(server, cid).await;
        let wrong = self.judge(&log);
        let words: Vec<String> = wrong
            .iter()
            .map(ToString::to_string)
            .chain(["The log:".to_owned()])
            .chain(log.iter().map(ToString::to_string))
            .chain(["What came, in order:".to_owned()])
            .chain(self.devices.iter().map(|(who, device)| format!("{who}: {device}")))
            .collect();
        assert!(wrong.is_empty(), "{}", words.join("\n"));
        log
    }
}
