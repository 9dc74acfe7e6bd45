//! How conversations come into being: one for a pair, told by the first entry of the log; and what a
//! key stands for.

use crate::change::{Change, Refused};
use crate::commit::{Fate, KEY_REUSED, Send, SendKey};
use crate::entry::EntryKind;
use crate::ids::{ClientMessageId, Identity, Seq};
use crate::membership::{ConversationKind, Details, Founding, History, NewConversation, Role};
use crate::store::Store;

use super::support::{
    NOW, Task, accepted, add, change, checked_log, cid, commit_one, conversation, device, direct,
    fresh_id, group, item, join_all, remove, send, user,
};

/// Made again by either side, it is the first one; with oneself, it is another.
pub async fn two_users_have_one_direct_conversation(store: &dyn Store) {
    assert_eq!(store.direct(&user("bob"), &user("alice")).await.unwrap(), None);
    let first = store.create(&direct(cid(1), "bob", "alice")).await.unwrap();
    for (number, one, other) in [(2, "alice", "bob"), (3, "bob", "alice"), (1, "bob", "alice")] {
        assert_eq!(store.create(&direct(cid(number), one, other)).await.unwrap(), first);
        let found = store.direct(&user(one), &user(other)).await.unwrap();
        assert_eq!(found, Some(cid(1)));
    }
    assert_eq!(store.conversation(cid(2)).await.unwrap(), None);
    assert_eq!(store.conversations_of(&user("alice"), None, 9).await.unwrap().len(), 1);
    let notes = |number| NewConversation {
        members: vec![(user("alice"), Role::Member)],
        ..direct(cid(number), "alice", "alice")
    };
    let own = store.create(&notes(4)).await.unwrap();
    assert_eq!((own.id, own.members.len()), (cid(4), 1));
    assert_eq!(store.create(&notes(5)).await.unwrap(), own);
    assert_eq!(store.direct(&user("alice"), &user("alice")).await.unwrap(), Some(cid(4)));
    assert!(!accepted(commit_one(store, send(cid(4), "alice:d", "a")).await).2);
    // Groups of the same two are as many as they like.
    for number in [6, 7] {
        assert_eq!(group(store, cid(number), &["alice", "bob"]).await.id, cid(number));
    }
    let other = store.create(&direct(cid(8), "alice", "carol")).await.unwrap();
    assert_eq!(other.id, cid(8));
}

/// Both sides at once: all are told the same.
pub async fn concurrent_creations_of_a_pair_have_one_id(store: &dyn Store) {
    for round in 0..4u8 {
        let (one, other) = (format!("ann{round}"), format!("ben{round}"));
        let news: Vec<NewConversation> = (0..8u8)
            .map(|n| {
                let id = cid(round * 16 + n + 1);
                let founding = Some(Founding { by: device("x:d"), message_id: fresh_id() });
                let (first, second) = if n % 2 == 0 { (&one, &other) } else { (&other, &one) };
                NewConversation { founding, ..direct(id, first, second) }
            })
            .collect();
        let tasks = news.iter().map(|new| {
            let task: Task<'_, _> = Box::pin(async { store.create(new).await.unwrap() });
            task
        });
        let made = join_all(tasks.collect()).await;
        let all: Vec<_> = made.iter().map(|made| made.id).collect();
        assert!(all.iter().all(|id| *id == all[0]), "{all:?}");
        assert_eq!(store.conversations_of(&user(&one), None, 99).await.unwrap().len(), 1);
        assert_eq!(checked_log(store, all[0]).await.len(), 1);
    }
}

/// It tells who made what of whom; it is no message, and it is made once.
pub async fn a_creation_is_the_first_entry(store: &dyn Store) {
    let by: Identity = device("zoe:phone");
    let message_id = fresh_id();
    let details = Details {
        title: "us all".to_owned(),
        description: "first\nsecond".to_owned(),
        history: History::All,
        expiry_s: Some(60),
        ..Details::default()
    };
    let members = vec![(user("zoe"), Role::Owner), (user("bob"), Role::Member)];
    let new = NewConversation {
        id: cid(1),
        kind: ConversationKind::Group,
        members: members.clone(),
        details,
        time_ms: NOW + 7,
        founding: Some(Founding { by, message_id }),
    };
    let made = store.create(&new).await.unwrap();
    assert_eq!((made.head_seq, made.number, made.group_version), (Seq(1), 0, 1));
    assert_eq!((made.active_seq, made.active_ms), (Seq(1), NOW + 7));
    let again = Founding { by: device("bob:d"), message_id: fresh_id() };
    let again = NewConversation { founding: Some(again), time_ms: NOW + 9, ..new.clone() };
    assert_eq!(store.create(&again).await.unwrap(), made);
    let log = checked_log(store, cid(1)).await;
    let [first] = &log[..] else { panic!("one entry: {log:?}") };
    assert_eq!((first.kind, first.message_id), (EntryKind::Membership, message_id));
    assert_eq!((first.sender.as_str(), first.device.as_str()), ("zoe", "phone"));
    assert_eq!((first.time_ms, first.number), (NOW + 7, 0));
    let Some(Change::Created { kind, count, members: told, details }) = first.change() else {
        panic!("{first:?}")
    };
    assert_eq!((kind, count, told), (ConversationKind::Group, 2, members));
    assert_eq!((details.title.as_deref(), details.expiry_s), (Some("us all"), Some(60)));
    assert_eq!(details.description.as_deref(), Some("first\nsecond"));
    // All members see it, and nobody has to read it.
    for who in ["zoe", "bob"] {
        let shown = item(store, who, cid(1)).await.unwrap();
        assert_eq!((shown.unread, shown.mentions), (0, 0), "{who}");
        assert_eq!(shown.preview.map(|entry| entry.seq), Some(Seq(1)), "{who}");
    }
    assert_eq!(store.outbox(9).await.unwrap().len(), 1);
    let (_, seq, _) = accepted(commit_one(store, send(cid(1), "bob:d", "a")).await);
    assert_eq!((seq, conversation(store, cid(1)).await.number), (Seq(2), 1));
    assert_eq!(store.check_inboxes(None, 9, false).await.unwrap().differences, []);
}

/// A key used for another request is refused, and nothing is stored.
pub async fn a_key_stands_for_one_request(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let first = send(cid(1), "alice:d", "k");
    let (message_id, seq, _) = accepted(commit_one(store, first.clone()).await);
    for _ in 0..2 {
        let again = Send { message_id: fresh_id(), time_ms: NOW + 9, ..first.clone() };
        assert_eq!(accepted(commit_one(store, again).await), (message_id, seq, true));
        let other = Send { body: "other".into(), message_id: fresh_id(), ..first.clone() };
        assert_eq!(commit_one(store, other).await, Fate::Malformed(KEY_REUSED));
    }
    assert_eq!(conversation(store, cid(1)).await.head_seq, Seq(1));
    let key = SendKey::Change(ClientMessageId::new("k").unwrap());
    let ask = |ask| crate::change::ChangeRequest {
        key: key.clone(),
        ..change(cid(1), Some("alice:d"), ask)
    };
    let (entry, _) = store.change(&ask(add(&["carol"]))).await.unwrap().unwrap();
    let (again, _) = store.change(&ask(add(&["carol"]))).await.unwrap().unwrap();
    assert_eq!(again, entry);
    for other in [add(&["dan"]), remove(&["carol"])] {
        assert_eq!(store.change(&ask(other)).await.unwrap().unwrap_err(), Refused::KeyReused);
    }
    assert_eq!(conversation(store, cid(1)).await.head_seq, Seq(2));
}
