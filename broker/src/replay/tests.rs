//! Replays among live messages, in any interleaving.

use std::collections::BTreeMap;

use bytes::Bytes;
use godwit_core::edge::Version;
use proptest::prelude::*;

use super::*;
use crate::account::{Accounts, Bounds};
use crate::client::{Client, Registry};
use crate::link::Link;
use crate::plain::Bound;
use crate::retained;
use crate::router::Router;

const TOPICS: usize = 30;

#[derive(Debug, Clone)]
enum Act {
    /// A new state of this topic, retained.
    State(usize),
    /// An event on this topic, which is not.
    Event(usize),
    /// The client subscribes (again).
    Subscribe,
    /// A step of what it is owed.
    Step,
    /// It takes so many.
    Take(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..TOPICS).prop_map(Act::State),
        3 => (0..TOPICS).prop_map(Act::Event),
        1 => Just(Act::Subscribe),
        4 => Just(Act::Step),
        4 => (1_usize..6).prop_map(Act::Take),
    ]
}

struct World {
    router: Router,
    client: Arc<Client>,
    link: Arc<Link>,
    /// Numbers what is published.
    last: u32,
    /// What is retained of each topic.
    kept: BTreeMap<String, u32>,
    /// What came of each topic, in order.
    came: BTreeMap<String, Vec<u32>>,
}

impl World {
    fn new(bound: Bound) -> Self {
        let open = Bounds { devices: 0, user_bytes: 1 << 30, bytes: 1 << 30 };
        let registry = Arc::new(Registry::new(Accounts::new(open)));
        let bounds = retained::Bounds { max: 1000, bytes_max: 1 << 30, ..Default::default() };
        let client = registry.client(&"a:b".into());
        let link = Link::new("a:b".parse().unwrap(), Version::V5, 10, 1000);
        let link = Arc::new(link);
        client.attach(Arc::clone(&link), None).unwrap();
        let router = Router::new(bounds, bound, registry);
        let (kept, came) = Default::default();
        Self { router, client, link, last: 0, kept, came }
    }

    fn publish(&mut self, topic: usize, retain: bool) {
        self.last += 1;
        // Some below others, so that they are no plain list.
        let topic = format!("s/{}/{topic}", topic % 3);
        let payload = Bytes::from(self.last.to_be_bytes().to_vec());
        let message = Message { topic: topic.as_str().into(), payload, properties: None };
        let message = Arc::new(message);
        if retain {
            assert!(self.router.retain(&message, Qos::AtLeastOnce, None));
            self.kept.insert(topic, self.last);
        }
        self.router.publish(&message, Qos::AtLeastOnce, retain, None);
    }

    fn subscribe(&self) {
        self.client.add_filter("s/#", 1).unwrap();
        let wish = Wish {
            qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            identifier: None,
            replay: 0,
        };
        self.router.subscribe("s/#", &self.client, wish, true);
    }

    fn take(&mut self, count: usize) -> usize {
        let (mut left, mut taken) = (count, Vec::new());
        let want = |_: &crate::link::Queued| {
            let more = left > 0;
            left -= usize::from(more);
            more
        };
        self.client.drain(&self.link, want, &mut taken);
        for queued in &taken {
            let message = &queued.delivery.message;
            let number = u32::from_be_bytes(message.payload.as_ref().try_into().unwrap());
            self.came.entry(message.topic.to_string()).or_default().push(number);
        }
        taken.len()
    }

    fn settle(&mut self) {
        while self.router.replay(&self.client, &self.link) + self.take(3) > 0 {}
    }
}

proptest! {
    /// Of one topic nothing older comes behind something newer, and what is retained comes.
    #[test]
    fn nothing_older_comes_behind_something_newer(
        before in prop::collection::btree_set(0..TOPICS, 0..TOPICS),
        acts in prop::collection::vec(act(), 1..120),
        live in 4_usize..60,
    ) {
        let mut world = World::new(Bound { live, away: 1, bytes: 1 << 20 });
        for topic in before {
            world.publish(topic, true);
        }
        let mut subscriptions = 0;
        for act in acts {
            match act {
                Act::State(topic) => world.publish(topic, true),
                Act::Event(topic) => world.publish(topic, false),
                // Again, it is owed all anew, which is older than what came.
                Act::Subscribe if subscriptions == 0 => {
                    world.subscribe();
                    subscriptions += 1;
                }
                Act::Subscribe => {}
                Act::Step => drop(world.router.replay(&world.client, &world.link)),
                Act::Take(count) => drop(world.take(count)),
            }
        }
        world.settle();
        for (topic, numbers) in &world.came {
            prop_assert!(numbers.is_sorted(), "{}: {:?}", topic, numbers);
        }
        prop_assert!(!world.client.is_owed());
        if subscriptions > 0 && world.client.dropped() == 0 {
            for (topic, number) in &world.kept {
                let came = world.came.get(topic).is_some_and(|all| all.contains(number));
                prop_assert!(came, "{} of {}", number, topic);
            }
        }
    }
}

/// A subscription that ends, or begins anew, ends what it was owed.
#[test]
fn what_is_owed_ends_with_the_subscription() {
    let mut world = World::new(Bound { live: 10, away: 1, bytes: 1 << 20 });
    for topic in 0..TOPICS {
        world.publish(topic, true);
    }
    world.subscribe();
    assert!(world.router.replay(&world.client, &world.link) > 0 && world.client.is_owed());
    world.subscribe();
    world.settle();
    assert_eq!(world.came.values().map(Vec::len).sum::<usize>(), TOPICS + 5, "five came before");
    world.subscribe();
    assert!(world.client.remove_filter("s/#"));
    world.settle();
    assert_eq!(world.came.values().map(Vec::len).sum::<usize>(), TOPICS + 5);
    assert!(!world.client.is_owed());
}

/// The topics that are noted as given before their turn are bounded, and forgotten with the replay.
#[test]
fn what_was_given_before_its_turn_is_noted_in_bounds() {
    let mut replays = Replays::default();
    let wish = Wish {
        qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        identifier: None,
        replay: 1,
    };
    replays.add("#", wish);
    for n in 0..REPLAYED_AHEAD_MAX + 10 {
        let message = Message { topic: format!("t/{n}").into(), ..Message::default() };
        let given = replays.overtaken(1, (&Arc::new(message), Qos::AtLeastOnce));
        assert_eq!(given.is_some(), n < REPLAYED_AHEAD_MAX, "{n}");
    }
    let message = Arc::new(Message { topic: "t/0".into(), ..Message::default() });
    assert!(replays.overtaken(1, (&message, Qos::AtLeastOnce)).is_none(), "once");
    replays.remove(1);
    assert!(replays.is_empty() && replays.ahead.is_empty());
}
