//! The decision itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Act, Earlier, Fate, Head, KEY_REUSED, Loaded, NO_MEMBER, Plan, ReadTo, Send, SendKey, Standing,
    StoredKey, Target,
};
use crate::entry::{Entry, EntryKind, NewEntry};
use crate::ids::{ConversationId, Seq, UserId};
use crate::limits::{EDITS_MAX, MENTIONS_MAX, REACTION_BYTES_MAX, REACTIONS_PER_USER_MAX};
use crate::membership::ConversationKind;
use crate::policy::{NOT_HERE, Policy};
use crate::text;

/// Decides a batch.
///
/// Order of the checks: an earlier commit answers first (so a retry is told its success even when
/// the sender has left since), then membership, role, group version, head, and what the send is
/// about. Sends of one conversation get sequences in the order of the batch; a key twice in one
/// batch is a duplicate. A target must have been committed before the batch: nobody can know of
/// another.
#[must_use]
pub fn plan(batch: &[Send], loaded: Loaded, policy: &Policy) -> Plan {
    let Loaded { mut heads, members, targets, mut earlier } = loaded;
    let mut plan = Plan { fates: Vec::with_capacity(batch.len()), ..Plan::default() };
    let mut advanced = HashSet::new();
    // Deleted by an earlier send of this batch.
    let mut deleted = HashSet::new();
    let mut repeats = HashMap::new();
    let mut read: BTreeMap<(ConversationId, UserId), ReadTo> = BTreeMap::new();
    for (place, send) in batch.iter().enumerate() {
        let id = send.conversation;
        let key = (id, send.from.clone(), send.key.to_stored());
        // Nobody repeats a key that is the server's.
        let fingerprint = (!matches!(send.key, SendKey::Server(_))).then(|| send.fingerprint());
        if let Some(&Earlier { message_id, seq, fingerprint: first }) = earlier.get(&key) {
            let differs = first.is_some() && fingerprint.is_some() && first != fingerprint;
            plan.fates.push(if differs {
                Fate::Malformed(KEY_REUSED)
            } else {
                Fate::Accepted { message_id, seq, duplicate: true }
            });
            continue;
        }
        let standing = members.get(&(id, send.from.user.clone()));
        let (Some(head), Some(standing)) = (heads.get_mut(&id), standing) else {
            plan.fates.push(Fate::Forbidden(NO_MEMBER));
            continue;
        };
        let mut target = targets.get(&place).cloned();
        if let (Some(found), Some(seq)) = (&mut target, send.act.target()) {
            found.gone |= deleted.contains(&(id, seq));
            // What earlier sends of this batch have added.
            let made = (id, seq, send.act.kind(), send.from.user.clone());
            let (count, emptied) = repeats.get(&made).copied().unwrap_or_default();
            (found.repeats, found.emptied) = (found.repeats + count, found.emptied + emptied);
        }
        if let Some(refusal) = refuse(send, head, standing, target.as_ref(), policy) {
            plan.fates.push(refusal);
            continue;
        }
        let entry = append(send, head, target.as_ref());
        note_read(&mut read, send, &entry);
        if let (Some(seq), Act::Edit { mentions, .. }) = (entry.target, &send.act) {
            let named = target.as_ref().is_some_and(|target| target.named);
            rename(&mut plan, &entry, seq, mentions, named);
        }
        if let Some(seq) = entry.target {
            let made = (id, seq, entry.kind, entry.sender.clone());
            let (count, emptied): &mut (u32, u32) = repeats.entry(made).or_default();
            (*count, *emptied) = (*count + 1, *emptied + u32::from(entry.body.is_empty()));
            if entry.kind == EntryKind::Deletion && deleted.insert((id, seq)) {
                plan.erase.push((id, seq));
            }
        }
        let (message_id, seq) = (entry.message_id, entry.seq);
        advanced.insert(id);
        plan.entries.push((entry, StoredKey { text: key.2.clone(), fingerprint }));
        earlier.insert(key, Earlier { message_id, seq, fingerprint });
        plan.fates.push(Fate::Accepted { message_id, seq, duplicate: false });
    }
    // An edit before the deletion in the same batch has lost its body, too.
    for (entry, _) in &mut plan.entries {
        let gone = entry.target.is_some_and(|seq| deleted.contains(&(entry.conversation, seq)));
        if gone && entry.kind == EntryKind::Edit {
            (entry.body, entry.body_gone) = (bytes::Bytes::new(), true);
            entry.mentions = Vec::new();
        }
    }
    plan.renamed.retain(|(id, seq, _)| !deleted.contains(&(*id, *seq)));
    plan.read = read.into_values().collect();
    plan.heads = heads.into_iter().filter(|(id, _)| advanced.contains(id)).collect();
    plan.heads.sort_unstable_by_key(|(id, _): &(ConversationId, Head)| *id);
    plan
}

/// A message that marks its conversation read.
fn note_read(read: &mut BTreeMap<(ConversationId, UserId), ReadTo>, send: &Send, entry: &Entry) {
    if !send.reads || !matches!(send.act, Act::Message { .. }) {
        return;
    }
    let (conversation, from) = (send.conversation, send.from.clone());
    let key = (conversation, from.user.clone());
    let own = read.get(&key).map_or(0, |earlier| earlier.own) + 1;
    let (seq, number) = (entry.seq, entry.number);
    read.insert(key, ReadTo { conversation, from, seq, own, number });
}

/// An edit says anew whom its message names. Nothing is written when nobody is and was.
fn rename(plan: &mut Plan, entry: &Entry, message: Seq, mentions: &[UserId], named: bool) {
    let id = entry.conversation;
    let mut users: Vec<UserId> =
        mentions.iter().filter(|user| **user != entry.sender).cloned().collect();
    users.sort();
    users.dedup();
    let earlier = plan.renamed.iter_mut().find(|(other, seq, _)| (*other, *seq) == (id, message));
    match earlier {
        Some((.., earlier)) => *earlier = users,
        None if named || !users.is_empty() => plan.renamed.push((id, message, users)),
        None => {}
    }
}

fn refuse(
    send: &Send,
    head: &Head,
    standing: &Standing,
    target: Option<&Target>,
    policy: &Policy,
) -> Option<Fate> {
    if !standing.role.may_send() {
        return Some(Fate::Forbidden("read-only members may not send"));
    }
    if standing.blocked && head.kind == ConversationKind::Direct {
        return Some(Fate::Forbidden(NOT_HERE));
    }
    let stale = send.group_version.is_some_and(|v| v != head.group_version)
        || send.previous_chain.is_some_and(|c| c != head.chain.wire());
    if stale {
        return Some(Fate::StaleGroup { group_version: head.group_version });
    }
    match &send.act {
        Act::Message { reply_to, mentions } => {
            if reply_to.is_some_and(|seq| seq > head.seq) {
                return Some(Fate::Malformed("reply_to is beyond the head of the conversation"));
            }
            (mentions.len() > MENTIONS_MAX)
                .then_some(Fate::Malformed("a message mentions at most 50 users"))
        }
        act => {
            // What the sender cannot see is as good as nothing.
            let seq = act.target()?;
            // But what one has said oneself, in an earlier stay, may be taken back.
            let target = target.filter(|t| {
                let own = matches!(act, Act::Delete { .. }) && t.sender == send.from.user;
                t.kind == EntryKind::Message
                    && seq <= head.seq
                    && (seq > standing.visible_seq || own)
            });
            match target {
                None => Some(Fate::Malformed("target: there is no message at that place")),
                Some(target) => refuse_about(send, act, head, standing, target, policy),
            }
        }
    }
}

fn refuse_about(
    send: &Send,
    act: &Act,
    head: &Head,
    standing: &Standing,
    target: &Target,
    policy: &Policy,
) -> Option<Fate> {
    let (own, age_ms) =
        (target.sender == send.from.user, send.time_ms.saturating_sub(target.time_ms));
    let gone = target.gone || target.expires_ms.is_some_and(|at| at <= send.time_ms);
    if gone && !matches!(act, Act::Unpin { .. }) {
        return Some(Fate::Malformed("target: the message was deleted or has expired"));
    }
    let refusal = match act {
        Act::Message { .. } => return None,
        Act::Edit { .. } if !own => Fate::Forbidden("only its sender may edit a message"),
        Act::Edit { .. } if age_ms > policy.edit_window_ms => {
            Fate::Forbidden("the time for edits of this message is over")
        }
        Act::Edit { mentions, .. } if mentions.len() > MENTIONS_MAX => {
            Fate::Malformed("a message mentions at most 50 users")
        }
        Act::Edit { .. } if target.repeats >= EDITS_MAX => {
            Fate::Malformed("a message may be edited at most 100 times")
        }
        Act::Delete { .. } if standing.role.may_delete_others(head.kind) => return None,
        Act::Delete { .. } if !own => {
            Fate::Forbidden("only its sender, an owner or an admin may delete a message")
        }
        Act::Delete { .. } if age_ms > policy.delete_window_ms => {
            Fate::Forbidden("the time to delete this message is over")
        }
        Act::React { .. } if send.body.len() > REACTION_BYTES_MAX => {
            Fate::Malformed("a reaction has at most 64 bytes")
        }
        Act::React { .. } if text::reaction(&send.body).is_err() => {
            Fate::Malformed("a reaction is a text that can be seen, without control characters")
        }
        Act::React { .. } => return refuse_reaction(send.body.is_empty(), target),
        Act::Pin { .. } | Act::Unpin { .. } if !standing.role.may_pin(head.kind) => {
            Fate::Forbidden("only an owner or an admin may pin messages")
        }
        _ => return None,
    };
    Some(refusal)
}

/// What stands can always be taken back: of the entries that count, at most one more may take back than
/// give (of what was given before them), so each giving makes room for its own taking back.
fn refuse_reaction(takes_back: bool, target: &Target) -> Option<Fate> {
    let given = target.repeats.saturating_sub(target.emptied);
    let refusal = match takes_back {
        true if target.emptied > given => "there is no reaction to take back",
        false if given >= REACTIONS_PER_USER_MAX => {
            "a user may react to a message at most 20 times an hour"
        }
        _ => return None,
    };
    Some(Fate::Malformed(refusal))
}

/// Moves the head by one and returns the entry at the new place.
fn append(send: &Send, head: &mut Head, target: Option<&Target>) -> Entry {
    let (seq, kind) = (head.seq.next(), send.act.kind());
    let chain = head.chain.link(&NewEntry {
        seq,
        kind,
        message_id: send.message_id,
        time_ms: send.time_ms,
        sender: &send.from.user,
        device: &send.from.device,
        body: &send.body,
        target: send.act.target(),
    });
    head.seq = seq;
    head.chain = chain;
    if kind == EntryKind::Message {
        head.number += 1;
    }
    if kind.is_activity() {
        head.active = (seq, send.time_ms);
    }
    let (reply_to, mentions): (Option<Seq>, Vec<UserId>) = match &send.act {
        Act::Message { reply_to, mentions } => (*reply_to, mentions.clone()),
        Act::Edit { mentions, .. } => (None, mentions.clone()),
        _ => (None, Vec::new()),
    };
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
        reply_to,
        target: send.act.target(),
        mentions,
        number: head.number,
        expires_ms: expires_ms(send, head, target),
        body_gone: false,
    }
}

/// A message goes when it says so, or by the conversation's setting; an edit or a reaction goes with
/// its message.
fn expires_ms(send: &Send, head: &Head, target: Option<&Target>) -> Option<u64> {
    match target {
        Some(target) => target.expires_ms,
        None => {
            let setting = head.expiry_s.map(|s| send.time_ms + u64::from(s) * 1000);
            [send.expires_ms, setting].into_iter().flatten().min()
        }
    }
}
