//! [`People::block`](crate::people::People::block), and what it does to direct conversations.

use super::damage::{Damage, Harm};
use super::support::{
    NOW, about, accepted, cid, commit, commit_one, conversation, direct, group, join_all, place_of,
    say, send, user,
};
use crate::commit::{Act, Fate, Send};
use crate::ids::{ConversationId, Seq, UserId};
use crate::limits::BLOCKS_MAX;
use crate::membership::Conversation;
use crate::people::TooMany;
use crate::store::Store;

/// Blocks or unblocks, and the conversations in which it changed something.
async fn block(store: &dyn Store, who: &str, other: &str, on: bool) -> Vec<ConversationId> {
    let mut changed = store.block(&user(who), &user(other), on, NOW).await.unwrap().unwrap();
    changed.sort();
    changed
}

fn blocked(conversation: &Conversation) -> Vec<(&str, bool)> {
    conversation.members.iter().map(|m| (m.user.as_str(), m.blocked)).collect()
}

fn is_blocked(fate: Fate) -> bool {
    matches!(fate, Fate::Forbidden(why) if why == crate::policy::NOT_HERE)
}

/// Lists are ordered and each user's own; blocking again and unblocking strangers changes nothing.
pub async fn blocks_are_listed_and_taken_back(store: &dyn Store) {
    for other in ["zoe", "bob", "eve"] {
        assert!(block(store, "alice", other, true).await.is_empty());
        assert!(block(store, "alice", other, true).await.is_empty());
    }
    block(store, "eve", "bob", true).await;
    block(store, "alice", "eve", false).await;
    block(store, "alice", "never", false).await;
    let users = |names: &[&str]| names.iter().map(|name| user(name)).collect::<Vec<UserId>>();
    assert_eq!(store.blocks(&user("alice")).await.unwrap(), users(&["bob", "zoe"]));
    assert_eq!(store.blocks(&user("eve")).await.unwrap(), users(&["bob"]));
    assert!(store.blocks(&user("bob")).await.unwrap().is_empty());
    let by = async |who: &str, among: &[&str]| {
        store.blocked_by(&user(who), &users(among)).await.unwrap()
    };
    assert_eq!(by("bob", &["zoe", "eve", "alice"]).await, users(&["alice", "eve"]));
    assert_eq!(by("bob", &["alice", "alice"]).await, users(&["alice"]));
    assert!(by("bob", &["zoe"]).await.is_empty() && by("bob", &[]).await.is_empty());
    assert!(by("eve", &["alice", "bob"]).await.is_empty());
}

/// In the direct conversations of the two, and there only: the other is blocked and the version
/// rises, without an entry.
pub async fn a_block_counts_in_direct_conversations(store: &dyn Store) {
    store.create(&direct(cid(1), "alice", "bob")).await.unwrap();
    store.create(&direct(cid(3), "alice", "carol")).await.unwrap();
    group(store, cid(4), &["alice", "bob"]).await;
    say(store, cid(1), "bob:d", 1).await;
    let others = [conversation(store, cid(3)).await, conversation(store, cid(4)).await];
    let before = conversation(store, cid(1)).await;
    assert_eq!(block(store, "alice", "bob", true).await, [cid(1)]);
    let after = conversation(store, cid(1)).await;
    assert_eq!(blocked(&after), [("alice", false), ("bob", true)]);
    assert_eq!((after.group_version, after.head_seq), (2, Seq(1)));
    assert_eq!((after.head_chain, after.active_ms), (before.head_chain, before.active_ms));
    assert_eq!([conversation(store, cid(3)).await, conversation(store, cid(4)).await], others);
    // Again: nothing changes. The other way round: that side, too.
    assert!(block(store, "alice", "bob", true).await.is_empty());
    assert_eq!(conversation(store, cid(1)).await.group_version, 2);
    assert_eq!(block(store, "bob", "alice", true).await, [cid(1)]);
    assert_eq!(blocked(&conversation(store, cid(1)).await), [("alice", true), ("bob", true)]);
    assert_eq!(block(store, "alice", "bob", false).await, [cid(1)]);
    let last = conversation(store, cid(1)).await;
    assert_eq!((blocked(&last), last.group_version), (vec![("alice", true), ("bob", false)], 4));
    assert_eq!(store.outbox(9).await.unwrap().len(), 1);
}

/// Nothing of a blocked member is accepted from that moment on, also right after own sends that the
/// store may remember; the one who blocks may go on.
pub async fn a_blocked_member_is_refused_at_once(store: &dyn Store) {
    store.create(&direct(cid(1), "alice", "bob")).await.unwrap();
    group(store, cid(2), &["alice", "bob"]).await;
    for round in 0..3u64 {
        let key = |name: &str| format!("{name}-{round}");
        let first = send(cid(1), "bob:d", &key("first"));
        place_of(store, first.clone()).await;
        place_of(store, send(cid(1), "bob:e", &key("second"))).await;
        block(store, "alice", "bob", true).await;
        let version = Some(round * 2 + 2);
        for (from, key) in [("bob:d", key("third")), ("bob:e", key("fourth"))] {
            assert!(is_blocked(commit_one(store, send(cid(1), from, &key)).await));
            let named = Send { group_version: version, ..send(cid(1), from, &key) };
            assert!(is_blocked(commit_one(store, named).await));
        }
        let react = about(cid(1), "bob:d", &key("heart"), Act::React { target: Seq(1) });
        assert!(is_blocked(commit_one(store, react).await));
        // What was accepted before is still told so; others, and a group, are not touched.
        assert!(accepted(commit_one(store, first).await).2);
        let own = Send { group_version: version, ..send(cid(1), "alice:d", &key("own")) };
        place_of(store, own).await;
        place_of(store, send(cid(2), "bob:d", &key("group"))).await;
        block(store, "alice", "bob", false).await;
        let stale = Send { group_version: version, ..send(cid(1), "bob:d", &key("fifth")) };
        let expected = Fate::StaleGroup { group_version: round * 2 + 3 };
        assert_eq!(commit_one(store, stale).await, expected);
        place_of(store, send(cid(1), "bob:d", &key("third"))).await;
    }
}

/// A conversation that is created after the block, by either side, knows of it.
pub async fn a_new_direct_conversation_knows_the_blocks(store: &dyn Store) {
    block(store, "alice", "bob", true).await;
    block(store, "bob", "eve", true).await;
    for (number, first, second) in [(1, "alice", "bob"), (2, "eve", "bob")] {
        let new = store.create(&direct(cid(number), first, second)).await.unwrap();
        let expected = if number == 1 {
            [("alice", false), ("bob", true)]
        } else {
            [("bob", false), ("eve", true)]
        };
        assert_eq!(blocked(&new), expected);
        assert_eq!(new.group_version, 1);
        assert_eq!(conversation(store, cid(number)).await, new);
        let (refused, free) = if number == 1 { ("bob:d", "alice:d") } else { ("eve:d", "bob:d") };
        assert!(is_blocked(commit_one(store, send(cid(number), refused, "a")).await));
        place_of(store, send(cid(number), free, "a")).await;
    }
    let free = store.create(&direct(cid(3), "eve", "alice")).await.unwrap();
    assert_eq!(blocked(&free), [("alice", false), ("eve", false)]);
    let in_group = group(store, cid(4), &["alice", "bob"]).await;
    assert_eq!(blocked(&in_group), [("alice", false), ("bob", false)]);
}

/// Whoever names himself blocks nobody, and goes on sending.
pub async fn nobody_blocks_himself(store: &dyn Store) {
    let before = store.create(&direct(cid(1), "alice", "bob")).await.unwrap();
    assert!(block(store, "alice", "alice", true).await.is_empty());
    assert!(store.blocks(&user("alice")).await.unwrap().is_empty());
    assert_eq!(conversation(store, cid(1)).await, before);
    place_of(store, send(cid(1), "alice:d", "a")).await;
}

/// While one blocks, the other sends: what the log holds was accepted before the block, and what
/// came after it was refused.
pub async fn concurrent_sends_and_a_block_are_in_one_order(store: &dyn Store) {
    store.create(&direct(cid(1), "alice", "bob")).await.unwrap();
    for round in 0..5 {
        let batches: Vec<[Send; 1]> =
            (0..8).map(|i| [send(cid(1), "bob:d", &format!("{round}-{i}"))]).collect();
        let (alice, bob, policy) = (user("alice"), user("bob"), crate::policy::Policy::default());
        let mut tasks: Vec<super::support::Task<'_, Option<Fate>>> = Vec::new();
        for (i, batch) in batches.iter().enumerate() {
            if i == 4 {
                let blocking = store.block(&alice, &bob, true, NOW);
                tasks.push(Box::pin(async move {
                    assert_eq!(blocking.await.unwrap(), Ok(vec![cid(1)]));
                    None
                }));
            }
            let commit = store.commit(batch, &policy);
            tasks.push(Box::pin(async move { Some(commit.await.unwrap().fates[0]) }));
        }
        let before = conversation(store, cid(1)).await.head_seq.0;
        let fates: Vec<Fate> = join_all(tasks).await.into_iter().flatten().collect();
        let taken = fates.iter().filter(|f| matches!(f, Fate::Accepted { .. })).count();
        assert!(fates.iter().all(|f| matches!(f, Fate::Accepted { .. }) || is_blocked(*f)));
        assert_eq!(conversation(store, cid(1)).await.head_seq.0, before + taken as u64);
        let late = commit(store, &batches.concat()).await;
        assert!(late.entries.is_empty(), "after the block only retries are accepted");
        block(store, "alice", "bob", false).await;
    }
}

/// One more than a user may block: refused, nothing changed; unblocking makes room.
pub async fn blocks_are_bounded(store: &dyn Store, harm: &dyn Harm) {
    store.create(&direct(cid(1), "alice", "bob")).await.unwrap();
    harm.harm(Damage::Blocks { user: user("alice"), count: BLOCKS_MAX }).await;
    let before = conversation(store, cid(1)).await;
    let refused = store.block(&user("alice"), &user("bob"), true, NOW).await.unwrap();
    assert_eq!(refused, Err(TooMany));
    assert_eq!(conversation(store, cid(1)).await, before);
    assert_eq!(store.blocks(&user("alice")).await.unwrap().len(), BLOCKS_MAX);
    // One that stands already needs no room.
    assert!(block(store, "alice", "x0", true).await.is_empty());
    block(store, "alice", "x0", false).await;
    assert_eq!(block(store, "alice", "bob", true).await, [cid(1)]);
}
