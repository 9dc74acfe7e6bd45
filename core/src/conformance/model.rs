//! A conversation recomputed from its log alone: the second opinion on what a store keeps beside it.
//!
//! It is written as plainly as can be and shares no decision with [`crate::change`] and
//! [`crate::commit`]: it takes entries as they come and counts anew for every question. What no log
//! holds (receipts, marks, blocks) it is told.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::change::{Change, DetailsChange};
use crate::commit::{Act, Send};
use crate::entry::{ChainHash, Entry, EntryKind, NewEntry};
use crate::ids::{Seq, UserId};
use crate::inbox::{Marks, MarksChange};
use crate::membership::{Conversation, ConversationKind, History, Member, NewConversation, Stay};
use crate::receipt::{Cursors, Place};

mod admit;
mod shown;

/// What a member has beside the log.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    cursors: Cursors,
    marks: Marks,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Model {
    conversation: Conversation,
    log: Vec<Entry>,
    stays: Vec<Stay>,
    own: BTreeMap<UserId, Own>,
}

impl Model {
    /// An empty log.
    #[must_use]
    pub fn new(new: &NewConversation) -> Self {
        let members = new.members.iter().zip(1..).map(|((user, role), tag)| Member {
            user: user.clone(),
            role: *role,
            joined_seq: Seq::ZERO,
            visible_seq: Seq::ZERO,
            tag,
            blocked: false,
        });
        let stays: Vec<Stay> = members.map(|member| Stay { member, left_seq: None }).collect();
        let mut model = Self {
            conversation: Conversation {
                id: new.id,
                kind: new.kind,
                head_seq: Seq::ZERO,
                head_chain: ChainHash::ZERO,
                group_version: 1,
                number: 0,
                active_seq: Seq::ZERO,
                active_ms: new.time_ms,
                details: new.details.clone(),
                next_tag: u32::try_from(stays.len()).unwrap() + 1,
                members: Vec::new(),
            },
            log: Vec::new(),
            stays,
            own: BTreeMap::new(),
        };
        model.seat();
        model
    }

    /// The next entry of the log, as it was when it was committed.
    pub fn take(&mut self, entry: &Entry) {
        let now = &mut self.conversation;
        assert_eq!(
            (entry.conversation, entry.seq),
            (now.id, now.head_seq.next()),
            "the next entry"
        );
        self.admit(entry);
        let now = &mut self.conversation;
        let chain = now.head_chain.link(&NewEntry {
            seq: entry.seq,
            kind: entry.kind,
            message_id: entry.message_id,
            time_ms: entry.time_ms,
            sender: &entry.sender,
            device: &entry.device,
            body: &entry.body,
            target: entry.target,
        });
        // Of what a deletion in its own batch has emptied, the body is not known any more.
        assert!(entry.body_gone || chain == entry.chain, "the chain at {}", entry.seq);
        (now.head_seq, now.head_chain) = (entry.seq, entry.chain);
        now.number += u64::from(entry.kind == EntryKind::Message);
        assert_eq!(entry.number, now.number, "the number at {}", entry.seq);
        if matches!(entry.kind, EntryKind::Message | EntryKind::Membership | EntryKind::Details) {
            (now.active_seq, now.active_ms) = (entry.seq, entry.time_ms);
        }
        self.log.push(entry.clone());
        if let (EntryKind::Deletion, Some(target)) = (entry.kind, entry.target) {
            self.empty(|other| {
                let is_edit = other.kind == EntryKind::Edit && other.target == Some(target);
                other.seq == target || is_edit
            });
            let about = |other: &&mut Entry| {
                other.seq == target
                    || (other.kind == EntryKind::Edit && other.target == Some(target))
            };
            self.log.iter_mut().filter(about).for_each(|other| other.mentions.clear());
        }
        if matches!(entry.kind, EntryKind::Membership | EntryKind::Details) {
            self.change(entry.seq, &entry.change().expect("a change that reads"));
        }
    }

    fn change(&mut self, seq: Seq, change: &Change) {
        let now = &mut self.conversation;
        let present = |stay: &&mut Stay| stay.left_seq.is_none();
        match change {
            // The members are those that it was made with.
            Change::Created { members, .. } => {
                assert_eq!((seq, members.len()), (Seq(1), self.stays.len()));
            }
            Change::Added { group_version, users, role, first_tag } => {
                assert_eq!((*group_version, *first_tag), (now.group_version + 1, now.next_tag));
                let joined_seq = Seq(seq.0 - 1);
                let all = now.details.history == History::All;
                for (user, tag) in users.iter().zip(*first_tag..) {
                    let visible_seq = if all { Seq::ZERO } else { joined_seq };
                    let (user, role) = (user.clone(), *role);
                    let member =
                        Member { user, role, joined_seq, visible_seq, tag, blocked: false };
                    self.stays.push(Stay { member, left_seq: None });
                    now.next_tag = tag + 1;
                }
                now.group_version += 1;
            }
            Change::Removed { group_version, users } => {
                assert_eq!(*group_version, now.group_version + 1);
                for stay in self.stays.iter_mut().filter(present) {
                    if users.contains(&stay.member.user) {
                        stay.left_seq = Some(seq);
                        self.own.remove(&stay.member.user);
                    }
                }
                now.group_version += 1;
            }
            Change::Roles { group_version, roles } => {
                assert_eq!(*group_version, now.group_version + 1);
                for stay in self.stays.iter_mut().filter(present) {
                    let role = roles.iter().find(|(user, _)| *user == stay.member.user);
                    stay.member.role = role.map_or(stay.member.role, |(_, role)| *role);
                }
                now.group_version += 1;
            }
            Change::Details(set) => self.set_details(seq, set),
        }
        self.seat();
    }

    fn set_details(&mut self, seq: Seq, set: &DetailsChange) {
        let details = &mut self.conversation.details;
        let mut replaced = Vec::new();
        if let Some(title) = &set.title {
            replaced.push(details.title_seq);
            (details.title, details.title_seq) = (title.clone(), seq);
        }
        if let Some(text) = &set.description {
            replaced.push(details.description_seq);
            (details.description, details.description_seq) = (text.clone(), seq);
        }
        replaced.retain(|seq| *seq != Seq::ZERO);
        replaced.sort();
        replaced.dedup();
        assert_eq!(set.replaces, replaced, "the loser is named");
        if let Some(history) = set.history {
            details.history = history;
        }
        if let Some(expiry_s) = set.expiry_s {
            details.expiry_s = Some(expiry_s).filter(|s| *s > 0);
        }
        details.changed_seq = seq;
    }

    /// The members are those whose stay is not over.
    fn seat(&mut self) {
        let present = self.stays.iter().filter(|stay| stay.left_seq.is_none());
        let mut members: Vec<Member> = present.map(|stay| stay.member.clone()).collect();
        members.sort_by(|a, b| a.user.cmp(&b.user));
        self.conversation.members = members;
    }

    fn empty(&mut self, which: impl Fn(&Entry) -> bool) {
        for entry in self.log.iter_mut().filter(|entry| which(entry)) {
            (entry.body, entry.body_gone) = (Bytes::new(), true);
        }
    }

    /// Bodies that were due at this time are gone.
    pub fn prune(&mut self, now_ms: u64) {
        self.empty(|entry| entry.expires_ms.is_some_and(|at| at <= now_ms));
    }

    /// One user blocks (or unblocks) another.
    pub fn block(&mut self, user: &UserId, other: &UserId, on: bool) {
        let both = [user, other].iter().all(|name| self.conversation.member(name).is_some());
        if self.conversation.kind != ConversationKind::Direct || !both || user == other {
            return;
        }
        for stay in &mut self.stays {
            if stay.member.user == *other && stay.member.blocked != on {
                stay.member.blocked = on;
                self.conversation.group_version += 1;
            }
        }
        self.seat();
    }

    /// What a member reports; `None`: the report is refused. Otherwise whether anything moved.
    pub fn report(&mut self, user: &UserId, place: &Place) -> Option<Option<Cursors>> {
        self.conversation.member(user)?;
        let highest = place.delivered.max(place.read);
        if highest > self.conversation.head_seq {
            return None;
        }
        let own = self.own.entry(user.clone()).or_default();
        let before = own.cursors;
        own.cursors.delivered = before.delivered.max(highest);
        own.cursors.read = before.read.max(place.read);
        if own.cursors.read > before.read {
            own.marks.marked_unread = false;
        }
        Some((own.cursors != before).then_some(own.cursors))
    }

    /// A send that was accepted: its entry is the last of the log.
    pub fn sent(&mut self, send: &Send) {
        if send.reads && matches!(send.act, Act::Message { .. }) {
            let read = self.conversation.head_seq;
            let place = Place { conversation: self.conversation.id, delivered: read, read };
            self.report(&send.from.user, &place);
        }
    }

    /// A member's marks after a change of them.
    pub fn mark(&mut self, user: &UserId, change: &MarksChange) -> Option<Marks> {
        self.conversation.member(user)?;
        let own = self.own.entry(user.clone()).or_default();
        own.marks = change.apply(own.marks);
        Some(own.marks)
    }

    /// The conversation as it should be stored.
    #[must_use]
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// The log as it should be read.
    #[must_use]
    pub fn log(&self) -> &[Entry] {
        &self.log
    }
}

/// Where an entry stands in a vector of the whole log.
fn place(seq: Seq) -> usize {
    usize::try_from(seq.0).unwrap() - 1
}
