//! Compares MQTT codecs for docs/adr/0001: which packets of the broker's table each lets through,
//! how fast it is, and what it keeps in memory.
//!
//!     cargo run --release -p godwit-bench --example codecs
//!
//! Prints Markdown. `rmqtt` is rmqtt-codec as it is, `core` is mqtt-protocol-core's connection
//! (for speed its packets alone, which is to its advantage), `ours` is the broker's strict codec
//! over rmqtt-codec.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a program for developers that prints, and whose inputs are its own"
)]

use std::hint::black_box;
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use godwit_broker::probe::Probe;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::packet as core;
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode};
use mqtt_protocol_core::mqtt::{Connection, Version, connection::GenericEvent, role};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::version::{ProtocolVersion, VersionCodec};
use rmqtt_codec::{v3, v5};
use tokio_util::codec::{Decoder, Encoder};

#[path = "../../broker/tests/codec/table.rs"]
mod table;
use table::{Row, Verdict};

const CONNECT_V3: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01c";
const CONNECT_V5: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01c";
const PACKET_BYTES_MAX: u32 = 300 * 1024;
const TOPIC: &str = "c/AAECAwQFBgcICQoLDA0ODw";

/// What a codec did with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Taken,
    Waits,
    Refused,
    Panicked,
}

fn main() {
    let rows = table::rows().expect("the table can be read");
    // A panic of a codec is a result here, not news.
    std::panic::set_hook(Box::new(|_| {}));
    compare_strictness(&rows);
    drop(std::panic::take_hook());
    compare_speed();
    compare_memory();
}

fn compare_strictness(rows: &[Row]) {
    type Judge = fn(&Row) -> Judged;
    let judges: [(&str, Judge); 3] =
        [("rmqtt", rmqtt_judges), ("core", core_judges), ("ours", ours_judges)];
    let mut wrong = [[0_u32; 3]; 3];
    println!("## Strictness\n");
    println!("Rows on which at least one differs from the table ({} rows in all):\n", rows.len());
    println!("| after | packet | must | rmqtt | core | ours |\n|---|---|---|---|---|---|");
    for row in rows {
        let expected = match row.verdict {
            Verdict::Ok => Judged::Taken,
            Verdict::More => Judged::Waits,
            Verdict::Refused(..) => Judged::Refused,
        };
        let mut cells = String::new();
        let mut differs = false;
        for (index, (_, judge)) in judges.iter().enumerate() {
            let judged = catch_unwind(AssertUnwindSafe(|| judge(row))).unwrap_or(Judged::Panicked);
            let kind = match (expected, judged) {
                (expected, judged) if expected == judged => None,
                _ if row.name.starts_with("bound:") => Some(2),
                (Judged::Refused, _) => Some(0),
                _ => Some(1),
            };
            if let Some(kind) = kind {
                wrong[kind][index] += 1;
                differs = true;
            }
            let word = format!("{judged:?}").to_lowercase();
            cells += &if kind.is_some() { format!(" **{word}** |") } else { format!(" {word} |") };
        }
        if differs {
            let word = format!("{expected:?}").to_lowercase();
            println!("| {} | {} | {word} |{cells}", row.when, row.name);
        }
    }
    println!("\n| | rmqtt | core | ours |\n|---|---|---|---|");
    let names =
        ["malformed, let through", "well-formed, refused", "beyond our bounds, let through"];
    for (name, counts) in names.iter().zip(wrong) {
        println!("| {name} | {} | {} | {} |", counts[0], counts[1], counts[2]);
    }
}

fn judged<T, E>(result: &Result<Option<T>, E>) -> Judged {
    match result {
        Ok(Some(_)) => Judged::Taken,
        Ok(None) => Judged::Waits,
        Err(_) => Judged::Refused,
    }
}

fn rmqtt_judges(row: &Row) -> Judged {
    let mut src = BytesMut::from(&row.bytes[..]);
    let version = match row.when {
        '3' => ProtocolVersion::MQTT3,
        '5' => ProtocolVersion::MQTT5,
        _ => match VersionCodec.decode(&mut src) {
            Ok(Some(version)) => version,
            other => return judged(&other),
        },
    };
    match version {
        ProtocolVersion::MQTT3 => judged(&v3::Codec::new(PACKET_BYTES_MAX).decode(&mut src)),
        ProtocolVersion::MQTT5 => judged(&v5::Codec::new(PACKET_BYTES_MAX, 0).decode(&mut src)),
    }
}

fn core_judges(row: &Row) -> Judged {
    use mqtt_protocol_core::mqtt::connection::ConnectionOptions;
    let options = ConnectionOptions::default().maximum_packet_size_recv(PACKET_BYTES_MAX);
    let mut connection = Connection::<role::Server>::with_options(Version::Undetermined, options);
    match row.when {
        '3' => {
            connection.recv(&mut Cursor::new(CONNECT_V3));
            let builder = core::v3_1_1::Connack::builder();
            let connack = builder.session_present(false).return_code(ConnectReturnCode::Accepted);
            connection.checked_send(connack.build().unwrap());
        }
        '5' => {
            connection.recv(&mut Cursor::new(CONNECT_V5));
            let builder = core::v5_0::Connack::builder();
            let connack = builder.session_present(false).reason_code(ConnectReasonCode::Success);
            connection.checked_send(connack.build().unwrap());
        }
        _ => {}
    }
    let events = connection.recv(&mut Cursor::new(&row.bytes[..]));
    let refused = |e: &_| matches!(e, GenericEvent::NotifyError(_) | GenericEvent::RequestClose);
    // A DISCONNECT of the client makes it ask for the close as well.
    let taken = |e: &_| matches!(e, GenericEvent::NotifyPacketReceived(_));
    if events.iter().any(taken) {
        Judged::Taken
    } else if events.iter().any(refused) {
        Judged::Refused
    } else {
        Judged::Waits
    }
}

fn ours_judges(row: &Row) -> Judged {
    let mut probe = Probe::default();
    if row.when != '-' {
        probe.decode(&mut BytesMut::from(connect(row.when))).expect("a CONNECT");
    }
    judged(&probe.decode(&mut BytesMut::from(&row.bytes[..])))
}

fn connect(when: char) -> &'static [u8] {
    if when == '3' { CONNECT_V3 } else { CONNECT_V5 }
}

/// Nanoseconds of one of `count` rounds of 1,000 packets each; the best of five.
fn ns(mut round: impl FnMut()) -> f64 {
    const ROUNDS: u32 = 200;
    (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| round());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS * 1000)
        })
        .fold(f64::INFINITY, f64::min)
}

/// A PUBLISH of QoS 1 as `ours` writes it.
fn publish(when: char, len: usize) -> Vec<u8> {
    let mut probe = Probe::default();
    probe.decode(&mut BytesMut::from(connect(when))).expect("a CONNECT");
    let mut dst = BytesMut::new();
    assert!(probe.publish(&mut dst, TOPIC, NonZeroU16::MIN, &vec![b'x'; len]));
    dst.to_vec()
}

fn compare_speed() {
    println!("\n## Speed\n\nNanoseconds a packet, the best of five runs of 200,000.\n");
    println!("| | rmqtt | core | ours |\n|---|---|---|---|");
    decode_speed("3.1.1", "PUBLISH QoS 1, 100 B", '3', &publish('3', 100));
    decode_speed("5", "PUBLISH QoS 1, 100 B", '5', &publish('5', 100));
    decode_speed("5", "PUBLISH QoS 1, 256 B", '5', &publish('5', 256));
    decode_speed("5", "PUBACK", '5', b"\x40\x02\0\x01");
    decode_speed("5", "CONNECT", '-', CONNECT_V5);
    encode_publish_speed(100);
    encode_publish_speed(256);
    encode_puback_speed();
}

fn decode_speed(version: &str, name: &str, when: char, packet: &[u8]) {
    let many = packet.repeat(1000);
    let mut src = BytesMut::with_capacity(many.len() + 64);
    let rmqtt = ns(|| {
        src.clear();
        src.extend_from_slice(&many);
        let taken = if when == '3' {
            let mut codec = v3::Codec::new(PACKET_BYTES_MAX);
            std::iter::from_fn(|| codec.decode(&mut src).unwrap()).map(black_box).count()
        } else {
            let mut codec = v5::Codec::new(PACKET_BYTES_MAX, 0);
            std::iter::from_fn(|| codec.decode(&mut src).unwrap()).map(black_box).count()
        };
        assert_eq!(taken, 1000);
    });
    let core = ns(|| {
        for frame in many.chunks_exact(packet.len()) {
            core_parse(frame, when == '3');
        }
    });
    let ours = ns(|| {
        src.clear();
        src.extend_from_slice(&many);
        let mut probe = Probe::default();
        if when == '-' {
            // Each CONNECT is the first packet of a codec of its own.
            let mut decode = || Probe::default().decode(&mut src).unwrap();
            assert_eq!(std::iter::from_fn(&mut decode).map(black_box).count(), 1000);
        } else {
            probe.decode(&mut BytesMut::from(connect(when))).unwrap();
            let decode = || probe.decode(&mut src).unwrap();
            assert_eq!(std::iter::from_fn(decode).map(black_box).count(), 1000);
        }
    });
    println!("| decode {name} ({version}) | {rmqtt:.0} | {core:.0} | {ours:.0} |");
}

/// Frames and parses as little as mqtt-protocol-core allows, without its connection.
fn core_parse(frame: &[u8], is_v3: bool) {
    let digits = frame[1..].iter().position(|b| b & 0x80 == 0).unwrap() + 1;
    let body = &frame[1 + digits..];
    match (frame[0] >> 4, is_v3) {
        (3, true) => {
            let parsed = core::v3_1_1::Publish::parse(frame[0] & 0xF, Arc::from(body));
            black_box(parsed.unwrap());
        }
        (3, false) => {
            let parsed = core::v5_0::Publish::parse(frame[0] & 0xF, Arc::from(body));
            black_box(parsed.unwrap());
        }
        (4, _) => drop(black_box(core::v5_0::Puback::parse(body).unwrap())),
        (1, _) => drop(black_box(core::v5_0::Connect::parse(body).unwrap())),
        other => panic!("{other:?}"),
    }
}

fn encode_publish_speed(len: usize) {
    let payload = Bytes::from(vec![b'x'; len]);
    let topic = ByteString::from(TOPIC);
    let mut dst = BytesMut::with_capacity(1024 * 1024);
    let rmqtt = ns(|| {
        dst.clear();
        let mut codec = v5::Codec::new(PACKET_BYTES_MAX, 0);
        for _ in 0..1000 {
            let publish = Publish {
                dup: false,
                retain: false,
                qos: QoS::AtLeastOnce,
                topic: topic.clone(),
                packet_id: Some(NonZeroU16::MIN),
                payload: payload.clone(),
                properties: None,
            };
            codec.encode(v5::Packet::Publish(Box::new(publish)), &mut dst).unwrap();
        }
    });
    let core = ns(|| {
        dst.clear();
        for _ in 0..1000 {
            let builder = core::v5_0::Publish::builder().topic_name(TOPIC).unwrap();
            let builder = builder.qos(core::Qos::AtLeastOnce).packet_id(1_u16);
            let publish = builder.payload(&payload[..]).build().unwrap();
            dst.extend_from_slice(&publish.to_continuous_buffer());
        }
    });
    let mut probe = Probe::default();
    probe.decode(&mut BytesMut::from(CONNECT_V5)).unwrap();
    let ours = ns(|| {
        dst.clear();
        for _ in 0..1000 {
            assert!(probe.publish(&mut dst, &topic, NonZeroU16::MIN, &payload));
        }
    });
    println!("| encode PUBLISH QoS 1, {len} B (5) | {rmqtt:.0} | {core:.0} | {ours:.0} |");
}

fn encode_puback_speed() {
    let mut dst = BytesMut::with_capacity(64 * 1024);
    let rmqtt = ns(|| {
        dst.clear();
        let mut codec = v5::Codec::new(PACKET_BYTES_MAX, 0);
        for _ in 0..1000 {
            codec.encode(v5::Packet::PublishAck(v5::PublishAck::default()), &mut dst).unwrap();
        }
    });
    let core = ns(|| {
        dst.clear();
        for _ in 0..1000 {
            let puback = core::v5_0::Puback::builder().packet_id(1_u16).build().unwrap();
            dst.extend_from_slice(&puback.to_continuous_buffer());
        }
    });
    let mut probe = Probe::default();
    probe.decode(&mut BytesMut::from(CONNECT_V5)).unwrap();
    let ours = ns(|| {
        dst.clear();
        for _ in 0..1000 {
            assert!(probe.puback(&mut dst, NonZeroU16::MIN));
        }
    });
    println!("| encode PUBACK (5) | {rmqtt:.0} | {core:.0} | {ours:.0} |");
}

/// Bytes of resident memory that each of 100,000 kept values adds.
fn bytes_each<T>(make: impl Fn() -> T) -> f64 {
    const COUNT: usize = 100_000;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096.0
    };
    let mut kept = Vec::with_capacity(COUNT);
    let before = resident();
    kept.extend((0..COUNT).map(|_| make()));
    let each = (resident() - before) / COUNT as f64;
    // Freed memory would be taken by the next measurement, and hide in it.
    std::mem::forget(kept);
    each
}

fn compare_memory() {
    println!("\n## Memory\n\nBytes each, by the growth of RSS over 100,000 that are kept.\n");
    println!("| | rmqtt | core | ours |\n|---|---|---|---|");
    let rmqtt = bytes_each(|| {
        let mut codec = v5::Codec::new(PACKET_BYTES_MAX, 0);
        codec.decode(&mut BytesMut::from(CONNECT_V5)).unwrap();
        codec
    });
    let core = bytes_each(|| {
        let mut connection = Connection::<role::Server>::new(Version::Undetermined);
        connection.recv(&mut Cursor::new(CONNECT_V5));
        connection
    });
    let ours = bytes_each(|| {
        let mut probe = Probe::default();
        probe.decode(&mut BytesMut::from(CONNECT_V5)).unwrap();
        probe
    });
    println!("| state of a connection after CONNECT | {rmqtt:.0} | {core:.0} | {ours:.0} |");
    let packet = publish('5', 256);
    let body = &packet[3..];
    // As a connection reads: up to 4 KiB at a time, of which this is one packet.
    let rmqtt = bytes_each(|| {
        let mut src = BytesMut::with_capacity(4096);
        src.extend_from_slice(&packet);
        v5::Codec::new(PACKET_BYTES_MAX, 0).decode(&mut src).unwrap()
    });
    let core = bytes_each(|| core::v5_0::Publish::parse(packet[0] & 0xF, Arc::from(body)).unwrap());
    let ours = bytes_each(|| {
        let mut src = BytesMut::with_capacity(4096);
        let mut probe = Probe::default();
        probe.decode(&mut BytesMut::from(CONNECT_V5)).unwrap();
        src.extend_from_slice(&packet);
        probe.decode(&mut src).unwrap()
    });
    println!("| a PUBLISH of 256 B that is kept | {rmqtt:.0} | {core:.0} | {ours:.0} |");
}
