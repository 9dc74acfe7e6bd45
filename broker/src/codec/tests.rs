//! The table of packets, and what no table can hold.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use godwit_core::edge::{Code, Properties, Qos, Version};
use mqtt_protocol_core::mqtt::common::Arc as PeerArc;
use mqtt_protocol_core::mqtt::packet as peer;
use proptest::prelude::*;
use tokio_util::codec::Decoder;

use super::packet::{Error, INEXPRESSIBLE};
use super::{Codec, Outgoing, Packet, v3, v5};

#[path = "../../tests/codec/table.rs"]
mod table;
use table::Verdict;

const INBOUND_BYTES_MAX: u32 = 300 * 1024;

fn codec(when: char) -> Codec {
    let mut codec = Codec::new(INBOUND_BYTES_MAX);
    let connect: &[u8] = match when {
        '3' => b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01c",
        '5' => b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01c",
        _ => return codec,
    };
    codec.decode(&mut BytesMut::from(connect)).unwrap().unwrap();
    codec
}

fn verdict(decoded: &Result<Option<Packet>, Error>) -> Verdict {
    match decoded {
        Ok(Some(_)) => Verdict::Ok,
        Ok(None) => Verdict::More,
        Err(e) => Verdict::Refused(
            e.code.0,
            e.answer.map(|version| if version == Version::V3 { 3 } else { 5 }),
        ),
    }
}

#[test]
fn every_row_has_its_verdict_however_it_is_cut() {
    let rows = table::rows().unwrap();
    assert!(rows.len() >= 60, "the table has {} rows", rows.len());
    for row in rows {
        let case = format!("{} {}", row.when, row.name);
        let mut whole = BytesMut::from(&row.bytes[..]);
        let decoded = codec(row.when).decode(&mut whole);
        assert_eq!(verdict(&decoded), row.verdict, "{case}");
        if row.verdict == Verdict::Ok {
            assert!(whole.is_empty(), "{case}: bytes are left");
        }
        for cut in 0..row.bytes.len() {
            let mut codec = codec(row.when);
            let mut src = BytesMut::from(&row.bytes[..cut]);
            let first = codec.decode(&mut src);
            match verdict(&first) {
                Verdict::More => {
                    src.extend_from_slice(&row.bytes[cut..]);
                    assert_eq!(codec.decode(&mut src), decoded, "{case}, cut at {cut}");
                }
                _ => assert_eq!(first, decoded, "{case}, judged by {cut} bytes"),
            }
        }
    }
}

#[test]
fn a_packet_leaves_the_next_one_alone() {
    let mut codec = codec('3');
    let mut src = BytesMut::from(&b"\xc0\0\x30\x05\0\x01ahi\xe0\0"[..]);
    assert_eq!(codec.decode(&mut src).unwrap(), Some(Packet::V3(v3::Packet::PingRequest)));
    let Some(Packet::V3(v3::Packet::Publish(publish))) = codec.decode(&mut src).unwrap() else {
        panic!("no PUBLISH");
    };
    assert_eq!((&publish.topic[..], &publish.payload[..]), ("a", &b"hi"[..]));
    assert_eq!(codec.decode(&mut src).unwrap(), Some(Packet::V3(v3::Packet::Disconnect)));
    assert_eq!(codec.decode(&mut src).unwrap(), None);
}

#[test]
fn what_the_library_refuses_wrongly_is_mended() {
    let mut src = BytesMut::from(&b"\x10\x12\0\x04MQTT\x05\0\0\x3c\x05\x11\0\0\0\x0a\0\0"[..]);
    let mut fresh = Codec::new(INBOUND_BYTES_MAX);
    let Some(Packet::V5(v5::Packet::Connect(connect))) = fresh.decode(&mut src).unwrap() else {
        panic!("no CONNECT");
    };
    assert!(!connect.clean_start && connect.client_id.is_empty());
    assert_eq!(connect.session_expiry_interval_secs, 10);

    let mut src = BytesMut::from(&b"\x30\x0b\0\x01a\x05\x02\0\0\0\0hi"[..]);
    let Some(Packet::V5(v5::Packet::Publish(publish))) = codec('5').decode(&mut src).unwrap()
    else {
        panic!("no PUBLISH");
    };
    let expiry = publish.properties.unwrap().message_expiry_interval;
    assert_eq!(expiry, NonZeroU32::new(1));
}

#[test]
fn a_decoded_packet_does_not_pin_the_read_buffer() {
    let mut src = BytesMut::with_capacity(64 * 1024);
    src.extend_from_slice(b"\x32\x07\0\x01a\0\x01hi");
    let packet = codec('3').decode(&mut src).unwrap();
    // Nobody else holds the buffer, so that it can be had back whole.
    assert!(src.try_reclaim(60 * 1024), "{packet:?} pins the buffer");
}

#[test]
fn packets_built_directly_are_those_that_the_library_builds() {
    for row in table::rows().unwrap() {
        if row.verdict != Verdict::Ok || row.when == '-' {
            continue;
        }
        let version = if row.when == '3' { Version::V3 } else { Version::V5 };
        let (_, digits) = super::reader::variable(&row.bytes[1..]).unwrap().unwrap();
        let Some(direct) = super::direct::build(row.bytes[0], &row.bytes[1 + digits..], version)
        else {
            continue;
        };
        let mut src = BytesMut::from(&row.bytes[..]);
        let library = match version {
            Version::V3 => Packet::V3(v3::Codec::new(0).decode(&mut src).unwrap().unwrap().0),
            Version::V5 => Packet::V5(v5::Codec::new(0, 0).decode(&mut src).unwrap().unwrap().0),
        };
        assert_eq!(direct, library, "{} {}", row.when, row.name);
    }
    for (bytes, version) in [
        (&b"\xc0\0"[..], Version::V5),
        (b"\x40\x02\0\x01", Version::V3),
        (b"\x40\x02\0\x01", Version::V5),
        (b"\x34\x07\0\x01a\0\x01hi", Version::V3),
        (b"\x3b\x08\0\x01a\0\x01\0hi", Version::V5),
    ] {
        assert!(super::direct::build(bytes[0], &bytes[2..], version).is_some(), "{bytes:02x?}");
    }
}

#[test]
fn bounds_count_the_whole_packet() {
    let packet = b"\x30\x0a\0\x01a1234567";
    for (max, expected) in [(12, Verdict::Ok), (11, Verdict::Refused(0x95, None))] {
        let mut codec = codec('3');
        codec.inbound_bytes_max = max;
        assert_eq!(verdict(&codec.decode(&mut BytesMut::from(&packet[..]))), expected, "{max}");
    }
}

fn limited(outbound_bytes_max: u32, problem_info: bool) -> Codec {
    let mut codec = codec('5');
    codec.outbound_bytes_max = outbound_bytes_max;
    codec.problem_info = problem_info;
    codec
}

#[test]
fn connect_sets_the_bounds_of_what_is_sent() {
    let bytes = b"\x10\x15\0\x04MQTT\x05\x02\0\x3c\x07\x27\0\0\x10\0\x17\0\0\x01c";
    let mut codec = Codec::new(INBOUND_BYTES_MAX);
    codec.decode(&mut BytesMut::from(&bytes[..])).unwrap().unwrap();
    assert_eq!(codec.version(), Some(Version::V5));
    assert_eq!(codec.outbound_bytes_max, 4096);
    assert!(!codec.problem_info());
}

#[test]
fn diagnostics_go_first_when_a_packet_does_not_fit() {
    let packet = || {
        v5::Packet::SubscribeAck(v5::SubscribeAck {
            packet_id: NonZeroU16::MIN,
            properties: vec![("key".into(), "value".into())],
            reason_string: Some("why".into()),
            status: vec![v5::SubscribeAckReason::NotAuthorized],
        })
    };
    let bare = b"\x90\x04\0\x01\0\x87";
    let mut full = BytesMut::new();
    limited(u32::MAX, true).encode(packet(), &mut full).unwrap();
    assert!(full.len() > bare.len());
    let exact = u32::try_from(full.len()).unwrap();
    for (max, problem_info, expected) in [
        (exact, true, Ok(&full[..])),
        (exact - 1, true, Ok(&bare[..])),
        (u32::MAX, false, Ok(&bare[..])),
        (6, true, Ok(&bare[..])),
        (5, true, Err(Code::PACKET_TOO_LARGE)),
        (1, false, Err(Code::PACKET_TOO_LARGE)),
    ] {
        let mut dst = BytesMut::from(&b"before"[..]);
        let result = limited(max, problem_info).encode(packet(), &mut dst);
        let (written, outcome) = match expected {
            Ok(bytes) => (bytes, Ok(())),
            Err(code) => (&b""[..], Err(code)),
        };
        assert_eq!(result.map_err(|e| e.code), outcome, "{max}");
        assert_eq!(&dst[..6], b"before", "{max}");
        assert_eq!(&dst[6..], written, "{max}");
    }
}

#[test]
fn what_cannot_be_expressed_writes_nothing() {
    let mut dst = BytesMut::new();
    let text = "x".repeat(65_536);
    let mut publish = Outgoing {
        topic: &text,
        alias: None,
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        packet_id: None,
        properties: None,
        expiry_s: None,
        identifier: None,
        payload: b"",
    };
    let codec = codec('5');
    assert_eq!(codec.encode_publish(&mut dst, &publish), Err(INEXPRESSIBLE));
    publish.topic = "a";
    publish.qos = Qos::AtLeastOnce;
    assert_eq!(codec.encode_publish(&mut dst, &publish), Err(INEXPRESSIBLE));
    let long_reason =
        codec.encode_puback(&mut dst, NonZeroU16::MIN, Code::SUCCESS, Some(&text), &[]);
    assert_eq!(long_reason, Err(INEXPRESSIBLE));
    assert!(dst.is_empty());
}

#[test]
fn a_puback_is_as_short_as_it_may_be() {
    let reason = Some("no");
    let id = NonZeroU16::new(0x0102).unwrap();
    let full = b"\x40\x10\x01\x02\x87\x0c\x1f\0\x02no\x26\0\x01k\0\x01v";
    for (codec, code, reason, user, expected) in [
        (codec('3'), Code::NOT_AUTHORIZED, reason, &[("k", "v")][..], &b"\x40\x02\x01\x02"[..]),
        (codec('5'), Code::SUCCESS, None, &[], b"\x40\x02\x01\x02"),
        (codec('5'), Code::NOT_AUTHORIZED, None, &[], b"\x40\x03\x01\x02\x87"),
        (codec('5'), Code::NOT_AUTHORIZED, reason, &[("k", "v")], full),
        (limited(17, true), Code::NOT_AUTHORIZED, reason, &[("k", "v")], &full[..5]),
        (limited(u32::MAX, false), Code::SUCCESS, reason, &[("k", "v")], b"\x40\x02\x01\x02"),
    ] {
        let mut dst = BytesMut::new();
        codec.encode_puback(&mut dst, id, code, reason, user).unwrap();
        let expected = if expected == &full[..5] { b"\x40\x03\x01\x02\x87" } else { expected };
        assert_eq!(&dst[..], expected);
    }
    let mut dst = BytesMut::new();
    let refused = limited(4, true).encode_puback(&mut dst, id, Code::NOT_AUTHORIZED, None, &[]);
    assert_eq!(refused.map_err(|e| e.code), Err(Code::PACKET_TOO_LARGE));
}

fn text() -> impl Strategy<Value = ByteString> {
    "[a-zA-Z0-9 äß]{0,40}".prop_map(ByteString::from)
}

fn some_properties() -> impl Strategy<Value = Properties> {
    (
        proptest::option::of("[a-z/]{1,20}".prop_map(ByteString::from)),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)),
        proptest::option::of(text()),
        proptest::option::of(any::<bool>()),
        proptest::collection::vec((text(), text()), 0..5),
    )
        .prop_map(|(response_topic, correlation_data, content_type, is_utf8, user)| {
            Properties {
                response_topic,
                correlation_data,
                content_type,
                is_utf8,
                expiry_s: Some(99),
                user,
            }
        })
}

proptest! {
    /// What is written for hand-made packets is what both libraries read.
    #[test]
    fn both_libraries_read_what_is_written(
        topic in "[a-zäß/]{1,200}",
        payload in proptest::collection::vec(b'a'..=b'z', 0..400),
        alias in proptest::option::of((1u16.., any::<bool>())),
        id in proptest::option::of(1u16..),
        dup in any::<bool>(),
        retain in any::<bool>(),
        expiry_s in proptest::option::of(1u32..),
        identifier in proptest::option::of(1u32..=268_435_455),
        properties in proptest::option::of(some_properties()),
        is_v5 in any::<bool>(),
    ) {
        let publish = Outgoing {
            topic: &topic,
            alias: alias.map(|(alias, omit)| (NonZeroU16::new(alias).unwrap(), omit)),
            dup: dup && id.is_some(),
            qos: if id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce },
            retain,
            packet_id: id.and_then(NonZeroU16::new),
            properties: properties.as_ref(),
            expiry_s,
            identifier: identifier.and_then(NonZeroU32::new),
            payload: &payload,
        };
        let mut dst = BytesMut::new();
        codec(if is_v5 { '5' } else { '3' }).encode_publish(&mut dst, &publish).unwrap();
        let (_, digits) = super::reader::variable(&dst[1..]).unwrap().unwrap();
        let (flags, body) = (dst[0] & 0xF, PeerArc::<[u8]>::from(&dst[1 + digits..]));
        let written = dst.to_vec();
        let again = if is_v5 {
            peer::v5_0::Publish::parse(flags, body).unwrap().0.to_continuous_buffer()
        } else {
            peer::v3_1_1::Publish::parse(flags, body).unwrap().0.to_continuous_buffer()
        };
        prop_assert_eq!(&again, &written);

        let read = if is_v5 {
            let Ok(Some((v5::Packet::Publish(read), _))) = v5::Codec::new(0, 0).decode(&mut dst)
            else { return Err(TestCaseError::fail("no PUBLISH")) };
            let seen = read.properties.clone().unwrap();
            prop_assert_eq!(seen.topic_alias, publish.alias.map(|(alias, _)| alias));
            prop_assert_eq!(seen.message_expiry_interval.map(NonZeroU32::get), expiry_s);
            prop_assert_eq!(seen.subscription_ids.first().map(|id| id.get()), identifier);
            let sent = properties.clone().unwrap_or_default();
            prop_assert_eq!(seen.response_topic, sent.response_topic);
            prop_assert_eq!(seen.correlation_data, sent.correlation_data);
            prop_assert_eq!(seen.content_type, sent.content_type);
            prop_assert_eq!(seen.is_utf8_payload, sent.is_utf8.unwrap_or(false));
            prop_assert_eq!(seen.user_properties, sent.user);
            read
        } else {
            let Ok(Some((v3::Packet::Publish(read), _))) = v3::Codec::new(0).decode(&mut dst)
            else { return Err(TestCaseError::fail("no PUBLISH")) };
            read
        };
        let omitted = is_v5 && matches!(publish.alias, Some((_, true)));
        prop_assert_eq!(&read.topic[..], if omitted { "" } else { &topic[..] });
        prop_assert_eq!(&read.payload[..], &payload[..]);
        prop_assert_eq!(read.packet_id, publish.packet_id);
        prop_assert_eq!((read.dup, read.retain), (publish.dup, retain));
    }

    #[test]
    fn both_libraries_read_a_puback(
        id in 1u16..,
        code in proptest::sample::select(&[0u8, 0x10, 0x80, 0x83, 0x87, 0x97, 0x99][..]),
        reason in proptest::option::of("[a-zäß ]{0,200}"),
        user in proptest::collection::vec(("[a-z]{0,9}", "[a-z0-9]{0,40}"), 0..4),
    ) {
        let user: Vec<_> = user.iter().map(|(k, v)| (&k[..], &v[..])).collect();
        let mut dst = BytesMut::new();
        let id = NonZeroU16::new(id).unwrap();
        codec('5').encode_puback(&mut dst, id, Code(code), reason.as_deref(), &user).unwrap();
        let (_, digits) = super::reader::variable(&dst[1..]).unwrap().unwrap();
        let (again, _) = peer::v5_0::Puback::parse(&dst[1 + digits..]).unwrap();
        prop_assert_eq!(again.to_continuous_buffer(), dst.to_vec());
        let Ok(Some((v5::Packet::PublishAck(read), _))) = v5::Codec::new(0, 0).decode(&mut dst)
        else { return Err(TestCaseError::fail("no PUBACK")) };
        prop_assert_eq!(read.packet_id, id);
        prop_assert_eq!(u8::from(read.reason_code), code);
        prop_assert_eq!(read.reason_string.as_deref(), reason.as_deref());
        prop_assert_eq!(
            read.properties.iter().map(|(k, v)| (&k[..], &v[..])).collect::<Vec<_>>(),
            user
        );
    }

    /// Whatever comes, a packet takes bytes, a refusal takes none, and nothing panics.
    #[test]
    fn no_input_panics(
        when in proptest::sample::select(&['-', '3', '5'][..]),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        survive(when, &bytes);
    }

    /// The same for packets that were right once.
    #[test]
    fn no_damaged_packet_panics(
        row in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        tail in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let rows = table::rows().unwrap();
        let row = row.get(&rows);
        let mut bytes = row.bytes.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.extend(tail);
        survive(row.when, &bytes);
    }
}

/// Decodes until nothing more comes of it. A packet that the strict layer lets through must be one
/// that the library can build: the text of that defect must never be seen.
fn survive(when: char, bytes: &[u8]) {
    let mut codec = codec(when);
    let mut src = BytesMut::from(bytes);
    loop {
        let before = src.len();
        match codec.decode(&mut src) {
            Ok(Some(_)) => assert!(src.len() < before),
            Ok(None) => return,
            Err(e) => {
                assert_eq!(src.len(), before);
                assert!(!e.what.contains("library"), "{when} {bytes:02x?}");
                return;
            }
        }
    }
}
