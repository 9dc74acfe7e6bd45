//! Stage 4's decision: a batch of sends against what the store holds, without any I/O.
//!
//! Both stores do the same three steps in one transaction: load and lock what the batch touches
//! ([`Loaded`]), call [`plan`], write the plan. So idempotency, membership, group version,
//! sequence and chain mean the same on both.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::entry::{ChainHash, Entry, EntryKind, NewEntry};
use crate::ids::{ClientMessageId, ConversationId, Identity, MessageId, Seq, UserId};

/// A validated send, on its way into a log.
#[derive(Debug, Clone)]
pub struct Send {
    /// The conversation.
    pub conversation: ConversationId,
    /// Who sends.
    pub from: Identity,
    /// The idempotency key, together with `from`.
    pub key: SendKey,
    /// The id that the message gets when it is new.
    pub message_id: MessageId,
    /// Opaque; at most [`crate::limits::BODY_BYTES_MAX`].
    pub body: Bytes,
    /// Refuse when the group version is another.
    pub group_version: Option<u64>,
    /// Refuse when the head's chain is another.
    pub previous_chain: Option<[u8; ChainHash::WIRE_LEN]>,
    /// Which entry it answers.
    pub reply_to: Option<Seq>,
    /// Milliseconds since 1970 after which the body need not be delivered.
    pub expires_ms: Option<u64>,
    /// Milliseconds since 1970, taken at ingest.
    pub time_ms: u64,
}

/// What makes a repeated send the same one.
///
/// The key is scoped by its conversation in the store, so that a log and its keys stay together
/// when the schema is distributed by conversation (docs/adr/0002).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SendKey {
    /// Chosen by the client.
    Client(ClientMessageId),
    /// Given by the bridge to a send without one: it makes the bridge's own retries of an
    /// uncertain commit safe, not the client's.
    Server(MessageId),
}

impl SendKey {
    /// The stored text. A server's key starts with `~`, which no client's can hold.
    #[must_use]
    pub fn to_stored(&self) -> String {
        match self {
            Self::Client(id) => id.as_str().to_owned(),
            Self::Server(id) => format!("~{id}"),
        }
    }
}

/// What became of a send. Everything but `Accepted` means that nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Committed, now or by an earlier try.
    Accepted {
        /// The message's id; the first try's when `duplicate`.
        message_id: MessageId,
        /// Its place.
        seq: Seq,
        /// An earlier try had committed it.
        duplicate: bool,
    },
    /// The sender is no member, or there is no such conversation.
    Forbidden,
    /// The named group version (or head) is not the conversation's.
    StaleGroup {
        /// The version now.
        group_version: u64,
    },
    /// It can never be right.
    Malformed(&'static str),
}

/// The head of a log, locked for the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last place.
    pub seq: Seq,
    /// The chain there.
    pub chain: ChainHash,
    /// The group version.
    pub group_version: u64,
}

/// Names a committed send: conversation, sender, key as stored.
pub type EarlierKey = (ConversationId, Identity, String);

/// What a store loads (and locks) for a batch before it asks for the plan.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The heads of the batch's conversations; absent: no such conversation.
    pub heads: HashMap<ConversationId, Head>,
    /// Which of the batch's (conversation, sender) are members now.
    pub members: HashSet<(ConversationId, UserId)>,
    /// Which of the batch's keys were committed before, and as what.
    pub earlier: HashMap<EarlierKey, (MessageId, Seq)>,
}

/// What the transaction has to write.
#[derive(Debug, Default)]
pub struct Plan {
    /// One for each send, in order.
    pub fates: Vec<Fate>,
    /// New entries with their stored keys, in the order of the batch.
    pub entries: Vec<(Entry, String)>,
    /// New heads of the conversations that got entries.
    pub heads: Vec<(ConversationId, Head)>,
}

/// What a store answers for a batch.
#[derive(Debug)]
pub struct Committed {
    /// One for each send, in order.
    pub fates: Vec<Fate>,
    /// The new entries with their conversation's group version, in order.
    pub entries: Vec<(Entry, u64)>,
}

impl Plan {
    /// The answer once the plan is durable.
    #[must_use]
    pub fn committed(self) -> Committed {
        let versions: HashMap<_, _> =
            self.heads.iter().map(|(id, head)| (*id, head.group_version)).collect();
        let entries = self
            .entries
            .into_iter()
            .map(|(entry, _)| {
                let version = versions.get(&entry.conversation).copied().unwrap_or_default();
                (entry, version)
            })
            .collect();
        Committed { fates: self.fates, entries }
    }
}

/// Decides a batch.
///
/// Order of the checks: an earlier commit answers first (so a retry is told its success even when
/// the sender has left since), then membership, group version, head, reply. Sends of one
/// conversation get sequences in the order of the batch; a key twice in one batch is a duplicate.
#[must_use]
pub fn plan(batch: &[Send], loaded: Loaded) -> Plan {
    let Loaded { mut heads, members, mut earlier } = loaded;
    let mut plan = Plan { fates: Vec::with_capacity(batch.len()), ..Plan::default() };
    let mut advanced = HashSet::new();
    for send in batch {
        let key = (send.conversation, send.from.clone(), send.key.to_stored());
        let fate = match earlier.get(&key) {
            Some(&(message_id, seq)) => Fate::Accepted { message_id, seq, duplicate: true },
            None => match heads.get_mut(&send.conversation) {
                None => Fate::Forbidden,
                Some(head) => match refuse(send, head, &members) {
                    Some(refusal) => refusal,
                    None => {
                        let entry = append(send, head);
                        let (message_id, seq) = (entry.message_id, entry.seq);
                        advanced.insert(send.conversation);
                        plan.entries.push((entry, key.2.clone()));
                        earlier.insert(key, (message_id, seq));
                        Fate::Accepted { message_id, seq, duplicate: false }
                    }
                },
            },
        };
        plan.fates.push(fate);
    }
    plan.heads = heads.into_iter().filter(|(id, _)| advanced.contains(id)).collect();
    plan.heads.sort_unstable_by_key(|(id, _)| *id);
    plan
}

fn refuse(send: &Send, head: &Head, members: &HashSet<(ConversationId, UserId)>) -> Option<Fate> {
    if !members.contains(&(send.conversation, send.from.user.clone())) {
        return Some(Fate::Forbidden);
    }
    let stale = send.group_version.is_some_and(|v| v != head.group_version)
        || send.previous_chain.is_some_and(|c| c != head.chain.wire());
    if stale {
        return Some(Fate::StaleGroup { group_version: head.group_version });
    }
    if send.reply_to.is_some_and(|seq| seq > head.seq) {
        return Some(Fate::Malformed("reply_to is beyond the head of the conversation"));
    }
    None
}

/// Moves the head by one and returns the entry at the new place.
fn append(send: &Send, head: &mut Head) -> Entry {
    let (seq, kind) = (head.seq.next(), EntryKind::Message);
    let chain = head.chain.link(&NewEntry {
        seq,
        kind,
        message_id: send.message_id,
        time_ms: send.time_ms,
        sender: &send.from.user,
        device: &send.from.device,
        body: &send.body,
    });
    head.seq = seq;
    head.chain = chain;
    Entry {
        conversation: send.conversation,
        seq,
        chain,
        kind,
        message_id: send.message_id,
        sender: send.from.user.clone(),
        device: send.from.device.clone(),
        time_ms: send.time_ms,
        body: send.body.clone(),
        reply_to: send.reply_to,
        expires_ms: send.expires_ms,
        body_gone: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;
    use proptest::prelude::*;

    const CID: ConversationId = ConversationId([1; 16]);

    fn identity(user: &str) -> Identity {
        Identity { user: UserId::new(user).unwrap(), device: DeviceId::new("d").unwrap() }
    }

    fn send(user: &str, cmid: &str, id: u8) -> Send {
        Send {
            conversation: CID,
            from: identity(user),
            key: SendKey::Client(ClientMessageId::new(cmid).unwrap()),
            message_id: MessageId([id; 16]),
            body: Bytes::from_static(b"hi"),
            group_version: None,
            previous_chain: None,
            reply_to: None,
            expires_ms: None,
            time_ms: 1,
        }
    }

    fn loaded() -> Loaded {
        let head = Head { seq: Seq(10), chain: ChainHash([9; 16]), group_version: 3 };
        Loaded {
            heads: HashMap::from([(CID, head)]),
            members: HashSet::from([(CID, UserId::new("alice").unwrap())]),
            earlier: HashMap::from([(
                (CID, identity("bob"), "old".to_owned()),
                (MessageId([77; 16]), Seq(4)),
            )]),
        }
    }

    #[test]
    fn each_send_gets_its_fate() {
        let accepted = |id, seq, duplicate| Fate::Accepted {
            message_id: MessageId([id; 16]),
            seq: Seq(seq),
            duplicate,
        };
        let batch = [
            send("alice", "a", 1),
            send("alice", "a", 2),
            send("bob", "new", 3),
            send("bob", "old", 4),
            Send { group_version: Some(2), ..send("alice", "b", 5) },
            Send { group_version: Some(3), ..send("alice", "c", 6) },
            Send { previous_chain: Some([0; 8]), ..send("alice", "d", 7) },
            Send { reply_to: Some(Seq(13)), ..send("alice", "e", 8) },
            Send { reply_to: Some(Seq(12)), ..send("alice", "f", 9) },
            Send { conversation: ConversationId([2; 16]), ..send("alice", "g", 10) },
        ];
        let plan = plan(&batch, loaded());
        assert_eq!(
            plan.fates,
            [
                accepted(1, 11, false),
                accepted(1, 11, true),
                Fate::Forbidden,
                accepted(77, 4, true),
                Fate::StaleGroup { group_version: 3 },
                accepted(6, 12, false),
                Fate::StaleGroup { group_version: 3 },
                Fate::Malformed("reply_to is beyond the head of the conversation"),
                accepted(9, 13, false),
                Fate::Forbidden,
            ]
        );
        assert_eq!(plan.heads.len(), 1);
        assert_eq!(plan.heads[0].1.seq, Seq(13));
        assert_eq!(plan.entries.last().unwrap().0.chain, plan.heads[0].1.chain);
    }

    proptest! {
        /// However sends repeat, the log is gapless, each key has one place, and the chain holds.
        #[test]
        fn the_log_stays_gapless(keys in proptest::collection::vec((0u8..6, any::<bool>()), 1..60)) {
            let batch: Vec<_> = keys
                .iter()
                .zip(0u8..)
                .map(|((key, member), i)| {
                    send(if *member { "alice" } else { "eve" }, &format!("k{key}"), i)
                })
                .collect();
            let plan = plan(&batch, loaded());
            let mut chain = ChainHash([9; 16]);
            for (i, (entry, _)) in plan.entries.iter().enumerate() {
                prop_assert_eq!(entry.seq, Seq(11 + i as u64));
                chain = chain.link(&NewEntry {
                    seq: entry.seq, kind: entry.kind, message_id: entry.message_id,
                    time_ms: entry.time_ms, sender: &entry.sender, device: &entry.device,
                    body: &entry.body,
                });
                prop_assert_eq!(entry.chain, chain);
            }
            let mut seen: HashMap<u8, (MessageId, Seq)> = HashMap::new();
            for ((key, member), fate) in keys.iter().zip(&plan.fates) {
                match fate {
                    Fate::Accepted { message_id, seq, duplicate } => {
                        prop_assert!(*member);
                        prop_assert_eq!(*duplicate, seen.contains_key(key));
                        let first = *seen.entry(*key).or_insert((*message_id, *seq));
                        prop_assert_eq!(first, (*message_id, *seq));
                    }
                    Fate::Forbidden => prop_assert!(!*member),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert_eq!(seen.len(), plan.entries.len());
        }
    }
}
