//! [`Inboxes::check_inboxes`](crate::inbox::Inboxes::check_inboxes): what was damaged by another hand
//! is found, said, and mended.

use super::support::{
    NOW, Task, add, changed, cid, commit, conversation, group, inbox, item, log_above, place_of,
    reached, remove, report, say, send, user,
};
use crate::commit::{Act, Send};
use crate::ids::{ConversationId, Seq, UserId};
use crate::inbox::{Checked, Difference};
use crate::receipt::Cursors;
use crate::store::Store;

/// What an adapter's test shall write into its tables, past the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The conversation's own values.
    Head {
        /// Where.
        conversation: ConversationId,
        /// See [`crate::membership::Conversation::number`].
        number: u64,
        /// See [`crate::membership::Conversation::active_seq`].
        active_seq: u64,
        /// See [`crate::membership::Conversation::active_ms`].
        active_ms: u64,
    },
    /// An entry's number.
    EntryNumber {
        /// Where.
        conversation: ConversationId,
        /// Which entry.
        seq: u64,
        /// See [`crate::entry::Entry::number`].
        number: u64,
    },
    /// A row that says that a message names a user.
    Mention {
        /// Where.
        conversation: ConversationId,
        /// Whom.
        user: UserId,
        /// Which message.
        seq: u64,
    },
    /// No row says that any message of the conversation names anybody.
    NoMentions {
        /// Where.
        conversation: ConversationId,
    },
    /// A user's cursors; the row is made if there is none.
    Cursors {
        /// Where.
        conversation: ConversationId,
        /// Whose.
        user: UserId,
        /// See [`Cursors::delivered`].
        delivered: u64,
        /// See [`Cursors::read`].
        read: u64,
    },
    /// The user blocks `x0`, `x1`, ... so many. No damage, but 10,000 calls of the store less.
    Blocks {
        /// Who.
        user: UserId,
        /// How many.
        count: usize,
    },
}

/// What an adapter's test brings beside its store.
pub trait Harm: Sync {
    /// Writes it, with plain SQL.
    fn harm(&self, damage: Damage) -> Task<'_, ()>;
}

async fn check(store: &dyn Store, repair: bool) -> Checked {
    let mut whole = Checked::default();
    loop {
        let part = store.check_inboxes(whole.next, 2, repair).await.unwrap();
        assert!(part.conversations <= 2);
        whole.conversations += part.conversations;
        whole.differences.extend(part.differences);
        whole.next = part.next;
        if whole.next.is_none() {
            return whole;
        }
    }
}

/// What differs, in an order of its own.
async fn differences(store: &dyn Store, repair: bool) -> Vec<Difference> {
    let mut found = check(store, repair).await.differences;
    found.sort_by(|a, b| {
        (a.conversation, &a.user, a.field, &a.stored).cmp(&(
            b.conversation,
            &b.user,
            b.field,
            &b.stored,
        ))
    });
    found
}

fn differs(who: Option<&str>, field: &'static str, stored: u64, computed: u64) -> Difference {
    Difference {
        conversation: cid(2),
        user: who.map(user),
        field,
        stored: stored.to_string(),
        computed: computed.to_string(),
    }
}

fn naming(number: u8, key: &str, names: &[&str]) -> Send {
    let mentions = names.iter().map(|name| user(name)).collect();
    Send { act: Act::Message { reply_to: None, mentions }, ..send(cid(number), "alice:d", key) }
}

/// Three groups with messages, mentions, edits, a deletion, stays that are over, and cursors.
async fn ground(store: &dyn Store) {
    for number in 1..=3 {
        group(store, cid(number), &["alice", "bob"]).await;
        let batch = [
            naming(number, "a", &["bob", "carol", "bob"]),
            naming(number, "b", &["bob"]),
            naming(number, "c", &["bob", "alice"]),
        ];
        commit(store, &batch).await;
        changed(store, cid(number), add(&["carol", "dan"])).await;
        place_of(store, naming(number, "d", &["carol", "dan"])).await;
        changed(store, cid(number), remove(&["dan"])).await;
        let about = |key: &str, act| super::support::about(cid(number), "alice:d", key, act);
        let edit = Act::Edit { target: Seq(2), mentions: vec![user("carol")] };
        place_of(store, about("e", edit)).await;
        place_of(store, about("f", Act::Delete { target: Seq(1) })).await;
        report(store, "bob", &[reached(cid(number), 8, 2)]).await.unwrap();
    }
}

/// A store that was used as it should be differs nowhere, however much went on.
pub async fn a_sound_store_has_nothing_to_mend(store: &dyn Store) {
    assert_eq!(check(store, false).await, Checked::default());
    ground(store).await;
    group(store, cid(9), &["zoe"]).await;
    let before = conversation(store, cid(1)).await;
    for repair in [false, true] {
        let checked = check(store, repair).await;
        assert_eq!((checked.conversations, checked.differences), (4, vec![]));
    }
    assert_eq!(conversation(store, cid(1)).await, before, "nothing was mended");
    let part = store.check_inboxes(Some(cid(2)), 1, false).await.unwrap();
    assert_eq!((part.conversations, part.next), (1, Some(cid(3))));
}

/// Every value beside the log is compared with it, and said as stored and as computed.
pub async fn planted_damage_is_found_and_not_touched(store: &dyn Store, harm: &dyn Harm) {
    ground(store).await;
    let conversation = cid(2);
    harm.harm(Damage::Head { conversation, number: 77, active_seq: 3, active_ms: NOW + 5 }).await;
    harm.harm(Damage::EntryNumber { conversation, seq: 2, number: 5 }).await;
    harm.harm(Damage::Cursors { conversation, user: user("bob"), delivered: 99, read: 98 }).await;
    let expected = [
        differs(None, "active_ms", NOW + 5, NOW),
        differs(None, "active_seq", 3, 6),
        differs(None, "number", 5, 2),
        differs(None, "number", 77, 4),
        differs(Some("bob"), "delivered_seq", 99, 8),
        differs(Some("bob"), "read_seq", 98, 8),
    ];
    for _ in 0..2 {
        assert_eq!(differences(store, false).await, expected, "a check alone mends nothing");
    }
    harm.harm(Damage::NoMentions { conversation: cid(3) }).await;
    harm.harm(Damage::Mention { conversation: cid(1), user: user("eve"), seq: 3 }).await;
    let found = differences(store, false).await;
    let of = |id| -> Vec<_> {
        let of_it = found.iter().filter(|d| d.conversation == id);
        of_it.map(|d| (d.user.clone(), d.field)).collect()
    };
    assert_eq!(of(cid(1)), [(Some(user("eve")), "mentions")]);
    assert!(of(cid(3)).contains(&(Some(user("bob")), "mentions")));
    assert!(of(cid(3)).iter().all(|(who, field)| who.is_some() && *field == "mentions"));
    assert!(!of(cid(3)).contains(&(Some(user("dan")), "mentions")), "dan has left");
}

/// What is mended is what the log says; the group version rises where a head was wrong, so that
/// nothing remembered of before is good any more.
pub async fn planted_damage_is_mended(store: &dyn Store, harm: &dyn Harm) {
    ground(store).await;
    let heads = async || {
        let mut all = Vec::new();
        for number in 1..=3 {
            all.push(super::support::conversation(store, cid(number)).await);
        }
        all
    };
    let boxes = async || {
        [inbox(store, "alice").await, inbox(store, "bob").await, inbox(store, "carol").await]
    };
    let (before, shown) = (heads().await, boxes().await);
    let logs = [log_above(store, cid(1), 0).await, log_above(store, cid(2), 0).await];
    let conversation = cid(2);
    harm.harm(Damage::Head { conversation, number: 77, active_seq: 3, active_ms: NOW + 5 }).await;
    for seq in 1..=4 {
        harm.harm(Damage::EntryNumber { conversation, seq, number: 40 + seq }).await;
    }
    harm.harm(Damage::Cursors {
        conversation: cid(1),
        user: user("carol"),
        delivered: 50,
        read: 9,
    })
    .await;
    harm.harm(Damage::NoMentions { conversation }).await;
    harm.harm(Damage::NoMentions { conversation: cid(3) }).await;
    harm.harm(Damage::Mention { conversation: cid(3), user: user("bob"), seq: 4 }).await;
    assert_ne!(boxes().await, shown, "the damage shows");
    assert!(!differences(store, true).await.is_empty());
    assert_eq!(differences(store, true).await, [], "mended once and for all");
    let mut expected = before;
    expected[1].group_version += 1;
    assert_eq!(heads().await, expected);
    assert_eq!([log_above(store, cid(1), 0).await, log_above(store, cid(2), 0).await], logs);
    let mut now = boxes().await;
    for item in now.iter_mut().flatten().filter(|item| item.conversation == cid(2)) {
        item.group_version -= 1;
    }
    // Carol's cursors were beyond the head, and are at the head now: all is read.
    let carol = now[2].iter_mut().find(|item| item.conversation == cid(1)).unwrap();
    assert_eq!(carol.cursors, Cursors { delivered: Seq(8), read: Seq(8) });
    let was = shown[2].iter().find(|item| item.conversation == cid(1)).unwrap();
    (carol.cursors, carol.unread, carol.mentions) = (was.cursors, was.unread, was.mentions);
    assert_eq!(now, shown);
}

/// Sends go on after a repair where the log says, also from a store that remembers its own last
/// commit.
pub async fn sends_go_on_after_a_repair(store: &dyn Store, harm: &dyn Harm) {
    group(store, cid(2), &["alice", "bob"]).await;
    say(store, cid(2), "alice:d", 3).await;
    let damage = Damage::Head { conversation: cid(2), number: 9, active_seq: 1, active_ms: NOW };
    harm.harm(damage).await;
    check(store, true).await;
    let stale = Send { group_version: Some(1), ..send(cid(2), "alice:d", "stale") };
    let fate = super::support::commit_one(store, stale).await;
    assert_eq!(fate, crate::commit::Fate::StaleGroup { group_version: 2 });
    say(store, cid(2), "bob:d", 1).await;
    let now = conversation(store, cid(2)).await;
    assert_eq!((now.number, now.active_seq), (4, Seq(4)));
    assert_eq!(item(store, "bob", cid(2)).await.unwrap().unread, 3);
    assert_eq!(differences(store, false).await, []);
}
