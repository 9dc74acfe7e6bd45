//! What a device had said before its connection ended counts, however it ended: the server was busy with
//! something else just then, the next connection came at once, or the network said that it is over.

use godwit_testkit::probe::Probe;
use godwit_testkit::until;
use godwit_testkit::wire::{self, Connect, Properties};

use super::payload;
use super::world::{BOTH, Backend, World};

on_both_stores!(what_was_said_before_a_takeover_counts, what_was_said_before_a_reset_counts,);

/// Goodbyes of one device in each version.
const ROUNDS: u32 = 20;

/// bob's phone takes three entries, and then says all at once: a SUBSCRIBE, which the server has to
/// store, the confirmations, and goodbye. What comes next is not what it has confirmed.
async fn say_goodbye(world: World, mut end: impl AsyncFnMut(Probe, &Connect)) {
    let mut alice = world.probe(BOTH[1], "alice", "phone").await;
    let mut laptop = world.probe(BOTH[1], "bob", "laptop").await;
    laptop.subscribe("u/bob/gone").await;
    for version in BOTH {
        let hello = world.hello(version, "bob", "phone").await.kept();
        let hello = hello.with_will("u/bob/gone", b"without a word", Properties::none());
        let (mut bob, _) = Probe::connect(&world.mqtt(), &hello).await;
        bob.subscribe("m/#").await;
        bob.disconnect(0).await;
        for round in 0..ROUNDS {
            for n in 0..3 {
                let body = format!("{n} of {round}");
                assert_eq!(alice.publish(&world.c(), body.as_bytes()).await.code, 0);
            }
            let (mut bob, _) = Probe::connect(&world.mqtt(), &hello).await;
            bob.acknowledge = false;
            let filter = format!("u/bob/{round}");
            let (mut last, mut confirmed) =
                (wire::subscribe(version, 99, &[(&filter, 1)]), Vec::new());
            for _ in 0..3 {
                confirmed.extend(wire::puback(bob.recv_on("m/").await.packet_id));
            }
            last.extend(confirmed);
            last.extend(wire::disconnect(version, 0));
            bob.write(&last).await;
            end(bob, &hello).await;
            let (mut bob, welcome) = Probe::connect(&world.mqtt(), &hello).await;
            assert!(welcome.present);
            let body = format!("after {round}");
            assert_eq!(alice.publish(&world.c(), body.as_bytes()).await.code, 0);
            let next = payload::entry(&bob.recv_on("m/").await.payload);
            assert_eq!(String::from_utf8_lossy(&next.body), body, "{version:?}, {round}");
            bob.disconnect(0).await;
        }
    }
    laptop.fence().await;
    assert_eq!(laptop.left(), Vec::<String>::new(), "a will of one that has said goodbye");
}

async fn what_was_said_before_a_takeover_counts(world: World) {
    // The next connection takes over while the SUBSCRIBE is being stored.
    let mut before = None;
    say_goodbye(world, async |bob, _: &Connect| before = Some(bob)).await;
    drop(before);
}

async fn what_was_said_before_a_reset_counts(world: World) {
    say_goodbye(world, async |bob, _: &Connect| bob.cut()).await;
}

/// A client that subscribes with each connect to what it has already: there is nothing to store, so its
/// answer waits for no store. (One that goes after its messages came, and before it has read that answer,
/// takes the confirmations that its kernel still holds with it.)
#[tokio::test]
async fn who_subscribes_again_is_answered_without_the_store() {
    let world = World::on(Backend::Postgres).await;
    for version in BOTH {
        let (mut bob, _) = world.kept(version, "bob", "phone").await;
        bob.subscribe("m/#").await;
        bob.subscribe("a").await;
        bob.disconnect(0).await;
        let (mut bob, present) = world.kept(version, "bob", "phone").await;
        assert!(present);
        let mut held = world.database().session();
        assert_eq!(held.ask("BEGIN; LOCK TABLE subscriptions IN EXCLUSIVE MODE; SELECT 1"), "1");
        for filter in ["m/#", "a", "m/#"] {
            bob.subscribe(filter).await;
        }
        // Another way of wanting it is another subscription.
        let changing = bob.subscribe_with(&[("m/#", 0)]);
        let waiting = async {
            until("it waits for the store", async || {
                let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
                (world.database().ask(waiting) != "0").then_some(())
            })
            .await;
            assert_eq!(held.ask("COMMIT; SELECT 1"), "1");
        };
        assert_eq!(tokio::join!(changing, waiting).0, [0]);
        let options = "SELECT options FROM subscriptions WHERE filter = 'm/#'";
        assert_eq!(world.database().ask(options), "0");
        bob.disconnect(0).await;
        world.probe(version, "bob", "phone").await.disconnect(0).await;
    }
}
