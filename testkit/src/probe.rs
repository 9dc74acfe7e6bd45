//! An MQTT client that does what a test says, packet by packet.
//!
//! It acknowledges only what the test has taken by [`Probe::recv`] (unless told to be
//! [`Probe::eager`]), keeps everything else in the order of arrival, and repairs nothing.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use godwit_proto::conversation::v1::Entry;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wire::{self, Connect, Properties, Publish, Received, Version, Will, id};
use crate::{ledger, within};

/// What a CONNACK said.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// A session was kept.
    pub present: bool,
    /// Return code (3.1.1) or reason code (5).
    pub code: u8,
    /// MQTT 5's properties.
    pub properties: Properties,
}

/// What a PUBACK said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Reason code; 0 with 3.1.1.
    pub code: u8,
    /// MQTT 5's properties.
    pub properties: Properties,
}

/// One connection.
#[derive(Debug)]
pub struct Probe {
    stream: TcpStream,
    port: u16,
    version: Version,
    buffer: Vec<u8>,
    backlog: VecDeque<Received>,
    aliases: HashMap<u32, String>,
    /// The last sequence on each `m/...` topic.
    places: HashMap<String, u64>,
    packet_id: u16,
    /// Whether messages are acknowledged at all. On at first.
    pub acknowledge: bool,
    /// They are when they arrive, as by a client that queues for itself; else when
    /// [`Probe::recv`] gives them. Off at first.
    pub eager: bool,
    /// Deliveries that came with an alias instead of a topic.
    pub aliased: u32,
    /// The bytes of the last whole PUBLISH on each topic, as they came over the wire.
    pub bytes: HashMap<String, usize>,
}

/// A CONNECT with a token: client id `user:device`, clean, no keep alive.
#[must_use]
pub fn connect(version: Version, user: &str, device: &str, token: &str) -> Connect {
    Connect {
        version,
        client_id: format!("{user}:{device}"),
        user_name: Some(user.to_owned()),
        password: Some(token.to_owned()),
        clean: true,
        keep_alive_s: 0,
        properties: Properties::none(),
        will: None,
    }
}

impl Connect {
    /// Keeps the session: 3.1.1 by not being clean, 5 by an expiry of an hour as well.
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.clean = false;
        if self.version == Version::V5 {
            self.properties = self.properties.with(id::SESSION_EXPIRY, wire::Value::Four(60 * 60));
        }
        self
    }

    /// With one more property.
    #[must_use]
    pub fn with(mut self, id: u8, value: wire::Value) -> Self {
        self.properties = self.properties.with(id, value);
        self
    }

    /// With a will of QoS 1.
    #[must_use]
    pub fn with_will(mut self, topic: &str, payload: &[u8], properties: Properties) -> Self {
        self.will =
            Some(Will { topic: topic.to_owned(), payload: payload.to_vec(), qos: 1, properties });
        self
    }
}

impl Probe {
    /// A bare TCP connection to `address` (`host:port`); nothing is sent.
    pub async fn open(address: &str, version: Version) -> Self {
        let stream = within("a TCP connection", TcpStream::connect(address)).await;
        let stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a fresh socket");
        Self {
            port: stream.peer_addr().map_or(0, |peer| peer.port()),
            stream,
            version,
            buffer: Vec::new(),
            backlog: VecDeque::new(),
            aliases: HashMap::new(),
            places: HashMap::new(),
            packet_id: 0,
            acknowledge: true,
            eager: false,
            aliased: 0,
            bytes: HashMap::new(),
        }
    }

    /// Connects and reads the CONNACK, whatever it says.
    pub async fn try_connect(address: &str, connect: &Connect) -> (Self, Welcome) {
        let mut probe = Self::open(address, connect.version).await;
        probe.write(&wire::connect(connect)).await;
        match probe.next().await {
            Received::ConnAck { present, code, properties } => {
                (probe, Welcome { present, code, properties })
            }
            other => panic!("{other:?} instead of a CONNACK"),
        }
    }

    /// Connects and insists on being let in.
    pub async fn connect(address: &str, connect: &Connect) -> (Self, Welcome) {
        let (probe, welcome) = Self::try_connect(address, connect).await;
        assert_eq!(welcome.code, 0, "{} was not let in: {welcome:?}", connect.client_id);
        (probe, welcome)
    }

    /// MQTT 3.1.1 or 5.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The server's port, which names it in the ledger.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sends bytes as they are. A connection that the server has closed is no failure here: the
    /// next read tells.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = within("a write", self.stream.write_all(bytes)).await;
    }

    /// Sends the same bytes again and again for `span`, as fast as the server takes them, and reads
    /// meanwhile; each packet that came. Nothing is acknowledged. Ends early when the server closes.
    pub async fn flood(&mut self, bytes: &[u8], span: Duration, mut each: impl FnMut(&Received)) {
        let over = tokio::time::sleep(span);
        let mut over = std::pin::pin!(over);
        let (mut from, mut to) = self.stream.split();
        let mut at = 0;
        loop {
            tokio::select! {
                biased;
                () = &mut over => return,
                read = from.read_buf(&mut self.buffer) => {
                    if matches!(read, Ok(0) | Err(_)) {
                        return each(&Received::Closed);
                    }
                    while let Ok(Some(packet)) = wire::take(self.version, &mut self.buffer) {
                        each(&packet);
                    }
                }
                written = to.write(&bytes[at..]) => at = (at + written.unwrap_or(0)) % bytes.len(),
            }
        }
    }

    /// The next packet from the server, [`Received::Closed`] at the end.
    pub async fn next(&mut self) -> Received {
        match self.backlog.pop_front() {
            Some(packet) => packet,
            None => within("a packet from the server", self.read()).await,
        }
    }

    async fn read(&mut self) -> Received {
        loop {
            let held = self.buffer.len();
            match wire::take(self.version, &mut self.buffer) {
                Ok(Some(Received::Publish(publish))) => {
                    let publish = self.unalias(publish);
                    self.bytes.insert(publish.topic.clone(), held - self.buffer.len());
                    self.check_order(&publish);
                    if self.eager {
                        self.confirm(&publish).await;
                    }
                    return Received::Publish(publish);
                }
                Ok(Some(packet)) => {
                    self.note(&packet);
                    return packet;
                }
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
            // A reset is an end too: what was sent before it was read is lost with it.
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Received::Closed,
                Ok(_) => {}
            }
        }
    }

    /// Keeps an accepting PUBACK for the verdict at the test's end.
    fn note(&self, packet: &Received) {
        if let Received::PubAck { code: 0, properties, .. } = packet
            && let (Some(seq), Some(mid)) = (properties.user("seq"), properties.user("mid"))
        {
            ledger::note(self.port, (seq.parse().expect("a number"), mid.to_owned()));
        }
    }

    /// The order of a log within this connection: each entry once, rising. Entries may be missing
    /// here (the device's own), but none may come back.
    fn check_order(&mut self, publish: &Publish) {
        if !publish.topic.starts_with("m/") {
            return;
        }
        let Ok(entry) = Entry::decode(publish.payload.as_slice()) else { return };
        let last = self.places.insert(publish.topic.clone(), entry.seq);
        let rises = last.is_none_or(|last| last < entry.seq);
        assert!(rises, "{}: {} after {last:?} on one connection", publish.topic, entry.seq);
    }

    /// Gives a publish its topic when the server used an alias.
    fn unalias(&mut self, mut publish: Publish) -> Publish {
        if let Some(alias) = publish.properties.number(id::TOPIC_ALIAS) {
            if publish.topic.is_empty() {
                let topic = self.aliases.get(&alias);
                publish.topic = topic.expect("an alias is given before it is used").clone();
                self.aliased += 1;
            } else {
                self.aliases.insert(alias, publish.topic.clone());
            }
        }
        publish
    }

    /// The first packet that `wanted` takes; what comes before it stays for later.
    pub async fn wait_for<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Received) -> Option<T>,
    ) -> T {
        for at in 0..self.backlog.len() {
            if let Some(found) = wanted(&self.backlog[at]) {
                self.backlog.remove(at);
                return found;
            }
        }
        loop {
            let packet = within(what, self.read()).await;
            if let Some(found) = wanted(&packet) {
                return found;
            }
            assert!(packet != Received::Closed, "closed instead of {what}: {:?}", self.backlog);
            self.backlog.push_back(packet);
        }
    }

    /// A packet id that is not in use.
    pub fn fresh_id(&mut self) -> u16 {
        self.packet_id = self.packet_id % u16::MAX + 1;
        self.packet_id
    }

    /// Publishes with QoS 1 and does not wait. Gives the packet id.
    pub async fn start_publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        properties: Properties,
    ) -> u16 {
        let packet_id = self.fresh_id();
        let publish = Publish {
            qos: 1,
            topic: topic.to_owned(),
            packet_id,
            properties,
            payload: payload.to_vec(),
            ..Publish::default()
        };
        self.write(&wire::publish(self.version, &publish)).await;
        packet_id
    }

    /// The PUBACK of a packet id.
    pub async fn answer(&mut self, wanted: u16) -> Answer {
        self.wait_for("a PUBACK", |packet| match packet {
            Received::PubAck { packet_id, code, properties } if *packet_id == wanted => {
                Some(Answer { code: *code, properties: properties.clone() })
            }
            _ => None,
        })
        .await
    }

    /// Publishes with QoS 1 and waits for the PUBACK.
    pub async fn publish(&mut self, topic: &str, payload: &[u8]) -> Answer {
        let id = self.start_publish(topic, payload, Properties::none()).await;
        self.answer(id).await
    }

    /// Publishes with QoS 0.
    pub async fn publish_qos0(&mut self, topic: &str, payload: &[u8]) {
        let publish =
            Publish { topic: topic.to_owned(), payload: payload.to_vec(), ..Publish::default() };
        self.write(&wire::publish(self.version, &publish)).await;
    }

    /// Subscribes with these options bytes; gives the SUBACK's codes.
    pub async fn subscribe_with(&mut self, filters: &[(&str, u8)]) -> Vec<u8> {
        let id = self.fresh_id();
        self.write(&wire::subscribe(self.version, id, filters)).await;
        self.wait_for("a SUBACK", |packet| match packet {
            Received::SubAck { packet_id, codes } if *packet_id == id => Some(codes.clone()),
            _ => None,
        })
        .await
    }

    /// Subscribes one filter with QoS 1 and insists on it.
    pub async fn subscribe(&mut self, filter: &str) {
        assert_eq!(self.subscribe_with(&[(filter, 1)]).await, [1], "SUBACK of {filter}");
    }

    /// Ends a subscription.
    pub async fn unsubscribe(&mut self, filter: &str) {
        let id = self.fresh_id();
        self.write(&wire::unsubscribe(self.version, id, &[filter])).await;
        self.wait_for("an UNSUBACK", |packet| match packet {
            Received::UnsubAck { packet_id, .. } => (*packet_id == id).then_some(()),
            _ => None,
        })
        .await;
    }

    /// The next message; acknowledged unless [`Probe::acknowledge`] is off.
    pub async fn recv(&mut self) -> Publish {
        self.recv_on("").await
    }

    /// The next message whose topic starts with `prefix`; others stay for later.
    pub async fn recv_on(&mut self, prefix: &str) -> Publish {
        self.recv_where(prefix, |topic| topic.starts_with(prefix)).await
    }

    /// The next message on exactly this topic; others stay for later.
    pub async fn recv_at(&mut self, topic: &str) -> Publish {
        self.recv_where(topic, |found| found == topic).await
    }

    async fn recv_where(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Publish {
        let publish = self
            .wait_for(&format!("a message on {what}"), |packet| match packet {
                Received::Publish(p) if wanted(&p.topic) => Some(p.clone()),
                _ => None,
            })
            .await;
        if !self.eager {
            self.confirm(&publish).await;
        }
        publish
    }

    async fn confirm(&mut self, publish: &Publish) {
        if self.acknowledge && publish.qos > 0 {
            self.write(&wire::puback(publish.packet_id)).await;
        }
    }

    /// Waits until the server has answered everything that was sent before.
    pub async fn fence(&mut self) {
        self.write(&wire::pingreq()).await;
        self.wait_for("a PINGRESP", |p| (*p == Received::PingResp).then_some(())).await;
    }

    /// The topics of messages that have arrived and were not taken. Acknowledges nothing.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let topics = self.backlog.iter().filter_map(|packet| match packet {
            Received::Publish(p) => Some(p.topic.clone()),
            _ => None,
        });
        topics.collect()
    }

    /// Reads to the end of the connection; gives the code of the DISCONNECT, if there was one.
    pub async fn ended(&mut self) -> Option<u8> {
        let mut last = None;
        loop {
            match self.next().await {
                Received::Disconnect { code, .. } => last = Some(code),
                Received::Closed => return last,
                _ => {}
            }
        }
    }

    /// Says goodbye with this code and waits until the server has closed.
    pub async fn disconnect(mut self, code: u8) {
        self.write(&wire::disconnect(self.version, code)).await;
        self.ended().await;
    }

    /// Ends the connection without a DISCONNECT and without an orderly end of TCP.
    pub fn cut(self) {
        // Unread bytes or a lingering of zero make the kernel send a reset.
        let _ = self.stream.set_zero_linger();
    }
}
