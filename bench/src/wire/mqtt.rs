//! An MQTT session that costs the load generator next to nothing: packets are encoded once and
//! copied, bodies are looked at in place.

use super::packet::{self, Reader, Version};
use super::protobuf::{self, SEND_KEEP_UNREAD};
use super::{Error, Event, Step};
use crate::limits::WINDOW_MAX;
use crate::stamp::{Stamp, hex};

/// Where a sender publishes.
pub(crate) struct Topic {
    /// The topic, or its part before the client message id.
    pub(crate) text: String,
    /// A client message id ends the topic (`c/{cid}/{cmid}`).
    pub(crate) cmid: bool,
}

/// How bodies are wrapped on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// As they are.
    Raw,
    /// In protobuf: `Send` up, `Entry` down.
    Protobuf,
}

/// What a Godwit device says of itself: `Presence.State` (proto/godwit/presence/v1/presence.proto).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The app is on screen.
    Foreground = 1,
    /// It is not: of large groups the device gets head notices only.
    Background = 3,
}

/// What a session is made of.
pub(crate) struct Config {
    pub(crate) version: Version,
    /// The encoded CONNECT.
    pub(crate) connect: Vec<u8>,
    /// Subscribed as soon as the session is accepted.
    pub(crate) filters: Vec<&'static str>,
    /// One more of them, which names a conversation or a lane.
    pub(crate) filter: Option<String>,
    /// Godwit: what the device says of itself on `p` before it is ready.
    pub(crate) declares: Option<Presence>,
    pub(crate) topic: Option<Topic>,
    pub(crate) payload: Payload,
    /// MQTT 5: send the topic once and its alias afterwards, where the server allows it.
    pub(crate) alias: bool,
    /// A `Send` does not read its conversation for its sender.
    pub(crate) keep_unread: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Subscribing,
    Declaring,
    Ready,
}

/// The packet id of what a device says of itself; no send has one that high.
const DECLARES_ID: u16 = u16::MAX;

/// One MQTT session.
pub(crate) struct Mqtt {
    config: Config,
    phase: Phase,
    /// The last packet id used; ids go 1, 2, ... `WINDOW_MAX`, 1.
    last_id: u16,
    receive_max: u16,
    alias_allowed: bool,
    alias_sent: bool,
}

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;

impl Mqtt {
    /// A session that was not opened yet.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            phase: Phase::Connecting,
            last_id: 0,
            receive_max: u16::MAX,
            alias_allowed: false,
            alias_sent: false,
        }
    }

    pub(super) fn open(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.config.connect);
        // The token is not needed again, and ten thousand of them are megabytes.
        self.config.connect = Vec::new();
    }

    pub(super) fn close(out: &mut Vec<u8>) {
        out.extend_from_slice(&[0xe0, 0]);
    }

    pub(super) fn window(&self) -> u32 {
        u32::from(self.receive_max).min(WINDOW_MAX)
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        let Some((first, body, used)) = packet::split(input)? else { return Ok(None) };
        let event = match first >> 4 {
            PUBLISH => self.delivered(first, body, out)?,
            PUBACK => {
                let mut reader = Reader(body);
                let (id, code) = (reader.u16()?, reader.u8().unwrap_or(0));
                if id == DECLARES_ID && self.phase == Phase::Declaring {
                    Some(self.declared(code)?)
                } else {
                    Some(Event::Acked { id: u32::from(id), code })
                }
            }
            CONNACK => self.accepted(body, out)?,
            SUBACK => self.subscribed(body, out)?,
            PINGRESP => None,
            DISCONNECT => {
                let code = body.first().copied().unwrap_or(0);
                return Err(Error::Ended(format!("DISCONNECT 0x{code:02x}")));
            }
            _ => return Err(Error::Malformed("a packet that servers do not send")),
        };
        Ok(Some((used, event)))
    }

    fn accepted(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Error> {
        let mut reader = Reader(body);
        let _session_present = reader.u8()?;
        let code = reader.u8()?;
        if code != 0 {
            return Err(Error::Refused(format!("CONNACK 0x{code:02x}")));
        }
        if self.config.version == Version::V5 {
            let mut properties = reader.properties()?;
            while let Some((id, value)) = properties.property()? {
                match id {
                    0x21 => self.receive_max = u16::try_from(value).unwrap_or(u16::MAX),
                    0x22 => self.alias_allowed = self.config.alias && value > 0,
                    _ => {}
                }
            }
        }
        let named = self.config.filter.as_deref();
        let filters: Vec<&str> = self.config.filters.iter().copied().chain(named).collect();
        if filters.is_empty() {
            return Ok(self.declare(out));
        }
        self.phase = Phase::Subscribing;
        out.extend_from_slice(&packet::subscribe(self.config.version, &filters));
        Ok(None)
    }

    fn subscribed(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Error> {
        if self.phase != Phase::Subscribing {
            return Err(Error::Malformed("a SUBACK that nobody asked for"));
        }
        // The reason codes, one for each filter, are the packet's last bytes.
        let asked = self.config.filters.len() + usize::from(self.config.filter.is_some());
        let codes = body.len().checked_sub(asked).and_then(|at| body.get(at..));
        let codes = codes.ok_or(Error::Malformed("a SUBACK with too few codes"))?;
        match codes.iter().find(|code| **code >= 0x80) {
            Some(code) => Err(Error::Refused(format!("SUBACK 0x{code:02x}"))),
            None => Ok(self.declare(out)),
        }
    }

    /// The session's last step: what the device says of itself, if anything.
    fn declare(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let Some(presence) = self.config.declares else {
            self.phase = Phase::Ready;
            return Some(Event::Ready);
        };
        self.phase = Phase::Declaring;
        // `Presence.state`, field 1, varint.
        let payload = [0x08, presence as u8];
        out.extend_from_slice(&packet::publish(self.config.version, "p", DECLARES_ID, &payload));
        None
    }

    fn declared(&mut self, code: u8) -> Result<Event, Error> {
        if code >= 0x80 {
            return Err(Error::Refused(format!("PUBACK 0x{code:02x} of what was said on p")));
        }
        self.phase = Phase::Ready;
        Ok(Event::Ready)
    }

    fn delivered(&self, first: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Error> {
        let mut reader = Reader(body);
        let topic_len = reader.u16()?;
        reader.take(usize::from(topic_len))?;
        // Everything here is subscribed with QoS 1: what comes with QoS 0 is kept nowhere.
        if first & 0x06 == 0 {
            return Ok(Some(Event::Passed));
        }
        let id = reader.take(2)?;
        out.extend_from_slice(&[0x40, 2, id[0], id[1]]);
        if self.config.version == Version::V5 {
            reader.properties()?;
        }
        let stamp = match self.config.payload {
            Payload::Raw => Stamp::read(reader.0),
            Payload::Protobuf => protobuf::entry_body(reader.0).and_then(Stamp::read),
        };
        Ok(Some(Event::Delivered(stamp)))
    }

    pub(super) fn publish(&mut self, stamp: Stamp, size: usize, out: &mut Vec<u8>) -> u32 {
        let cmid = cmid(stamp.seq);
        let alias = self.alias();
        let (text, in_topic) = match &self.config.topic {
            Some(topic) if !(alias && self.alias_sent) => (topic.text.as_bytes(), topic.cmid),
            _ => (&b""[..], false),
        };
        let topic_len = text.len() + if in_topic { cmid.len() } else { 0 };
        let properties: &[u8] = match (self.config.version, alias) {
            (Version::V3, _) => &[],
            (Version::V5, false) => &[0],
            (Version::V5, true) => &[3, 0x23, 0, 1],
        };
        let keep: &[u8] = if self.config.keep_unread { &SEND_KEEP_UNREAD } else { &[] };
        let wrapped = match self.config.payload {
            Payload::Raw => 0,
            Payload::Protobuf => keep.len() + protobuf::send_overhead(cmid.len(), size),
        };
        self.last_id = if u32::from(self.last_id) >= WINDOW_MAX { 1 } else { self.last_id + 1 };
        out.push(0x32);
        protobuf::write_varint(2 + topic_len + 2 + properties.len() + wrapped + size, out);
        out.extend_from_slice(&u16::try_from(topic_len).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(text);
        if in_topic {
            out.extend_from_slice(&cmid);
        }
        out.extend_from_slice(&self.last_id.to_be_bytes());
        out.extend_from_slice(properties);
        if self.config.payload == Payload::Protobuf {
            out.extend_from_slice(keep);
            protobuf::write_send_head(&cmid, size, out);
        }
        let end = out.len() + size;
        out.extend_from_slice(&stamp.to_bytes());
        out.resize(end, b'.');
        self.alias_sent = alias;
        u32::from(self.last_id)
    }

    /// Appends a QoS 0 publish of this payload, by alias where the server allows it.
    pub(super) fn pass(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let alias = self.alias();
        let topic = match &self.config.topic {
            Some(topic) if !(alias && self.alias_sent) => topic.text.as_bytes(),
            _ => &b""[..],
        };
        let properties: &[u8] = match (self.config.version, alias) {
            (Version::V3, _) => &[],
            (Version::V5, false) => &[0],
            (Version::V5, true) => &[3, 0x23, 0, 1],
        };
        out.push(0x30);
        protobuf::write_varint(2 + topic.len() + properties.len() + payload.len(), out);
        out.extend_from_slice(&u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(topic);
        out.extend_from_slice(properties);
        out.extend_from_slice(payload);
        self.alias_sent = alias;
    }

    /// A topic with a message id in it is another one each time: an alias saves nothing there.
    fn alias(&self) -> bool {
        self.alias_allowed && self.config.topic.as_ref().is_some_and(|topic| !topic.cmid)
    }
}

/// The client message id of a lane's message: eight hexadecimal digits.
fn cmid(seq: u32) -> [u8; 8] {
    let mut text = [0; 8];
    for (pair, byte) in text.chunks_exact_mut(2).zip(seq.to_be_bytes()) {
        pair.copy_from_slice(&hex(byte));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { lane: 1, seq: 0x2a, due_ns: 3 };

    fn session(version: Version, payload: Payload, topic: &str, cmid: bool) -> Mqtt {
        Mqtt::new(Config {
            version,
            connect: vec![0x10, 0],
            filters: Vec::new(),
            filter: None,
            declares: None,
            topic: Some(Topic { text: topic.to_owned(), cmid }),
            payload,
            alias: true,
            keep_unread: false,
        })
    }

    /// What a peer of the same format sees of the packet, and its topic.
    fn read_back(packet: &[u8], version: Version) -> (String, Vec<u8>) {
        let (first, body, used) = packet::split(packet).unwrap().unwrap();
        assert_eq!((first, used), (0x32, packet.len()));
        let mut reader = Reader(body);
        let len = reader.u16().unwrap();
        let topic = reader.take(usize::from(len)).unwrap();
        reader.u16().unwrap();
        if version == Version::V5 {
            reader.properties().unwrap();
        }
        (String::from_utf8(topic.to_vec()).unwrap(), reader.0.to_vec())
    }

    #[test]
    fn a_publish_carries_topic_stamp_and_size_in_both_versions() {
        for version in [Version::V3, Version::V5] {
            let mut out = Vec::new();
            let mut mqtt = session(version, Payload::Raw, "c/x/", true);
            assert_eq!(mqtt.publish(STAMP, 100, &mut out), 1);
            let (topic, body) = read_back(&out, version);
            assert_eq!(topic, "c/x/0000002a");
            assert_eq!(body.len(), 100);
            assert_eq!(Stamp::read(&body), Some(STAMP));
        }
    }

    #[test]
    fn the_topic_is_sent_once_where_aliases_are_allowed() {
        let mut mqtt = session(Version::V5, Payload::Protobuf, "s/x", false);
        let mut out = Vec::new();
        // CONNACK: accepted, Receive Maximum 7, Topic Alias Maximum 16.
        let connack = [0x20, 9, 0, 0, 6, 0x21, 0, 7, 0x22, 0, 16];
        assert_eq!(mqtt.step(&connack, &mut out), Ok(Some((11, Some(Event::Ready)))));
        assert_eq!(mqtt.window(), 7);
        for topic in ["s/x", "", ""] {
            out.clear();
            mqtt.publish(STAMP, 16, &mut out);
            let (seen, body) = read_back(&out, Version::V5);
            assert_eq!(seen, topic);
            assert_eq!(&body[..12], b"\x0a\x080000002a\x1a\x10");
        }
        mqtt.config.keep_unread = true;
        out.clear();
        mqtt.publish(STAMP, 16, &mut out);
        assert_eq!(&read_back(&out, Version::V5).1[..4], b"\x50\x01\x0a\x08");
    }

    #[test]
    fn packet_ids_stay_below_the_window() {
        let mut mqtt = session(Version::V3, Payload::Raw, "t", false);
        let mut out = Vec::new();
        for id in 1..=WINDOW_MAX {
            assert_eq!(mqtt.publish(STAMP, 16, &mut out), id);
            out.clear();
        }
        assert_eq!(mqtt.publish(STAMP, 16, &mut out), 1);
    }

    #[test]
    fn a_delivery_is_acknowledged_and_read() {
        let mut sender = session(Version::V5, Payload::Raw, "t", false);
        let mut packet = Vec::new();
        sender.publish(STAMP, 20, &mut packet);
        let mut out = Vec::new();
        let used = packet.len();
        assert_eq!(
            sender.step(&packet, &mut out),
            Ok(Some((used, Some(Event::Delivered(Some(STAMP))))))
        );
        assert_eq!(out, [0x40, 2, 0, 1]);
    }

    #[test]
    fn a_device_is_ready_when_all_is_granted_and_said() {
        let mut mqtt = session(Version::V5, Payload::Protobuf, "s/x", false);
        mqtt.config.filters = vec!["m/#", "n/#"];
        mqtt.config.declares = Some(Presence::Background);
        let mut out = Vec::new();
        assert_eq!(mqtt.step(&[0x20, 3, 0, 0, 0], &mut out), Ok(Some((5, None))));
        assert_eq!(out, packet::subscribe(Version::V5, &["m/#", "n/#"]));
        out.clear();
        assert_eq!(mqtt.step(&[0x90, 5, 0, 1, 0, 1, 1], &mut out), Ok(Some((7, None))));
        assert_eq!(out, [0x32, 8, 0, 1, b'p', 0xff, 0xff, 0, 8, 3]);
        let ready = mqtt.step(&[0x40, 2, 0xff, 0xff], &mut out);
        assert_eq!(ready, Ok(Some((4, Some(Event::Ready)))));

        mqtt.phase = Phase::Subscribing;
        let refused = mqtt.step(&[0x90, 5, 0, 1, 0, 0x87, 1], &mut out);
        assert_eq!(refused, Err(Error::Refused("SUBACK 0x87".to_owned())));
    }

    #[test]
    fn what_passes_has_no_id_and_is_not_acknowledged() {
        let mut sender = session(Version::V3, Payload::Raw, "t/x", false);
        let mut packet = Vec::new();
        sender.pass(&[8, 1], &mut packet);
        assert_eq!(packet, [0x30, 7, 0, 3, b't', b'/', b'x', 8, 1]);
        let mut out = Vec::new();
        let used = packet.len();
        assert_eq!(sender.step(&packet, &mut out), Ok(Some((used, Some(Event::Passed)))));
        assert!(out.is_empty());
    }

    #[test]
    fn refusals_and_ends_are_errors_with_their_codes() {
        let mut out = Vec::new();
        let mut mqtt = session(Version::V5, Payload::Raw, "t", false);
        let refused = mqtt.step(&[0x20, 3, 0, 0x87, 0], &mut out);
        assert_eq!(refused, Err(Error::Refused("CONNACK 0x87".to_owned())));
        let ended = mqtt.step(&[0xe0, 2, 0x8e, 0], &mut out);
        assert_eq!(ended, Err(Error::Ended("DISCONNECT 0x8e".to_owned())));
        let acked = mqtt.step(&[0x40, 4, 0, 9, 0x97, 0], &mut out);
        assert_eq!(acked, Ok(Some((6, Some(Event::Acked { id: 9, code: 0x97 })))));
        assert!(mqtt.step(&[0x90, 3, 0, 1, 0], &mut out).is_err());
    }
}
