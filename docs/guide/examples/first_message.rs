//! Bob listens, Alice says hello: rumqttc 0.25, MQTT 5 over TCP.
//!
//!     cargo run -- data/dev.json

#![expect(clippy::print_stdout, reason = "it talks to a person")]

use std::error::Error;
use std::time::{Duration, SystemTime};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn device(dev: &serde_json::Value, user: &str, name: &str) -> Result<(AsyncClient, EventLoop)> {
    let address = dev["mqtt"].as_str().ok_or("dev.json has no mqtt")?;
    let (host, port) = address.rsplit_once(':').ok_or("no port")?;
    let token = dev["users"][user][name].as_str().ok_or("dev.json has no such device")?;
    let mut options = MqttOptions::new(format!("{user}:{name}"), host, port.parse()?);
    options.set_credentials(user, token);
    Ok(AsyncClient::new(options, 10))
}

/// Runs the client until a packet comes that `wanted` wants.
async fn next<T>(events: &mut EventLoop, wanted: impl Fn(Packet) -> Option<T>) -> Result<T> {
    let search = async {
        loop {
            if let Event::Incoming(packet) = events.poll().await?
                && let Some(found) = wanted(packet)
            {
                return Ok(found);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), search).await?
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let file = std::env::args().nth(1).ok_or("which dev.json?")?;
    let dev: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let topic = format!("c/{}", dev["conversation"].as_str().ok_or("no conversation")?);

    let (bob, mut bobs) = device(&dev, "bob", "phone")?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    next(&mut bobs, |packet| matches!(packet, Packet::SubAck(_)).then_some(())).await?;

    let (alice, mut alices) = device(&dev, "alice", "phone")?;
    // The last level is Alice's own key for this message: sending it again is no second message.
    let key = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    alice.publish(format!("{topic}/{key}"), QoS::AtLeastOnce, false, "hello, bob").await?;
    let ack = next(&mut alices, |packet| match packet {
        Packet::PubAck(ack) => Some(ack),
        _ => None,
    })
    .await?;
    if ack.reason != PubAckReason::Success {
        return Err(format!("not sent: {:?}", ack.reason).into());
    }
    let about = ack.properties.map(|properties| properties.user_properties);
    println!("alice's message is committed: {about:?}");

    let heard = next(&mut bobs, |packet| match packet {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    })
    .await?;
    let text = String::from_utf8_lossy(&heard.payload);
    let about = heard.properties.map(|properties| properties.user_properties).unwrap_or_default();
    let of = |name| about.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
    println!("bob heard {text:?} from {}, number {}", of("from"), of("seq"));
    Ok(())
}
