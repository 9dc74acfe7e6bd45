//! A device connects twice: the newer connection has the session.

use godwit_testkit::wire::Version;

use super::payload;
use super::world::{BOTH, World};

#[tokio::test]
async fn the_older_connection_is_told_and_nothing_comes_twice() {
    let world = World::new().await;
    let mut seq = 0;
    for old_version in BOTH {
        for new_version in BOTH {
            let (mut old, _) = world.kept(old_version, "bob", "phone").await;
            old.subscribe("m/#").await;
            let mut alice = world.probe(Version::V5, "alice", "phone").await;
            for _ in 0..5 {
                alice.publish(&world.c(), b"before").await;
                seq += 1;
                assert_eq!(payload::entry(&old.recv().await.payload).seq, seq);
            }
            // The server has read all acknowledgements when it answers this.
            old.fence().await;
            let (mut new, present) = world.kept(new_version, "bob", "phone").await;
            assert!(present);
            let expected = (old_version == Version::V5).then_some(0x8E);
            assert_eq!(old.ended().await, expected);
            for _ in 0..5 {
                alice.publish(&world.c(), b"after").await;
                seq += 1;
                assert_eq!(payload::entry(&new.recv().await.payload).seq, seq);
            }
            new.disconnect(0).await;
            world.probe(new_version, "bob", "phone").await.disconnect(0).await;
        }
    }
}

#[tokio::test]
async fn a_storm_of_takeovers_leaves_one_connection() {
    let world = World::new().await;
    let (mut bob, _) = world.kept(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let mut older = Vec::new();
    for _ in 0..20 {
        older.push(bob);
        (bob, _) = world.kept(Version::V5, "bob", "phone").await;
    }
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    alice.publish(&world.c(), b"to the last").await;
    assert_eq!(payload::entry(&bob.recv().await.payload).body.as_ref(), b"to the last");
    for mut old in older {
        assert_eq!(old.ended().await, Some(0x8E));
    }
    bob.fence().await;
}

#[tokio::test]
async fn rumqttc_is_told_of_its_takeover() {
    let world = World::new().await;
    for version in BOTH {
        let (mut old, _) = world.stock(version, "bob", "phone", true).await;
        old.subscribe("m/#").await;
        let (new, _) = world.stock(version, "bob", "phone", true).await;
        let how = old.lost().await;
        if version == Version::V5 {
            assert!(how.contains("SessionTakenOver"), "{how}");
        }
        new.disconnect().await;
        world.probe(version, "bob", "phone").await.disconnect(0).await;
    }
}
