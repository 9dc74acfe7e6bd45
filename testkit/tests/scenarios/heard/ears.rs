//! Seven devices that listen: both versions, clean and kept, to entries and to plain bodies.

use std::time::{Duration, Instant};

use godwit_proto::conversation::v1::EntryType;
use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{self, Connect, Publish, Received, Version};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::scenarios::payload;
use crate::scenarios::world::World;

/// Who, in which version, whether its session is kept, and what it reads.
const EARS: [(&str, &str, Version, bool, &str); 7] = [
    ("alice", "laptop", Version::V5, false, "m/#"),
    ("bob", "phone", Version::V5, false, "m/#"),
    ("bob", "tablet", Version::V3, true, "m/#"),
    ("carol", "phone", Version::V3, false, "c/#"),
    ("carol", "laptop", Version::V5, true, "c/#"),
    ("dave", "phone", Version::V5, true, "m/#"),
    ("dave", "tablet", Version::V3, false, "m/#"),
];

/// One device that listens, over all its connections.
struct Ear {
    hello: Connect,
    kept: bool,
    filter: &'static str,
    probe: Option<Probe>,
    /// The bodies that it got, in order, each once.
    heard: Vec<String>,
    /// How much of the log was there before its session began: that is not for it.
    first: usize,
    /// What it had when this connection began. A kept session may get the last of it again.
    before: usize,
    /// What came again on this connection.
    again: Option<usize>,
}

impl Ear {
    fn who(&self) -> String {
        format!("{} ({:?}, {})", self.hello.client_id, self.hello.version, self.filter)
    }

    async fn connect(&mut self, address: &str, said: usize) {
        let (mut probe, welcome) = Probe::connect(address, &self.hello).await;
        if !welcome.present {
            assert!(!self.kept || self.probe.is_none(), "{}: its session is kept", self.who());
            probe.subscribe(self.filter).await;
            (self.heard, self.first) = (Vec::new(), said);
        }
        (self.probe, self.before, self.again) = (Some(probe), self.heard.len(), None);
    }

    /// Confirms a delivery, and writes down a body that is new.
    async fn note(&mut self, publish: &Publish) {
        let probe = self.probe.as_mut().expect("a connection");
        probe.write(&wire::puback(publish.packet_id)).await;
        let body = if publish.topic.starts_with("c/") {
            publish.payload.clone()
        } else {
            let entry = payload::entry(&publish.payload);
            if entry.r#type() != EntryType::Message {
                return;
            }
            entry.body.to_vec()
        };
        let body = String::from_utf8(body).expect("a word");
        match self.heard.iter().position(|heard| *heard == body) {
            None => self.heard.push(body),
            // Its confirmation may not have been stored when the connection before ended.
            Some(at) => {
                let resumed = self.heard.len() == self.before && self.kept;
                let rises = at < self.before && self.again.is_none_or(|last| last < at);
                assert!(resumed && rises, "{} got {body} twice", self.who());
                self.again = Some(at);
            }
        }
    }

    /// Hears until told to stop. A connection that ends is a failure.
    async fn listen(mut self, mut stop: watch::Receiver<bool>) -> Self {
        loop {
            let probe = self.probe.as_mut().expect("a connection");
            let packet = tokio::select! {
                biased;
                // An error: whoever tells is gone, which is the end, too.
                _ = stop.wait_for(|stop| *stop) => return self,
                packet = probe.next() => packet,
            };
            self.take(packet).await;
        }
    }

    async fn take(&mut self, packet: Received) {
        match packet {
            Received::Publish(publish) => self.note(&publish).await,
            other => panic!("{}: {other:?}", self.who()),
        }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Ears(Vec<Ear>);

impl Ears {
    /// Connected and subscribed, before anything is said.
    pub(super) async fn connect(world: &World) -> Self {
        let mut ears = Vec::new();
        for (user, device, version, kept, filter) in EARS {
            let hello = world.hello(version, user, device).await;
            let hello = if kept { hello.kept() } else { hello };
            let (heard, probe, again) = (Vec::new(), None, None);
            ears.push(Ear { hello, kept, filter, probe, heard, first: 0, before: 0, again });
        }
        let mut all = Self(ears);
        all.again(world, 0).await;
        all
    }

    /// Connects anew, when so much has been said: kept sessions go on, clean ones begin there.
    pub(super) async fn again(&mut self, world: &World, said: usize) {
        for ear in &mut self.0 {
            ear.connect(&world.mqtt(), said).await;
        }
    }

    /// Lets all listen while `talk` goes on; what it gives.
    pub(super) async fn during<T>(&mut self, talk: impl Future<Output = T>) -> T {
        let (tell, stop) = watch::channel(false);
        let mut listening = JoinSet::new();
        for ear in self.0.drain(..) {
            listening.spawn(ear.listen(stop.clone()));
        }
        let talked = {
            let mut talk = std::pin::pin!(talk);
            loop {
                tokio::select! {
                    talked = &mut talk => break talked,
                    // None ends before it is told to: one has failed.
                    Some(ended) = listening.join_next() => {
                        self.0.push(ended.expect("an ear that goes on"));
                    }
                }
            }
        };
        tell.send_replace(true);
        while let Some(ended) = listening.join_next().await {
            self.0.push(ended.expect("an ear that goes on"));
        }
        talked
    }

    /// Waits until everybody has all of the log that is for it; how long that took.
    pub(super) async fn hear(&mut self, log: &[String]) -> Duration {
        let begun = Instant::now();
        for ear in &mut self.0 {
            let due = &log[ear.first..];
            while ear.heard.len() < due.len() {
                let missing = due.iter().find(|body| !ear.heard.contains(body));
                let what = format!("{missing:?} at {}, after {:?}", ear.who(), ear.heard.last());
                let probe = ear.probe.as_mut().expect("a connection");
                let packet = godwit_testkit::within(&what, probe.next()).await;
                ear.take(packet).await;
            }
            assert_eq!(ear.heard, due, "{}", ear.who());
        }
        let took = begun.elapsed();
        // And nothing comes beside it.
        for ear in &mut self.0 {
            let probe = ear.probe.as_mut().expect("a connection");
            probe.fence().await;
            assert_eq!(probe.left(), Vec::<String>::new(), "{}", ear.who());
        }
        took
    }
}
