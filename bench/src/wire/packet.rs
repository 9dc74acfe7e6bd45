//! MQTT packets as bytes: framing, CONNECT, SUBSCRIBE, and the few properties that matter here.

use super::Error;
use super::protobuf::write_varint;
use crate::limits::PACKET_BYTES_MAX;

/// The two versions spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.1.1, protocol level 4.
    V3,
    /// 5, protocol level 5.
    V5,
}

/// What a session says of itself in CONNECT.
pub(crate) struct Connect<'a> {
    pub(crate) version: Version,
    pub(crate) client_id: &'a str,
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    pub(crate) keep_alive_s: u16,
    /// MQTT 5: topic aliases that the server may use towards us; 0: none.
    pub(crate) topic_aliases: u16,
    /// MQTT 5: ask for bare PUBACKs (Request Problem Information 0).
    pub(crate) bare_acks: bool,
}

impl Connect<'_> {
    /// The packet. A clean session: a measurement never meets the one before.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64);
        write_text("MQTT", &mut body);
        body.push(if self.version == Version::V5 { 5 } else { 4 });
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        body.push(0x02 | flag(self.username.is_some(), 0x80) | flag(self.password.is_some(), 0x40));
        body.extend_from_slice(&self.keep_alive_s.to_be_bytes());
        if self.version == Version::V5 {
            let mut properties = Vec::new();
            if self.topic_aliases > 0 {
                properties.push(0x22);
                properties.extend_from_slice(&self.topic_aliases.to_be_bytes());
            }
            if self.bare_acks {
                properties.extend_from_slice(&[0x17, 0]);
            }
            write_varint(properties.len(), &mut body);
            body.extend_from_slice(&properties);
        }
        write_text(self.client_id, &mut body);
        for text in [self.username, self.password].into_iter().flatten() {
            write_text(text, &mut body);
        }
        frame(0x10, &body)
    }
}

/// A SUBSCRIBE of these filters at QoS 1, with packet id 1.
pub(crate) fn subscribe(version: Version, filters: &[&str]) -> Vec<u8> {
    let mut body = vec![0, 1];
    if version == Version::V5 {
        body.push(0);
    }
    for filter in filters {
        write_text(filter, &mut body);
        body.push(1);
    }
    frame(0x82, &body)
}

/// A PUBLISH at QoS 1 without properties.
pub(crate) fn publish(version: Version, topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 8);
    write_text(topic, &mut body);
    body.extend_from_slice(&id.to_be_bytes());
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    frame(0x32, &body)
}

fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(body.len() + 5);
    packet.push(first);
    write_varint(body.len(), &mut packet);
    packet.extend_from_slice(body);
    packet
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Names and tokens here are far below 64 KiB; a longer one is cut and refused by the server.
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&text.as_bytes()[..usize::from(len)]);
}

/// One packet at the front of the input: its first byte, its body, and its length with the head.
type Packet<'a> = (u8, &'a [u8], usize);

/// Takes the packet at the front of the input. None: not all of it is here.
pub(crate) fn split(input: &[u8]) -> Result<Option<Packet<'_>>, Error> {
    let Some(&first) = input.first() else { return Ok(None) };
    let mut remaining = 0;
    for (index, shift) in (0..28).step_by(7).enumerate() {
        let Some(&byte) = input.get(1 + index) else { return Ok(None) };
        remaining |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            if remaining > PACKET_BYTES_MAX {
                return Err(Error::Malformed("a packet longer than any message here"));
            }
            let head = 2 + index;
            return Ok(input
                .get(head..head + remaining)
                .map(|body| (first, body, head + remaining)));
        }
    }
    Err(Error::Malformed("a remaining length of more than four bytes"))
}

/// Reads forward over a packet's body.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next byte.
    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        let (&byte, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(byte)
    }

    /// The next two bytes, big-endian.
    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(head)
    }

    /// The properties that stand here, without their length.
    pub(crate) fn properties(&mut self) -> Result<Reader<'a>, Error> {
        let mut len = 0;
        for shift in (0..28).step_by(7) {
            let byte = self.u8()?;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return self.take(len).map(Reader);
            }
        }
        Err(Error::Malformed("a property length of more than four bytes"))
    }

    /// The value of the next property as (identifier, number); texts count as 0.
    pub(crate) fn property(&mut self) -> Result<Option<(u8, u32)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let id = self.u8()?;
        let value = match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => u32::from(self.u8()?),
            0x13 | 0x21 | 0x22 | 0x23 => u32::from(self.u16()?),
            0x02 | 0x11 | 0x18 | 0x27 => u32::from(self.u16()?) << 16 | u32::from(self.u16()?),
            0x0b => {
                while self.u8()? & 0x80 != 0 {}
                0
            }
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => {
                self.text()?;
                0
            }
            0x26 => {
                self.text()?;
                self.text()?;
                0
            }
            _ => return Err(Error::Malformed("an unknown property")),
        };
        Ok(Some((id, value)))
    }

    fn text(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }
}

const SHORT: Error = Error::Malformed("a packet shorter than its parts");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_split_only_when_complete() {
        let packet = subscribe(Version::V5, &["m/#", "n/#"]);
        for end in 0..packet.len() {
            assert_eq!(split(&packet[..end]), Ok(None), "{end}");
        }
        let (first, body, len) = split(&packet).unwrap().unwrap();
        assert_eq!((first, len), (0x82, packet.len()));
        assert_eq!(body, &packet[2..]);
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        assert!(split(&[0x30, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(split(&[0x30, 0xff, 0xff, 0xff, 0x7f]).is_err());
        assert!(Reader(&[5, 1]).properties().is_err());
        assert!(Reader(&[0x77]).property().is_err());
        assert!(Reader(&[0x1f, 0, 9, 1]).property().is_err());
    }

    #[test]
    fn properties_are_walked_one_by_one() {
        let bytes = [0x21, 0, 20, 0x26, 0, 1, b'a', 0, 1, b'b', 0x22, 0, 16, 0x27, 0, 1, 0, 0];
        let mut reader = Reader(&bytes);
        let mut seen = Vec::new();
        while let Some(property) = reader.property().unwrap() {
            seen.push(property);
        }
        assert_eq!(seen, [(0x21, 20), (0x26, 0), (0x22, 16), (0x27, 65_536)]);
    }

    #[test]
    fn connect_has_its_flags_and_fields() {
        let connect = Connect {
            version: Version::V3,
            client_id: "c",
            username: Some("u"),
            password: None,
            keep_alive_s: 60,
            topic_aliases: 0,
            bare_acks: false,
        };
        let packet = connect.encode();
        assert_eq!(
            packet,
            [0x10, 16, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x82, 0, 60, 0, 1, b'c', 0, 1, b'u']
        );
    }
}
