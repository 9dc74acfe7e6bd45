//! Four devices that speak until everything that they have to say is acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{Connect, Properties, Received, Version};
use godwit_testkit::{until, within};
use tokio::task::JoinSet;

use crate::scenarios::world::World;

const MOUTHS: [(&str, &str, Version); 4] = [
    ("alice", "phone", Version::V5),
    ("alice", "desk", Version::V3),
    ("bob", "watch", Version::V5),
    ("carol", "watch", Version::V3),
];

/// Sends of one device that wait for their PUBACK at a time.
const WINDOW: usize = 6;

/// What a mouth says: a body that is distinct, under a key that is not in it.
pub(super) fn word(name: &str, n: usize) -> (String, String) {
    (format!("k-{name}-{n}"), format!("word {name} {n}"))
}

/// Speakers and how far they have got.
pub(super) struct Mouths {
    hellos: Vec<Connect>,
    address: String,
    cid: String,
    acknowledged: Arc<AtomicUsize>,
}

impl Mouths {
    pub(super) async fn prepare(world: &World, cid: &str) -> Self {
        let mut hellos = Vec::new();
        for (user, device, version) in MOUTHS {
            hellos.push(world.hello(version, user, device).await);
        }
        let (address, cid) = (world.mqtt(), cid.to_owned());
        Self { hellos, address, cid, acknowledged: Arc::default() }
    }

    /// So many more words are acknowledged.
    pub(super) async fn more(&self, count: usize) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + count;
        let enough = || self.acknowledged.load(Ordering::Relaxed) >= wanted;
        until("acknowledgements", async || enough().then_some(())).await;
    }

    /// Each says so many words; gives how many were acknowledged: all.
    pub(super) async fn speak(&self, round: u32, words: usize) -> usize {
        let mut speaking = JoinSet::new();
        for (n, hello) in self.hellos.iter().enumerate() {
            let all = (0..words).map(|at| word(&format!("r{round}m{n}"), at)).collect();
            let (address, hello) = (self.address.clone(), hello.clone());
            let (cid, count) = (self.cid.clone(), Arc::clone(&self.acknowledged));
            speaking.spawn(speak(address, hello, cid, all, count));
        }
        let mut spoken = 0;
        while let Some(done) = within("a speaker's end", speaking.join_next()).await {
            done.expect("a speaker");
            spoken += words;
        }
        spoken
    }
}

/// Says all of it, a window at a time, over as many connections as it takes, each word until it is
/// acknowledged.
async fn speak(
    address: String,
    hello: Connect,
    cid: String,
    words: Vec<(String, String)>,
    acknowledged: Arc<AtomicUsize>,
) {
    let mut left: VecDeque<(String, String)> = words.into();
    while !left.is_empty() {
        let (mut probe, welcome) = Probe::try_connect(&address, &hello).await;
        if welcome.code != 0 {
            continue;
        }
        let mut open: VecDeque<(u16, (String, String))> = VecDeque::new();
        loop {
            while open.len() < WINDOW {
                let Some((key, body)) = left.pop_front() else { break };
                let topic = format!("c/{cid}/{key}");
                let id = probe.start_publish(&topic, body.as_bytes(), Properties::none()).await;
                open.push_back((id, (key, body)));
            }
            if open.is_empty() {
                break;
            }
            match probe.next().await {
                Received::PubAck { packet_id, code, .. } => {
                    let at = open.iter().position(|(id, _)| *id == packet_id);
                    let (_, (key, _)) = open.remove(at.expect("one of ours")).expect("it is there");
                    assert_eq!(code, 0, "{key} was refused");
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                // What is unknown is said again, in its order.
                Received::Disconnect { .. } => {}
                Received::Closed => {
                    open.into_iter().rev().for_each(|(_, word)| left.push_front(word));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
