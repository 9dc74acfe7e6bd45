//! What was acknowledged and what arrived, and the verdict over both (THREATS.md).
//!
//! Bodies are distinct, so a body names its send.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::server::Godwit;

/// One entry as a device or the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its sequence.
    pub seq: u64,
    /// The message's id, as text.
    pub mid: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Everything that a test's clients saw of one conversation.
#[derive(Debug, Default)]
pub struct History {
    /// Acknowledged sends, by their body: what the PUBACK said.
    acknowledged: HashMap<Vec<u8>, (u64, String)>,
    /// Sends whose fate the client never learned.
    unknown: HashSet<Vec<u8>>,
    /// What each device got, in the order of arrival, since its last connection.
    arrived: BTreeMap<String, Vec<Place>>,
}

impl History {
    /// A send was acknowledged. A resend's answer must be the first one.
    pub fn acknowledged(&mut self, body: &[u8], seq: u64, mid: &str) {
        self.unknown.remove(body);
        let earlier = self.acknowledged.insert(body.to_vec(), (seq, mid.to_owned()));
        if let Some(earlier) = earlier {
            assert_eq!(earlier, (seq, mid.to_owned()), "one key, two messages");
        }
    }

    /// The connection ended before the PUBACK.
    pub fn unknown(&mut self, body: &[u8]) {
        if !self.acknowledged.contains_key(body) {
            self.unknown.insert(body.to_vec());
        }
    }

    /// How many sends were acknowledged.
    #[must_use]
    pub fn count(&self) -> usize {
        self.acknowledged.len()
    }

    /// A device got an entry. Within a connection the sequence only rises; after a reconnect the
    /// last ones may come again, and must then be the same.
    pub fn arrived(&mut self, device: &str, place: Place) {
        let places = self.arrived.entry(device.to_owned()).or_default();
        let next = places.last().map_or(1, |last| last.seq + 1);
        assert!(place.seq <= next, "{device} got {} where {next} was due: a gap", place.seq);
        if place.seq == next {
            places.push(place);
        } else {
            let first = places[0].seq;
            let at = usize::try_from(place.seq - first).expect("a small test");
            assert_eq!(places[at], place, "{device} got another entry at the same place");
        }
    }

    /// How far a device has come.
    #[must_use]
    pub fn seen(&self, device: &str) -> u64 {
        self.arrived.get(device).and_then(|places| places.last()).map_or(0, |last| last.seq)
    }

    /// Asks the server's log, by REST, whether the history holds:
    /// no gap; each acknowledged send exactly once, at the place and with the id that its PUBACK
    /// named; each unknown one at most once; each device's entries are the log's, all of them;
    /// nothing else in the log. Gives the log.
    pub async fn verdict(&self, server: &Godwit, cid: &str) -> Vec<Place> {
        let log = read_log(server, cid).await;
        let mut at: HashMap<&[u8], &Place> = HashMap::new();
        for (n, place) in (1..).zip(&log) {
            assert_eq!(place.seq, n, "the log has a gap");
            let twin = at.insert(&place.body, place);
            assert!(twin.is_none(), "twice in the log: {twin:?} and {place:?}");
        }
        for (body, (seq, mid)) in &self.acknowledged {
            let name = String::from_utf8_lossy(body);
            let place = at.remove(body.as_slice());
            let place = place.unwrap_or_else(|| panic!("acknowledged but not there: {name}"));
            assert_eq!((place.seq, &place.mid), (*seq, mid), "{name} is not what its PUBACK said");
        }
        for body in at.into_keys() {
            let name = String::from_utf8_lossy(body);
            assert!(self.unknown.contains(body), "in the log, but nobody sent it: {name}");
        }
        for (device, places) in &self.arrived {
            assert_eq!(places.len(), log.len(), "{device} does not have the whole log");
            assert_eq!(places, &log, "{device} has another log");
        }
        log
    }
}

/// The whole log of a conversation by REST, as the admin, page by page.
pub async fn read_log(server: &Godwit, cid: &str) -> Vec<Place> {
    let mut log: Vec<Place> = Vec::new();
    loop {
        let after = log.last().map_or(0, |place| place.seq);
        let path = format!("/v1/conversations/{cid}/messages?after={after}&limit=100");
        let reply = server.ask("GET", &path, server.admin(), None).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let page = reply.json();
        let entries = page["messages"].as_array().expect("a list of messages");
        if entries.is_empty() {
            return log;
        }
        log.extend(entries.iter().map(place));
    }
}

fn place(entry: &Value) -> Place {
    use base64::Engine as _;
    let text = |name: &str| entry[name].as_str().unwrap_or_else(|| panic!("no {name}: {entry}"));
    Place {
        seq: entry["seq"].as_u64().expect("a sequence"),
        mid: text("mid").to_owned(),
        body: base64::engine::general_purpose::STANDARD.decode(text("body")).expect("base64"),
    }
}
