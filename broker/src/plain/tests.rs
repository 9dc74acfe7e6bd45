//! A kept client of plain topics under takeovers, resumes and detachments, against a model: each
//! acknowledged message reaches it once and in order, or is counted as dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use godwit_core::edge::{Message, Qos, Version};
use proptest::prelude::*;

use super::*;
use crate::account::{Accounts, Bounds};
use crate::client::{Client, Kept, Registry};
use crate::clock::now_s;
use crate::filter::Wish;
use crate::inflight::Inflight;
use crate::link::Link;
use crate::router::Router;

#[derive(Debug, Clone)]
enum Act {
    /// So many messages of QoS 1.
    Publish(u32),
    /// A new connection with this window; the one before is taken over.
    Connect(u16),
    /// What window and buffer take is sent.
    Fill,
    /// The oldest few in flight are acknowledged.
    Acknowledge(usize),
    /// The connection ends, the session is kept.
    End,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1_u32..12).prop_map(Act::Publish),
        (1_u16..8).prop_map(Act::Connect),
        Just(Act::Fill),
        (0_usize..8).prop_map(Act::Acknowledge),
        Just(Act::End),
    ]
}

/// The client's side of one connection, as `connect` and `outbound` drive it.
struct Connection {
    link: Arc<Link>,
    inflight: Inflight,
    /// Packet ids in flight, in order of sending.
    sent: Vec<u16>,
}

struct World {
    router: Router,
    registry: Arc<Registry>,
    client: Arc<Client>,
    connection: Option<Connection>,
    /// First receptions, in order.
    received: Vec<u32>,
    /// What the client was told to have lost.
    told: u64,
}

fn message(n: u32) -> Arc<Message> {
    Arc::new(Message {
        topic: "t".into(),
        payload: Bytes::from(n.to_be_bytes().to_vec()),
        properties: None,
    })
}

fn registry() -> Arc<Registry> {
    let bounds = Bounds { devices: 0, user_bytes: 1 << 30, bytes: 1 << 30 };
    Arc::new(Registry::new(Accounts::new(bounds)))
}

impl World {
    fn new(bound: Bound) -> Self {
        let registry = registry();
        let router = Router::new(crate::retained::Bounds::default(), bound, Arc::clone(&registry));
        let client = registry.client(&"a:b".into());
        let wish = Wish {
            qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            identifier: None,
            replay: 0,
        };
        router.subscribe("t", &client, wish, false);
        client.add_filter("t", 1).unwrap();
        let mut world =
            Self { router, registry, client, connection: None, received: Vec::new(), told: 0 };
        world.connect(4);
        world
    }

    fn connect(&mut self, window: u16) {
        self.end();
        let identity = "a:b".parse().unwrap();
        let link = Arc::new(Link::new(identity, Version::V5, 10, 1000));
        let found = self.client.attach(Arc::clone(&link), None).unwrap();
        self.told += found.dropped;
        self.client.told_dropped(found.dropped);
        let again = found.kept.map(|kept| kept.inflight).unwrap_or_default();
        let inflight = Inflight::new(window, again);
        self.connection = Some(Connection { link, inflight, sent: Vec::new() });
    }

    fn end(&mut self) {
        let Some(Connection { link, inflight, .. }) = self.connection.take() else { return };
        link.end();
        let kept = Kept { inflight: inflight.into_plain(), until_s: now_s() + 1000 };
        self.client.detach(Some(Box::new(kept)), None, self.router.bound());
        // It is kept, so it stays known.
        assert!(!self.registry.forget(&self.client));
    }

    fn fill(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let mut seen = Vec::new();
        while let Some((id, delivery)) = connection.inflight.next_again() {
            seen.push((id, delivery.message.payload.clone()));
            connection.inflight.resume(id, delivery);
        }
        let mut room = connection.inflight.room();
        let mut taken = Vec::new();
        if connection.link.has_plain.load(Ordering::Relaxed) {
            let want = |_: &Queued| {
                let fits = room > 0;
                room -= usize::from(fits);
                fits
            };
            self.client.drain(&connection.link, want, &mut taken);
        }
        for queued in taken {
            let payload = queued.delivery.message.payload.clone();
            seen.push((connection.inflight.push(None, Some(queued.delivery)), payload));
        }
        for (id, payload) in seen {
            assert!(!connection.sent.contains(&id), "{id} is in flight already");
            connection.sent.push(id);
            let n = u32::from_be_bytes(payload.as_ref().try_into().unwrap());
            // Again what was not acknowledged, else the next one.
            if self.received.last().is_none_or(|last| n > *last) {
                self.received.push(n);
            } else {
                assert!(
                    self.received.binary_search(&n).is_ok(),
                    "{n} comes late: {:?}",
                    self.received
                );
            }
        }
    }

    fn acknowledge(&mut self, count: usize) {
        let Some(connection) = &mut self.connection else { return };
        for id in connection.sent.drain(..count.min(connection.sent.len())) {
            assert!(connection.inflight.acknowledge(id, &mut Vec::new()));
        }
    }

    /// Everything that is left arrives.
    fn settle(&mut self) {
        self.connect(8);
        loop {
            self.fill();
            if self.connection.as_ref().is_none_or(|c| c.sent.is_empty()) {
                return;
            }
            self.acknowledge(8);
        }
    }
}

proptest! {
    #[test]
    fn each_message_comes_once_and_in_order_or_is_counted(
        acts in prop::collection::vec(act(), 1..80),
        live in 1_usize..20,
        away in 1_usize..20,
    ) {
        let mut world = World::new(Bound { live, away, bytes: 100_000 });
        let mut published = 0;
        for act in acts {
            match act {
                Act::Publish(count) => for _ in 0..count {
                    published += 1;
                    let sent = world.router.publish(&message(published), Qos::AtLeastOnce, false, None);
                    prop_assert_eq!(sent, 1, "it is kept or connected");
                },
                Act::Connect(window) => world.connect(window),
                Act::Fill => world.fill(),
                Act::Acknowledge(count) => world.acknowledge(count),
                Act::End => world.end(),
            }
        }
        world.settle();
        prop_assert_eq!(world.received.len() as u64 + world.told, u64::from(published));
    }

    #[test]
    fn bytes_are_bounded_and_one_message_always_fits(
        sizes in prop::collection::vec(0_usize..500, 1..60),
    ) {
        let mut plain = Plain::default();
        let mut dropped = 0;
        for size in &sizes {
            let message = Message { payload: vec![0; *size].into(), ..Message::default() };
            let delivery = Delivery {
                message: Arc::new(message),
                qos: Qos::AtLeastOnce,
                retain: false,
                mark: None,
                identifier: None,
            };
            dropped += plain.push(delivery, 100, 400).unwrap();
            prop_assert!(plain.bytes <= 400 || plain.queue.len() == 1);
            let newest = plain.queue.back().unwrap();
            prop_assert_eq!(newest.delivery.message.payload.len(), *size);
        }
        prop_assert_eq!(dropped, plain.dropped);
        prop_assert_eq!(dropped + plain.queue.len() as u64, sizes.len() as u64);
    }
}

/// The writer goes on in another thread while the reader comes and goes: no moment between two
/// connections swallows what was acknowledged.
#[test]
fn no_moment_swallows_a_message() {
    const MESSAGES: u32 = 200_000;
    let mut world = World::new(Bound { live: 50, away: 50, bytes: 100_000 });
    world.end();
    let (router, done) = (&world.router, AtomicBool::new(false));
    let published = AtomicU32::new(0);
    // The world is used by the reader alone; the router is shared.
    let registry = Arc::clone(&world.registry);
    let mut reader = World {
        router: Router::new(crate::retained::Bounds::default(), router.bound(), registry),
        registry: Arc::clone(&world.registry),
        client: Arc::clone(&world.client),
        connection: None,
        received: Vec::new(),
        told: 0,
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=MESSAGES {
                let sent = router.publish(&message(n), Qos::AtLeastOnce, false, None);
                published.fetch_add(u32::try_from(sent).unwrap(), Ordering::Relaxed);
            }
            done.store(true, Ordering::Release);
        });
        let mut round = 0_u16;
        while !done.load(Ordering::Acquire) {
            round = round.wrapping_add(1);
            reader.connect(1 + round % 7);
            for _ in 0..round % 20 {
                reader.fill();
                reader.acknowledge(usize::from(round % 5));
            }
        }
    });
    reader.settle();
    assert_eq!(published.load(Ordering::Relaxed), MESSAGES);
    assert_eq!(reader.received.len() as u64 + reader.told, u64::from(MESSAGES));
}
