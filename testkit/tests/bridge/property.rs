//! Any interleaving of lost answers, lost announcements, forgotten routes, takeovers and resumes
//! delivers each acknowledged message once and in order, to a live and to a kept device, without a
//! later message being needed.

use std::sync::Arc;
use std::time::Duration;

use godwit_bridge::Options;
use godwit_core::bus::Control as _;
use godwit_core::edge::Begun;
use godwit_core::ids::{ConversationId, MessageId, Seq, UserId};
use godwit_core::membership::{ConversationKind, Details, Founding, NewConversation, Role};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::devices::{Device, Fate};
use super::faulty::Fault::{self, Away, Broken, Lost};
use super::faulty::Faulty;
use super::{World, identity, subscribe, world_with};

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    /// Alice sends until it is acknowledged; the first tries fail like this, and the announcement may
    /// be lost.
    Send { faults: Vec<Fault>, lost: bool },
    /// She sends so many at once; of every second the announcement is lost.
    Burst(u8),
    /// All routes that rest are forgotten.
    Forget,
    /// Bob's kept device comes back: it had gone, or the new connection takes over.
    Resume { gone_ms: Option<u64> },
    /// Time passes.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let faults = prop_oneof![
        4 => Just(Vec::new()),
        2 => Just(vec![Lost]),
        1 => Just(vec![Away]),
        1 => Just(vec![Lost, Lost]),
        1 => Just(vec![Lost, Broken, Broken]),
    ];
    prop_oneof![
        6 => (faults, any::<bool>()).prop_map(|(faults, lost)| Step::Send { faults, lost }),
        2 => (1_u8..12).prop_map(Step::Burst),
        2 => Just(Step::Forget),
        3 => prop::option::of(0_u64..15).prop_map(|gone_ms| Step::Resume { gone_ms }),
        2 => (0_u64..40).prop_map(Step::Wait),
    ]
}

/// A device and its session.
struct Connected {
    device: Arc<Device>,
    begun: Begun,
}

impl Connected {
    async fn new(world: &World, name: &str, room: usize, expiry_s: u32) -> Self {
        let device = Device::new(identity(name), room);
        let begun = world.connect(&device, expiry_s).await;
        device.attach(&begun.session);
        if !begun.present {
            begun.session.subscribe(subscribe("m/#")).await;
        }
        Self { device, begun }
    }
}

/// The world of all histories; each has a conversation of its own.
struct Ground {
    world: World,
    store: Arc<Faulty>,
    keys: u32,
    groups: u64,
}

impl Ground {
    async fn new() -> Self {
        let options = Options {
            cursor_delay: Duration::from_millis(2),
            event_patience: Duration::from_millis(10),
            ..Options::default()
        };
        let mut made = None;
        let world = world_with(0, options, |store| {
            let faulty = Faulty::new(store);
            made = Some(Arc::clone(&faulty));
            faulty
        })
        .await;
        Self { world, store: made.expect("a store was made"), keys: 0, groups: 0 }
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("k{}", self.keys)
    }

    /// Alice makes a new group of hers, bob's and carol's; its creation may be announced to nobody.
    async fn group(&mut self, lost: bool) {
        self.groups += 1;
        let id = ConversationId((u128::from(self.groups) << 64 | 1).to_be_bytes());
        let member = |name| (UserId::new(name).expect("a user"), Role::Member);
        let new = NewConversation {
            id,
            kind: ConversationKind::Group,
            members: vec![member("alice"), member("bob"), member("carol")],
            details: Details::default(),
            time_ms: 1,
            founding: Some(Founding {
                by: identity("alice:phone"),
                message_id: MessageId(id.0.map(|byte| byte ^ 0xff)),
            }),
        };
        self.world.bus.will([lost]);
        let made = self.world.bridge.create(&new, None).await.expect("an answer");
        assert_eq!(made.expect("a conversation").head_seq, Seq(1));
        self.world.conversation = id;
    }

    /// Plays a history, which begins with a creation. What bob's device got over all its connections,
    /// what carol's got, and the last place.
    async fn play(&mut self, lost: bool, steps: &[Step]) -> (Vec<u64>, Vec<u64>, u64) {
        let alice = Connected::new(&self.world, "alice:phone", 100, 0).await;
        let live = Connected::new(&self.world, "carol:phone", 3, 0).await;
        let mut kept = Connected::new(&self.world, "bob:phone", 3, 3600).await;
        self.group(lost).await;
        let topic = format!("m/{}", self.world.conversation);
        let (mut arrived, mut last) = (Vec::new(), 1);
        for step in steps {
            match step {
                Step::Send { faults, lost } => {
                    self.world.bus.will([*lost]);
                    self.store.will(faults);
                    let key = self.key();
                    self.send(&alice, &key).await;
                    last += 1;
                }
                Step::Burst(count) => {
                    self.world.bus.will((0..*count).map(|n| n % 2 == 0));
                    let keys: Vec<String> = (0..*count).map(|_| self.key()).collect();
                    let start = |key: &String| {
                        (key.clone(), self.world.start(&alice.device, &alice.begun, key))
                    };
                    let tickets: Vec<(String, u32)> = keys.iter().map(start).collect();
                    for (key, ticket) in tickets {
                        let fate = alice.device.fate(ticket).await;
                        assert!(matches!(fate, Fate::Committed { .. }), "{key}: {fate:?}");
                    }
                    last += u64::from(*count);
                }
                Step::Forget => self.world.bridge.forget_routes(),
                Step::Resume { gone_ms } => {
                    arrived.extend(kept.device.end(&topic));
                    kept.begun.session.closed(3600).await;
                    if let Some(gone_ms) = gone_ms {
                        tokio::time::sleep(Duration::from_millis(*gone_ms)).await;
                    }
                    kept = Connected::new(&self.world, "bob:phone", 3, 3600).await;
                    assert!(kept.begun.present);
                }
                Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            }
        }
        live.device.received_until(&topic, last).await;
        if !arrived.contains(&last) {
            kept.device.received_until(&topic, last).await;
        }
        // What would come twice comes by now.
        tokio::time::sleep(Duration::from_millis(15)).await;
        arrived.extend(kept.device.end(&topic));
        let heard = live.device.end(&topic);
        self.world.bus.will_no_more();
        for ended in [alice, live] {
            ended.begun.session.closed(0).await;
        }
        kept.begun.session.closed(0).await;
        (arrived, heard, last)
    }

    /// Sends, and once more with the same key, until the place is known.
    async fn send(&self, alice: &Connected, key: &str) {
        for _ in 0..5 {
            let fate = self.world.send(&alice.device, &alice.begun, key).await;
            if matches!(fate, Fate::Committed { .. }) {
                return;
            }
        }
        panic!("{key} was not committed");
    }
}

#[test]
fn each_acknowledged_message_arrives_once_and_in_order() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut ground = runtime.block_on(Ground::new());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    // The histories are not shrunk: what went wrong depends on the time, too.
    let config = ProptestConfig { cases, max_shrink_iters: 0, ..ProptestConfig::default() };
    let histories = (any::<bool>(), prop::collection::vec(step(), 0..14));
    let ground = std::cell::RefCell::new(&mut ground);
    let result = TestRunner::new(config).run(&histories, |(lost, steps)| {
        let (kept, live, last) = runtime.block_on(ground.borrow_mut().play(lost, &steps));
        let all: Vec<u64> = (1..=last).collect();
        prop_assert_eq!(&live, &all, "the live device");
        prop_assert_eq!(kept, all, "the kept device");
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
