//! A person's device as a full client: [`Probe`] with the protobuf of the device topics on it.
//!
//! It subscribes, acknowledges what arrives, numbers its sends, takes each fate where its version
//! finds it, and compares the two places where MQTT 5 is told. What it was sent stays in the order
//! of arrival until it is asked for. Read on in [`ask`] (requests and their replies) and [`heard`] (what comes by itself).

mod ask;
mod heard;

pub use ask::{Ask, Asked, add, details, remove, roles};

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use godwit_proto::conversation::v1::{EntryType, Fate, Fates, Send};
use godwit_proto::presence::v1::{Presence, Typing, presence, typing};
use godwit_proto::receipt::v1::{Receipt, Receipts};
use prost::Message as _;

use crate::ledger;
use crate::probe::{Answer, Probe, Welcome};
use crate::wire::{Connect, Properties, Version};

/// Everything that a full client subscribes to.
pub const ALL: [&str; 8] = ["m/#", "a", "r/#", "t/#", "p/#", "n/#", "q/#", "x"];

/// The bytes of a conversation's id.
#[must_use]
pub fn cid_bytes(cid: &str) -> Vec<u8> {
    let bytes = URL_SAFE_NO_PAD.decode(cid).unwrap_or_else(|error| panic!("{cid}: {error}"));
    assert_eq!(bytes.len(), 16, "{cid}");
    bytes
}

/// A conversation's id as topics write it.
#[must_use]
pub fn cid_text(bytes: &[u8]) -> String {
    assert_eq!(bytes.len(), 16, "{bytes:02x?}");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key that no other send of this process has.
#[must_use]
pub fn fresh_key() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("k{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A connected device.
#[derive(Debug)]
pub struct Chat {
    /// The connection, for what is not named here.
    pub probe: Probe,
    /// The user's id.
    pub user: String,
    /// The device's id.
    pub device: String,
    /// It subscribes to `a`.
    hears_fates: bool,
    /// Fates that came on `a` and were not asked for yet.
    fates: Vec<Fate>,
    requests: u64,
}

/// A send under way.
#[derive(Debug)]
pub struct Sent {
    cid: String,
    cmid: String,
    packet: u16,
}

impl Chat {
    /// Connects and subscribes to [`ALL`].
    pub async fn connect(address: &str, connect: &Connect) -> (Self, Welcome) {
        Self::connect_for(address, connect, &ALL).await
    }

    /// Connects and subscribes to these filters.
    pub async fn connect_for(
        address: &str,
        connect: &Connect,
        filters: &[&str],
    ) -> (Self, Welcome) {
        let (mut probe, welcome) = Probe::connect(address, connect).await;
        probe.eager = true;
        let (user, device) = connect.client_id.split_once(':').expect("user:device");
        if !filters.is_empty() {
            let asked: Vec<_> = filters.iter().map(|filter| (*filter, 1)).collect();
            let codes = probe.subscribe_with(&asked).await;
            assert!(codes.iter().all(|code| *code == 1), "{codes:02x?} for {filters:?}");
        }
        let chat = Self {
            probe,
            user: user.to_owned(),
            device: device.to_owned(),
            hears_fates: filters.contains(&"a"),
            fates: Vec::new(),
            requests: 0,
        };
        (chat, welcome)
    }

    /// MQTT 3.1.1 or 5.
    #[must_use]
    pub fn version(&self) -> Version {
        self.probe.version()
    }

    /// Sends, with a fresh key if it has none, and does not wait.
    pub async fn start(&mut self, cid: &str, mut send: Send) -> Sent {
        if send.cmid.is_empty() {
            send.cmid = fresh_key();
        }
        let (topic, payload) = (format!("s/{cid}"), send.encode_to_vec());
        let packet = self.probe.start_publish(&topic, &payload, Properties::none()).await;
        Sent { cid: cid.to_owned(), cmid: send.cmid, packet }
    }

    /// The fate of a send under way.
    pub async fn fate(&mut self, sent: Sent) -> Fate {
        let answer = self.probe.answer(sent.packet).await;
        if !self.hears_fates {
            assert_eq!(self.version(), Version::V5, "3.1.1 learns fates on a alone");
            return fate_of_puback(&sent, &answer);
        }
        let told = self.told_fate(&sent).await;
        match self.version() {
            Version::V5 => {
                let acked = fate_of_puback(&sent, &answer);
                let bare = Fate { reason: String::new(), ..told.clone() };
                assert_eq!(Fate { reason: String::new(), ..acked }, bare, "PUBACK and a differ");
            }
            Version::V3 => {
                if told.code == 0 {
                    let mid = URL_SAFE_NO_PAD.encode(&told.message_id);
                    ledger::note(self.probe.port(), (told.seq, mid));
                }
            }
        }
        told
    }

    async fn told_fate(&mut self, sent: &Sent) -> Fate {
        let id = cid_bytes(&sent.cid);
        loop {
            let at = self.fates.iter().position(|f| f.cmid == sent.cmid && f.conversation_id == id);
            if let Some(at) = at {
                return self.fates.remove(at);
            }
            let got = self.probe.recv_on("a").await;
            self.fates.extend(Fates::decode(got.payload.as_slice()).expect("fates").fates);
        }
    }

    /// The next fate that no send of this device waits for: of a publish that was no send.
    pub async fn stray_fate(&mut self) -> Fate {
        if self.fates.is_empty() {
            let got = self.probe.recv_on("a").await;
            self.fates.extend(Fates::decode(got.payload.as_slice()).expect("fates").fates);
        }
        self.fates.remove(0)
    }

    /// Sends and waits for its fate.
    pub async fn send(&mut self, cid: &str, send: Send) -> Fate {
        let sent = self.start(cid, send).await;
        self.fate(sent).await
    }

    /// Sends and insists; the place.
    pub async fn accepted(&mut self, cid: &str, send: Send) -> u64 {
        let fate = self.send(cid, send).await;
        assert_eq!((fate.code, fate.duplicate), (0, false), "{fate:?}");
        fate.seq
    }

    /// Says something; the place.
    pub async fn say(&mut self, cid: &str, body: &str) -> u64 {
        self.accepted(cid, message(body)).await
    }

    /// Says something many times, a window at a time; bodies are `name-0`, `name-1` ... The places.
    pub async fn say_many(&mut self, cid: &str, name: &str, count: usize) -> Vec<u64> {
        const WINDOW: usize = 32;
        let mut places = Vec::with_capacity(count);
        for first in (0..count).step_by(WINDOW) {
            let mut window = Vec::new();
            for n in first..count.min(first + WINDOW) {
                window.push(self.start(cid, message(&format!("{name}-{n}"))).await);
            }
            for sent in window {
                let fate = self.fate(sent).await;
                assert_eq!(fate.code, 0, "{fate:?}");
                places.push(fate.seq);
            }
        }
        places
    }

    /// Reports receipts: (conversation, delivered, read). The PUBACK.
    pub async fn report(&mut self, places: &[(&str, u64, u64)]) -> Answer {
        let receipt = |&(cid, delivered, read): &(&str, u64, u64)| Receipt {
            conversation_id: cid_bytes(cid).into(),
            delivered,
            read,
        };
        let report = Receipts { receipts: places.iter().map(receipt).collect() };
        self.probe.publish("r", &report.encode_to_vec()).await
    }

    /// Everything up to here was seen by the person; the server must take it.
    pub async fn read(&mut self, cid: &str, seq: u64) {
        let answer = self.report(&[(cid, 0, seq)]).await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    /// Types.
    pub async fn types(&mut self, cid: &str, state: typing::State) {
        let payload = Typing { state: state as i32, tag: 0 }.encode_to_vec();
        self.probe.publish_qos0(&format!("t/{cid}"), &payload).await;
    }

    /// Says how it is used, and which conversations are open on its screen.
    pub async fn is(&mut self, state: presence::State, open: &[&str]) {
        let open = open.iter().map(|cid| cid_bytes(cid).into()).collect();
        let payload = Presence { state: state as i32, open }.encode_to_vec();
        let answer = self.probe.publish("p", &payload).await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    /// Ends with a DISCONNECT.
    pub async fn disconnect(self) {
        self.probe.disconnect(0).await;
    }
}

/// A message.
#[must_use]
pub fn message(body: &str) -> Send {
    Send { body: body.as_bytes().to_vec().into(), ..Send::default() }
}

/// A send about a message.
#[must_use]
pub fn about(kind: EntryType, target: u64, body: &str) -> Send {
    Send { r#type: kind as i32, target, ..message(body) }
}

/// What MQTT 5's PUBACK says of a send, in the form of `a`.
fn fate_of_puback(sent: &Sent, answer: &Answer) -> Fate {
    let user = |name: &str| answer.properties.user(name);
    let number = |name: &str| user(name).map_or(0, |n| n.parse().expect("a number"));
    let mid = user("mid").map(|mid| URL_SAFE_NO_PAD.decode(mid).expect("base64url"));
    let reason = answer.properties.text(crate::wire::id::REASON).unwrap_or_default();
    Fate {
        cmid: sent.cmid.clone(),
        message_id: mid.unwrap_or_default().into(),
        seq: number("seq"),
        duplicate: user("dup") == Some("1"),
        code: answer.code.into(),
        reason: reason.to_owned(),
        group_version: number("gv"),
        retry_after_ms: u32::try_from(number("retry_after_ms")).expect("a short wait"),
        conversation_id: cid_bytes(&sent.cid).into(),
    }
}
