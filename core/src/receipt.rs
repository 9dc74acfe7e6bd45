//! Receipts: how far a user has got in a conversation. Cursors of users, not of devices; never back.
//!
//! *Delivered* comes from the recipient's PUBACK (the bridge reports it, but for large groups) or from
//! what a client publishes on `r`; *read* comes from `r` alone. Reading implies delivery. Reports are
//! decided by [`plan`], in one transaction of the store; what really moved is told to others.

use std::collections::HashMap;

use crate::ids::{ConversationId, Seq, UserId};

/// How far a user says to have got in one conversation; 0: says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The conversation.
    pub conversation: ConversationId,
    /// Everything up to here has arrived at one device at least.
    pub delivered: Seq,
    /// Everything up to here was seen by the person.
    pub read: Seq,
}

/// What a device reports at once: all of it is taken, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose cursors move.
    pub user: UserId,
    /// At most [`crate::limits::RECEIPTS_MAX`]; a conversation may stand twice.
    pub places: Vec<Place>,
    /// From PUBACKs, not from a client: what is not right any more is left out, without a word.
    pub lenient: bool,
}

/// A user's cursors in one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursors {
    /// See [`Place::delivered`].
    pub delivered: Seq,
    /// See [`Place::read`].
    pub read: Seq,
}

/// A user's cursors, as told to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who.
    pub user: UserId,
    /// How far.
    pub cursors: Cursors,
}

/// Why a report was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The user is no member (any more).
    #[error("not a member of conversation {0}")]
    NoMember(ConversationId),
    /// There is no such place yet.
    #[error("conversation {conversation} ends at {head}")]
    BeyondHead {
        /// Which one.
        conversation: ConversationId,
        /// Its head.
        head: Seq,
    },
}

/// Cursors that a report moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Where.
    pub conversation: ConversationId,
    /// As they stood before the report.
    pub before: Cursors,
    /// As they are now.
    pub now: Cursors,
}

/// What became of a report: the cursors that moved; nothing moved is an empty list.
pub type Verdict = Result<Vec<Moved>, Refused>;

/// What a store loads (and locks) for reports before it asks for the plan.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The heads of the conversations in which the reports' users are members: absent, no member.
    pub heads: HashMap<(ConversationId, UserId), Seq>,
    /// Where their cursors stand; absent: at 0.
    pub cursors: HashMap<(ConversationId, UserId), Cursors>,
}

/// What the store has to write.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One for each report, in order.
    pub verdicts: Vec<Verdict>,
    /// Cursors that moved, as they are now; ordered, each (conversation, user) once. Where `read`
    /// moved on, the conversation is not marked unread any more.
    pub moved: Vec<(ConversationId, UserId, Cursors)>,
    /// How many of these stood above the end of their logs, which have lost entries: they were taken
    /// back to it before anything else.
    pub mended: u64,
}

/// Decides reports, in order.
#[must_use]
pub fn plan(reports: &[Report], loaded: Loaded) -> Plan {
    let Loaded { heads, mut cursors } = loaded;
    let mut moved: HashMap<(ConversationId, UserId), Cursors> = HashMap::new();
    let mut mended = 0;
    for (key, head) in &heads {
        let Some(at) = cursors.get_mut(key) else { continue };
        let back = Cursors { delivered: at.delivered.min(*head), read: at.read.min(*head) };
        if back != *at {
            *at = back;
            moved.insert(key.clone(), back);
            mended += 1;
        }
    }
    let mut verdicts = Vec::with_capacity(reports.len());
    for report in reports {
        let refused = report.places.iter().find_map(|place| refuse(report, place, &heads).err());
        if let (Some(refused), false) = (refused, report.lenient) {
            verdicts.push(Err(refused));
            continue;
        }
        let mut told: Vec<Moved> = Vec::new();
        for place in &report.places {
            if refuse(report, place, &heads).is_err() {
                continue;
            }
            let key = (place.conversation, report.user.clone());
            let now = cursors.entry(key.clone()).or_default();
            let next = Cursors {
                delivered: now.delivered.max(place.delivered).max(place.read),
                read: now.read.max(place.read),
            };
            if next != *now {
                match told.iter_mut().find(|moved| moved.conversation == place.conversation) {
                    Some(moved) => moved.now = next,
                    None => told.push(Moved {
                        conversation: place.conversation,
                        before: *now,
                        now: next,
                    }),
                }
                *now = next;
                moved.insert(key, next);
            }
        }
        verdicts.push(Ok(told));
    }
    let mut moved: Vec<_> = moved.into_iter().map(|((id, user), at)| (id, user, at)).collect();
    moved.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    Plan { verdicts, moved, mended }
}

fn refuse(
    report: &Report,
    place: &Place,
    heads: &HashMap<(ConversationId, UserId), Seq>,
) -> Result<(), Refused> {
    let id = place.conversation;
    let head = heads.get(&(id, report.user.clone())).ok_or(Refused::NoMember(id))?;
    if place.delivered.max(place.read) > *head {
        return Err(Refused::BeyondHead { conversation: id, head: *head });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: ConversationId = ConversationId([1; 16]);
    const B: ConversationId = ConversationId([2; 16]);

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn place(conversation: ConversationId, delivered: u64, read: u64) -> Place {
        Place { conversation, delivered: Seq(delivered), read: Seq(read) }
    }

    fn report(name: &str, places: &[Place], lenient: bool) -> Report {
        Report { user: user(name), places: places.to_vec(), lenient }
    }

    fn cursors(delivered: u64, read: u64) -> Cursors {
        Cursors { delivered: Seq(delivered), read: Seq(read) }
    }

    fn loaded() -> Loaded {
        Loaded {
            heads: HashMap::from([((A, user("bob")), Seq(9)), ((A, user("eve")), Seq(9))]),
            cursors: HashMap::from([((A, user("bob")), cursors(5, 3))]),
        }
    }

    #[test]
    fn a_report_is_taken_whole_or_not_at_all() {
        let reports = [
            report("bob", &[place(A, 4, 2)], false),
            report("bob", &[place(A, 0, 7)], false),
            report("bob", &[place(A, 8, 0), place(A, 0, 10)], false),
            report("bob", &[place(A, 9, 0), place(B, 1, 0)], false),
            report("eve", &[place(B, 1, 0), place(A, 99, 0), place(A, 6, 0)], true),
        ];
        let plan = plan(&reports, loaded());
        let to_a = |before, now| Moved { conversation: A, before, now };
        let expected: [Verdict; 5] = [
            Ok(vec![]),
            Ok(vec![to_a(cursors(5, 3), cursors(7, 7))]),
            Err(Refused::BeyondHead { conversation: A, head: Seq(9) }),
            Err(Refused::NoMember(B)),
            Ok(vec![to_a(cursors(0, 0), cursors(6, 0))]),
        ];
        assert_eq!(plan.verdicts, expected);
        let moved = [(A, user("bob"), cursors(7, 7)), (A, user("eve"), cursors(6, 0))];
        assert_eq!(plan.moved, moved);
    }

    proptest! {
        /// In whatever order reports come, the cursors end at the highest places, never back.
        #[test]
        fn order_does_not_matter(places in proptest::collection::vec((0u64..10, 0u64..10), 1..20), at in 0usize..20) {
            let run = |places: &[(u64, u64)]| {
                let reports: Vec<_> =
                    places.iter().map(|(d, r)| report("eve", &[place(A, *d, *r)], false)).collect();
                plan(&reports, loaded()).moved
            };
            let mut turned = places.clone();
            turned.rotate_left(at % places.len());
            prop_assert_eq!(run(&places), run(&turned));
        }
    }
}
