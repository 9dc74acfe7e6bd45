//! What the bridge remembers of the members may be older than the store: neither whom they may add nor
//! what they may read follows from it.

use std::sync::Arc;

use bytes::Bytes;
use godwit_bridge::Options;
use godwit_core::bus::Control as _;
use godwit_core::change::{Ask, ChangeRequest, Refused};
use godwit_core::commit::SendKey;
use godwit_core::edge::{Begun, Message, Outcome, Publish, Qos};
use godwit_core::ids::{ClientMessageId, ConversationId, MessageId, UserId};
use godwit_core::membership::{ConversationKind, Details, NewConversation, Role};
use godwit_core::people::People as _;
use godwit_core::policy::{Policy, Strangers};
use godwit_core::store::Store as _;
use godwit_proto::sync::v1::{HistoryReply, HistoryRequest, SyncReply, SyncRequest};
use prost::Message as _;

use super::devices::{Device, Fate};
use super::{World, identity, subscribe, world_with};

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a user")
}

fn ask(world: &World, actor: Option<&str>, id: u8, ask: Ask) -> ChangeRequest {
    let message_id = MessageId([id; 16]);
    ChangeRequest {
        conversation: world.conversation,
        actor: actor.map(identity),
        ask,
        stamp: None,
        adding: None,
        key: SendKey::Server(message_id),
        message_id,
        time_ms: 2,
    }
}

fn add(name: &str) -> Ask {
    Ask::Add { users: vec![user(name)], role: Role::Member }
}

/// A group of alice, its owner, and bob, whose members the bridge knows; and bob's device.
async fn known_group(strangers: Strangers) -> (World, Arc<Device>, Begun) {
    let policy = Policy { strangers, ..Policy::default() };
    let mut world = world_with(0, Options { policy, ..Options::default() }, |store| store).await;
    world.conversation = ConversationId([5; 16]);
    let members = [("alice", Role::Owner), ("bob", Role::Member)];
    let new = NewConversation {
        id: world.conversation,
        kind: ConversationKind::Group,
        members: members.map(|(name, role)| (user(name), role)).to_vec(),
        details: Details::default(),
        time_ms: 1,
        founding: None,
    };
    world.store.create(&new).await.expect("a conversation");
    let [alice, bob] = ["alice:phone", "bob:phone"].map(|name| Device::new(identity(name), 100));
    let (listens, sends) = (world.connect(&alice, 0).await, world.connect(&bob, 0).await);
    alice.attach(&listens.session);
    assert_eq!(listens.session.subscribe(subscribe("m/#")).await[0].0, 1);
    let fate = world.send(&bob, &sends, "k1").await;
    assert_eq!(fate, Fate::Committed { seq: 1, duplicate: false });
    assert_eq!(alice.received_until(&format!("m/{}", world.conversation), 1).await, [1]);
    (world, bob, sends)
}

/// As [`known_group`]; then bob is made an admin by another process, of which the bridge hears nothing
/// yet.
async fn promoted_elsewhere(strangers: Strangers) -> World {
    let (world, _, _) = known_group(strangers).await;
    let roles = Ask::Roles { roles: vec![(user("bob"), Role::Admin)] };
    let promoted = world.store.change(&ask(&world, None, 1, roles)).await.expect("an answer");
    promoted.expect("a change");
    world
}

#[tokio::test]
async fn who_has_just_become_an_admin_invites_and_does_not_add() {
    let by_invitation = Strangers { by_invitation: true, ..Strangers::default() };
    let world = promoted_elsewhere(by_invitation).await;
    let asked = world.bridge.change(&ask(&world, Some("bob:phone"), 2, add("carol"))).await;
    let (entry, group) = asked.expect("an answer").expect("an invitation");
    assert_eq!((entry, group.member(&user("carol"))), (None, None));
    assert_eq!(world.store.offers(&user("carol"), 0).await.expect("offers").len(), 1);
}

#[tokio::test]
async fn who_has_just_become_an_admin_is_held_to_the_bounds() {
    let world = promoted_elsewhere(Strangers { per_day: 1, ..Strangers::default() }).await;
    let by_bob = |id, name| ask(&world, Some("bob:phone"), id, add(name));
    world.bridge.change(&by_bob(2, "carol")).await.expect("an answer").expect("one a day");
    let second = world.bridge.change(&by_bob(3, "dave")).await.expect("an answer");
    assert!(matches!(second, Err(Refused::Forbidden(_))), "{second:?}");

    let small = Strangers { group_members_max: 2, ..Strangers::default() };
    let world = promoted_elsewhere(small).await;
    let third = world.bridge.change(&ask(&world, Some("bob:phone"), 2, add("carol"))).await;
    assert!(matches!(third.expect("an answer"), Err(Refused::Full { max: 2 })));
}

/// Many managers add at once: the group is never larger than it may be.
#[tokio::test]
async fn many_who_add_at_once_do_not_overfill_a_group() {
    let strangers = Strangers { group_members_max: 6, ..Strangers::default() };
    let world = Arc::new(promoted_elsewhere(strangers).await);
    let adding = (0..20_u8).map(|n| {
        let request = ask(&world, Some("bob:phone"), 10 + n, add(&format!("guest{n}")));
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.bridge.change(&request).await.expect("an answer").is_ok() })
    });
    let mut added = 0;
    for one in adding.collect::<Vec<_>>() {
        added += usize::from(one.await.expect("no panic"));
    }
    let group = world.store.conversation(world.conversation).await.expect("an answer");
    assert_eq!((added, group.expect("a group").members.len()), (4, 6));
}

/// Whose answer was lost asks again under the same key, and is told what was done; whoever blocks whom
/// since.
#[tokio::test]
async fn a_repeated_addition_is_told_what_the_first_did_after_a_block() {
    let world = promoted_elsewhere(Strangers::default()).await;
    let key = SendKey::Change(ClientMessageId::new("k2").expect("a key"));
    let adds = ChangeRequest { key, ..ask(&world, Some("bob:phone"), 2, add("carol")) };
    let (first, _) = world.bridge.change(&adds).await.expect("an answer").expect("an addition");
    world.store.block(&user("carol"), &user("bob"), true, 3).await.expect("a block").expect("room");
    let (again, _) = world.bridge.change(&adds).await.expect("an answer").expect("the same");
    assert_eq!(again, first);
    let remove = Ask::Remove { users: vec![user("carol")] };
    world
        .bridge
        .change(&ask(&world, None, 3, remove))
        .await
        .expect("an answer")
        .expect("a removal");
    let anew = world.bridge.change(&ask(&world, Some("bob:phone"), 4, add("carol"))).await;
    assert!(matches!(anew.expect("an answer"), Err(Refused::Forbidden(_))));
}

/// Another process removes bob, and alice goes on: of that he reads nothing, also while the bridge takes
/// him for a member.
#[tokio::test]
async fn who_was_removed_elsewhere_reads_no_further() {
    let (world, bob, begun) = known_group(Strangers::default()).await;
    assert_eq!(begun.session.subscribe(subscribe("q/#")).await[0].0, 1);
    let remove = Ask::Remove { users: vec![user("bob")] };
    let removed = world.store.change(&ask(&world, None, 1, remove)).await.expect("an answer");
    let at = removed.expect("a removal").0.seq.0;
    world.commit_elsewhere(at + 1, 2).await;
    let conversation_id = || Bytes::copy_from_slice(world.conversation.as_bytes());
    let request = HistoryRequest {
        conversation_id: conversation_id(),
        after_seq: at,
        ..HistoryRequest::default()
    };
    let reply = asked(&world, &bob, &begun, "q/history", request.encode_to_vec()).await;
    let reply = HistoryReply::decode(reply).expect("a reply");
    assert_eq!((reply.code, reply.entries.len(), reply.head_seq), (0x87, 0, 0));
    let request =
        SyncRequest { conversation_id: conversation_id(), after_seq: at, ..SyncRequest::default() };
    let reply = asked(&world, &bob, &begun, "q/sync", request.encode_to_vec()).await;
    let reply = SyncReply::decode(reply).expect("a reply");
    assert_eq!((reply.code, reply.entries.len(), reply.head_seq), (0x87, 0, 0));
}

/// What is answered on `topic`.
async fn asked(
    world: &World,
    device: &Arc<Device>,
    begun: &Begun,
    topic: &str,
    payload: Vec<u8>,
) -> Bytes {
    let message = Message { topic: topic.into(), payload: payload.into(), properties: None };
    let (ticket, ack) = device.expect();
    begun.session.publish(Publish { message, qos: Qos::AtLeastOnce, retain: false }, ack);
    let outcome = device.fate(ticket).await;
    assert_eq!(outcome, Fate::Other(Outcome::SUCCESS), "{}", world.conversation);
    device.told_until(topic, |_| true).await.remove(0)
}
