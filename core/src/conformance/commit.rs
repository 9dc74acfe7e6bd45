//! [`Store::commit`].

use bytes::Bytes;

use super::support::{
    NOW, accepted, add, change, changed, checked_log, cid, commit, commit_one, fresh_id, group,
    join_all, remove, say, send,
};
use crate::commit::{Act, Fate, Send, SendKey};
use crate::entry::EntryKind;
use crate::ids::{ConversationId, Seq};
use crate::limits::{BATCH_SENDS_MAX, BODY_BYTES_MAX};
use crate::policy::Policy;
use crate::store::Store;

/// Places 1, 2, 3 in the order of the batch; the answer holds the entries that were stored.
pub async fn new_sends_get_the_next_places_and_a_chain(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let batch = [send(cid(1), "alice:d", "a"), send(cid(1), "bob:d", "b")];
    let committed = commit(store, &batch).await;
    let third = commit(store, &[send(cid(1), "alice:d", "c")]).await;
    let places: Vec<_> =
        committed.fates.iter().chain(&third.fates).map(|fate| accepted(*fate)).collect();
    assert_eq!(places[0], (batch[0].message_id, Seq(1), false));
    assert_eq!(places[1], (batch[1].message_id, Seq(2), false));
    assert_eq!(places[2].1, Seq(3));
    let stored = checked_log(store, cid(1)).await;
    let answered: Vec<_> = committed.entries.into_iter().chain(third.entries).collect();
    assert_eq!(answered, stored.into_iter().map(|entry| (entry, 1)).collect::<Vec<_>>());
}

/// A repeated key answers with the first id and place and writes nothing.
pub async fn a_retry_is_told_the_first_result(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let first = send(cid(1), "alice:d", "a");
    let again = Send { message_id: fresh_id(), time_ms: NOW + 9, ..first.clone() };
    let (id, seq, _) = accepted(commit_one(store, first).await);
    say(store, cid(1), "alice:d", 2).await;
    let committed = commit(store, &[again]).await;
    assert_eq!(accepted(committed.fates[0]), (id, seq, true));
    assert!(committed.entries.is_empty());
    let log = checked_log(store, cid(1)).await;
    assert_eq!((log.len(), &log[0].body[..]), (3, &b"body of a"[..]));
}

/// The same key twice in one batch is stored once.
pub async fn a_key_twice_in_a_batch_is_a_duplicate(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let batch =
        [send(cid(1), "alice:d", "a"), send(cid(1), "alice:d", "b"), send(cid(1), "alice:d", "a")];
    let committed = commit(store, &batch).await;
    assert_eq!(accepted(committed.fates[2]), (batch[0].message_id, Seq(1), true));
    assert_eq!(committed.entries.len(), 2);
    assert_eq!(checked_log(store, cid(1)).await.len(), 2);
}

/// Another user, device, conversation, or the server's key of the same text: another message.
pub async fn keys_are_scoped_by_sender_device_and_conversation(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    group(store, cid(2), &["alice"]).await;
    let server = Send { key: SendKey::Server(fresh_id()), ..send(cid(1), "alice:d", "x") };
    let batch = [
        send(cid(1), "alice:d", "a"),
        send(cid(1), "alice:e", "a"),
        send(cid(1), "bob:d", "a"),
        send(cid(2), "alice:d", "a"),
        server.clone(),
    ];
    for fate in commit(store, &batch).await.fates {
        assert!(!accepted(fate).2);
    }
    let again = accepted(commit_one(store, server.clone()).await);
    assert_eq!(again, (server.message_id, Seq(4), true));
}

/// Who is no member is refused and nothing is stored.
pub async fn a_stranger_is_forbidden(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    assert!(matches!(commit_one(store, send(cid(1), "mallory:d", "a")).await, Fate::Forbidden(_)));
    assert!(checked_log(store, cid(1)).await.is_empty());
}

/// A conversation that is not there looks like one of strangers.
pub async fn an_unknown_conversation_is_forbidden(store: &dyn Store) {
    assert!(matches!(commit_one(store, send(cid(9), "alice:d", "a")).await, Fate::Forbidden(_)));
    assert_eq!(store.conversation(cid(9)).await.unwrap(), None);
}

/// Removal ends sending; a retry of what was committed before is still told so.
pub async fn a_former_member_is_forbidden_but_told_of_earlier_success(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let first = send(cid(1), "bob:d", "a");
    let (id, seq, _) = accepted(commit_one(store, first.clone()).await);
    changed(store, cid(1), remove(&["bob"])).await;
    assert!(matches!(commit_one(store, send(cid(1), "bob:d", "b")).await, Fate::Forbidden(_)));
    assert_eq!(accepted(commit_one(store, first).await), (id, seq, true));
    changed(store, cid(1), add(&["bob"])).await;
    assert_eq!(accepted(commit_one(store, send(cid(1), "bob:d", "c")).await).1, Seq(4));
}

/// The version of before a change is refused with the version of now.
pub async fn a_stale_group_version_is_refused_and_named(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let with = |version, key| Send { group_version: Some(version), ..send(cid(1), "alice:d", key) };
    assert_eq!(accepted(commit_one(store, with(1, "a")).await).1, Seq(1));
    changed(store, cid(1), add(&["bob"])).await;
    let stale = Fate::StaleGroup { group_version: 2 };
    assert_eq!(commit_one(store, with(1, "b")).await, stale);
    assert_eq!(commit_one(store, with(3, "b")).await, stale);
    let committed = commit(store, &[with(2, "b")]).await;
    assert_eq!(accepted(committed.fates[0]).1, Seq(3));
    assert_eq!(committed.entries[0].1, 2);
}

/// A send that names a head which is not the head is refused.
pub async fn a_previous_chain_must_be_the_heads(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    say(store, cid(1), "alice:d", 1).await;
    let head = store.conversation(cid(1)).await.unwrap().unwrap().head_chain;
    let wire: [u8; 8] = head.wire().try_into().unwrap();
    let with = |chain, key| Send { previous_chain: Some(chain), ..send(cid(1), "alice:d", key) };
    assert_eq!(commit_one(store, with([7; 8], "a")).await, Fate::StaleGroup { group_version: 1 });
    assert_eq!(accepted(commit_one(store, with(wire, "a")).await).1, Seq(2));
    assert_eq!(commit_one(store, with(wire, "b")).await, Fate::StaleGroup { group_version: 1 });
}

/// A reply names a place that is there, in the same batch too, and it is stored.
pub async fn a_reply_answers_what_is_there(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let reply = |seq, key| Send {
        act: Act::Message { reply_to: Some(Seq(seq)), mentions: Vec::new() },
        ..send(cid(1), "alice:d", key)
    };
    assert!(matches!(commit_one(store, reply(1, "a")).await, Fate::Malformed(_)));
    let batch = [send(cid(1), "alice:d", "b"), reply(1, "c"), reply(9, "d")];
    let fates = commit(store, &batch).await.fates;
    assert_eq!(accepted(fates[1]).1, Seq(2));
    assert!(matches!(fates[2], Fate::Malformed(_)));
    assert_eq!(checked_log(store, cid(1)).await[1].reply_to, Some(Seq(1)));
}

/// After a refusal the same key may be committed: nothing of the refused send was kept.
pub async fn a_refused_send_leaves_nothing(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let refused = Send { group_version: Some(7), ..send(cid(1), "alice:d", "a") };
    let batch = [refused.clone(), send(cid(1), "alice:d", "b")];
    let fates = commit(store, &batch).await.fates;
    assert_eq!(fates[0], Fate::StaleGroup { group_version: 1 });
    assert_eq!(accepted(fates[1]).1, Seq(1));
    let again = Send { group_version: Some(1), ..refused };
    let (id, seq, duplicate) = accepted(commit_one(store, again.clone()).await);
    assert_eq!((id, seq, duplicate), (again.message_id, Seq(2), false));
    assert_eq!(store.outbox(10).await.unwrap().len(), 2);
}

/// Conversations in one batch have logs of their own.
pub async fn one_batch_serves_many_conversations(store: &dyn Store) {
    for number in 1..=3 {
        group(store, cid(number), &["alice"]).await;
    }
    let batch: Vec<Send> = (0..9u8)
        .map(|i| send(cid(3 - i % 3), "alice:d", &format!("k{i}")))
        .chain([send(cid(9), "alice:d", "unknown")])
        .collect();
    let committed = commit(store, &batch).await;
    assert!(matches!(committed.fates[9], Fate::Forbidden(_)));
    for (i, fate) in committed.fates[..9].iter().enumerate() {
        assert_eq!(accepted(*fate).1, Seq(i as u64 / 3 + 1));
    }
    for number in 1..=3 {
        assert_eq!(checked_log(store, cid(number)).await.len(), 3);
    }
}

/// Every field that was sent is what is read, from an empty body to the largest.
pub async fn bodies_and_all_fields_come_back_unchanged(store: &dyn Store) {
    group(store, cid(1), &["alice", "bob"]).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from(every_byte),
        Bytes::from((0..=250u8).cycle().take(BODY_BYTES_MAX).collect::<Vec<u8>>()),
        Bytes::new(),
    ];
    let batch: Vec<Send> = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| Send {
            body: body.clone(),
            act: Act::Message { reply_to: (i > 0).then_some(Seq(1)), mentions: Vec::new() },
            expires_ms: (i == 2).then_some(NOW + 5),
            time_ms: NOW + i as u64,
            ..send(cid(1), if i == 1 { "bob:e.2" } else { "alice:d" }, &format!("k-{i}_."))
        })
        .collect();
    let committed = commit(store, &batch).await;
    let log = checked_log(store, cid(1)).await;
    assert_eq!(log, committed.entries.into_iter().map(|(entry, _)| entry).collect::<Vec<_>>());
    let reply_to = |sent: &Send| match &sent.act {
        Act::Message { reply_to, .. } => *reply_to,
        _ => None,
    };
    for (entry, sent) in log.iter().zip(&batch) {
        assert_eq!(entry.body, sent.body);
        assert_eq!((&entry.sender, &entry.device), (&sent.from.user, &sent.from.device));
        assert_eq!((entry.message_id, entry.time_ms), (sent.message_id, sent.time_ms));
        assert_eq!((entry.reply_to, entry.expires_ms), (reply_to(sent), sent.expires_ms));
        assert_eq!((entry.kind, entry.body_gone), (EntryKind::Message, false));
    }
}

/// The largest batch, over as many conversations as a batch may touch.
pub async fn a_full_batch_is_committed(store: &dyn Store) {
    let id = |i: usize| {
        let mut bytes = [3; 16];
        bytes[..8].copy_from_slice(&((i / 2) as u64).to_be_bytes());
        ConversationId(bytes)
    };
    for i in (0..BATCH_SENDS_MAX).step_by(2) {
        group(store, id(i), &["alice"]).await;
    }
    let batch: Vec<Send> =
        (0..BATCH_SENDS_MAX).map(|i| send(id(i), "alice:d", &format!("k{i}"))).collect();
    let committed = commit(store, &batch).await;
    assert_eq!(committed.entries.len(), BATCH_SENDS_MAX);
    for (i, fate) in committed.fates.iter().enumerate() {
        assert_eq!(accepted(*fate), (batch[i].message_id, Seq(i as u64 % 2 + 1), false));
    }
    let again = commit(store, &batch).await;
    assert!(again.entries.is_empty());
    assert!(again.fates.iter().all(|fate| accepted(*fate).2));
}

/// No sends, no fates.
pub async fn an_empty_batch_is_nothing(store: &dyn Store) {
    let committed = commit(store, &[]).await;
    assert!(committed.fates.is_empty() && committed.entries.is_empty());
}

/// Eight writers at once on the same three conversations, in different orders.
pub async fn concurrent_batches_leave_one_gapless_chain(store: &dyn Store) {
    for number in 1..=3 {
        group(store, cid(number), &["alice"]).await;
    }
    let batches: Vec<Vec<Send>> = (0..8u8)
        .map(|writer| {
            (0..12u8)
                .map(|i| {
                    let turned = if writer % 2 == 0 { i % 3 } else { 2 - i % 3 };
                    send(cid(turned + 1), "alice:d", &format!("w{writer}-{i}"))
                })
                .collect()
        })
        .collect();
    let policy = Policy::default();
    let results =
        join_all(batches.iter().map(|batch| store.commit(batch, &policy)).collect()).await;
    for result in results {
        assert!(result.unwrap().fates.iter().all(|fate| !accepted(*fate).2));
    }
    for number in 1..=3 {
        assert_eq!(checked_log(store, cid(number)).await.len(), 32);
    }
    assert_eq!(store.outbox(1000).await.unwrap().len(), 96);
}

/// The same send from many sides at once is stored once and all are told the same.
pub async fn concurrent_retries_have_one_winner(store: &dyn Store) {
    group(store, cid(1), &["alice"]).await;
    let tries: Vec<[Send; 1]> = (0..8).map(|_| [send(cid(1), "alice:d", "same")]).collect();
    let policy = Policy::default();
    let results = join_all(tries.iter().map(|batch| store.commit(batch, &policy)).collect()).await;
    let fates: Vec<_> = results.into_iter().map(|r| accepted(r.unwrap().fates[0])).collect();
    assert_eq!(fates.iter().filter(|fate| !fate.2).count(), 1);
    assert!(fates.iter().all(|fate| (fate.0, fate.1) == (fates[0].0, Seq(1))));
    assert_eq!(checked_log(store, cid(1)).await.len(), 1);
    // A member's change in between does not disturb a later retry.
    let joins = change(cid(1), Some("alice:d"), add(&["bob"]));
    store.change(&joins).await.unwrap().unwrap();
    assert!(accepted(commit_one(store, send(cid(1), "alice:d", "same")).await).2);
}
