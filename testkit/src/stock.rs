//! rumqttc's clients for MQTT 3.1.1 and 5, as an app would use them, behind one face.

use std::time::Duration;

use rumqttc::v5::mqttbytes::v5 as five;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::wire::Version;
use crate::within;

/// What a client noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// CONNACK; whether a session was kept.
    Connected(bool),
    /// SUBACK: a granted QoS or a code of 0x80 and above for each filter.
    Subscribed(Vec<u8>),
    /// PUBACK: its code, and `mid`, `seq`, `dup` when MQTT 5 brought them.
    Acknowledged(u8, Option<Committed>),
    /// A message: topic and payload.
    Message(String, Vec<u8>),
    /// The connection ended, in rumqttc's words.
    Lost(String),
}

/// The user properties of an accepting PUBACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The message's id.
    pub mid: String,
    /// Its place.
    pub seq: u64,
    /// Committed by an earlier try.
    pub dup: bool,
}

/// One client with its event loop running; its first lost connection ends the loop.
#[derive(Debug)]
pub struct Stock {
    client: Client,
    noticed: mpsc::UnboundedReceiver<Noticed>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Client {
    Three(rumqttc::AsyncClient),
    Five(rumqttc::v5::AsyncClient),
}

/// Requests that a client queues: none of these tests has more under way.
const QUEUE: usize = 64;

impl Stock {
    /// Starts a client for `user:device`; `kept` asks for a session that outlives the connection.
    #[must_use]
    pub fn start(
        version: Version,
        address: &str,
        (user, device, token): (&str, &str, &str),
        kept: bool,
    ) -> Self {
        let (host, port) = address.rsplit_once(':').expect("host:port");
        let port = port.parse().expect("a port");
        let id = format!("{user}:{device}");
        let (sink, noticed) = mpsc::unbounded_channel();
        let (client, task) = match version {
            Version::V3 => {
                let mut options = rumqttc::MqttOptions::new(id, host, port);
                options.set_credentials(user, token).set_clean_session(!kept);
                options.set_keep_alive(Duration::from_secs(30));
                options.set_max_packet_size(1024 * 1024, 1024 * 1024);
                let (client, eventloop) = rumqttc::AsyncClient::new(options, QUEUE);
                (Client::Three(client), tokio::spawn(run_three(eventloop, sink)))
            }
            Version::V5 => {
                let mut options = rumqttc::v5::MqttOptions::new(id, host, port);
                options.set_credentials(user, token).set_clean_start(!kept);
                options.set_keep_alive(Duration::from_secs(30));
                options.set_session_expiry_interval(kept.then_some(3600));
                let (client, eventloop) = rumqttc::v5::AsyncClient::new(options, QUEUE);
                (Client::Five(client), tokio::spawn(run_five(eventloop, sink)))
            }
        };
        Self { client, noticed, task }
    }

    /// The next thing noticed.
    pub async fn next(&mut self) -> Noticed {
        within("something noticed", self.noticed.recv()).await.expect("the event loop runs")
    }

    /// Waits for the CONNACK; whether a session was kept.
    pub async fn connected(&mut self) -> bool {
        match self.next().await {
            Noticed::Connected(present) => present,
            other => panic!("{other:?} instead of a CONNACK"),
        }
    }

    /// Subscribes with QoS 1 and gives the SUBACK's code.
    pub async fn subscribe(&mut self, filter: &str) -> u8 {
        match &self.client {
            Client::Three(c) => c.subscribe(filter, rumqttc::QoS::AtLeastOnce).await.unwrap(),
            Client::Five(c) => {
                let qos = rumqttc::v5::mqttbytes::QoS::AtLeastOnce;
                c.subscribe(filter, qos).await.unwrap();
            }
        }
        match self.next().await {
            Noticed::Subscribed(codes) if codes.len() == 1 => codes[0],
            other => panic!("{other:?} instead of a SUBACK"),
        }
    }

    /// Publishes with QoS 1; the PUBACK's code and what it brought. Messages may not come between.
    pub async fn publish(&mut self, topic: &str, payload: &[u8]) -> (u8, Option<Committed>) {
        match &self.client {
            Client::Three(c) => {
                c.publish(topic, rumqttc::QoS::AtLeastOnce, false, payload).await.unwrap();
            }
            Client::Five(c) => {
                let qos = rumqttc::v5::mqttbytes::QoS::AtLeastOnce;
                c.publish(topic, qos, false, payload.to_vec()).await.unwrap();
            }
        }
        match self.next().await {
            Noticed::Acknowledged(code, committed) => (code, committed),
            other => panic!("{other:?} instead of a PUBACK"),
        }
    }

    /// The next message.
    pub async fn message(&mut self) -> (String, Vec<u8>) {
        match self.next().await {
            Noticed::Message(topic, payload) => (topic, payload),
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// Waits for the end of the connection, in rumqttc's words.
    pub async fn lost(&mut self) -> String {
        match self.next().await {
            Noticed::Lost(how) => how,
            other => panic!("{other:?} instead of the end"),
        }
    }

    /// Ends with a DISCONNECT.
    pub async fn disconnect(mut self) {
        match &self.client {
            Client::Three(c) => c.disconnect().await.unwrap(),
            Client::Five(c) => c.disconnect().await.unwrap(),
        }
        // The event loop ends when the server has closed.
        let _ = within("the end of the event loop", &mut self.task).await;
    }
}

impl Drop for Stock {
    /// Without [`Stock::disconnect`] the connection is simply gone.
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run_three(mut eventloop: rumqttc::EventLoop, sink: mpsc::UnboundedSender<Noticed>) {
    use rumqttc::{Event, Packet, SubscribeReasonCode};
    loop {
        let noticed = match eventloop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(ack))) => Noticed::Connected(ack.session_present),
            Ok(Event::Incoming(Packet::PubAck(_))) => Noticed::Acknowledged(0, None),
            Ok(Event::Incoming(Packet::Publish(p))) => {
                Noticed::Message(p.topic, p.payload.to_vec())
            }
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                let code = |c: &SubscribeReasonCode| match c {
                    SubscribeReasonCode::Success(qos) => *qos as u8,
                    SubscribeReasonCode::Failure => 0x80,
                };
                Noticed::Subscribed(ack.return_codes.iter().map(code).collect())
            }
            Ok(_) => continue,
            Err(error) => {
                let _ = sink.send(Noticed::Lost(error.to_string()));
                return;
            }
        };
        if sink.send(noticed).is_err() {
            return;
        }
    }
}

async fn run_five(mut eventloop: rumqttc::v5::EventLoop, sink: mpsc::UnboundedSender<Noticed>) {
    use five::Packet;
    use rumqttc::v5::Event;
    loop {
        let noticed = match eventloop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(ack))) => Noticed::Connected(ack.session_present),
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                Noticed::Acknowledged(puback_code(ack.reason), committed(ack.properties.as_ref()))
            }
            Ok(Event::Incoming(Packet::Publish(p))) => {
                Noticed::Message(String::from_utf8_lossy(&p.topic).into_owned(), p.payload.to_vec())
            }
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                Noticed::Subscribed(ack.return_codes.iter().map(suback_code).collect())
            }
            Ok(_) => continue,
            Err(error) => {
                let _ = sink.send(Noticed::Lost(error.to_string()));
                return;
            }
        };
        if sink.send(noticed).is_err() {
            return;
        }
    }
}

fn committed(properties: Option<&five::PubAckProperties>) -> Option<Committed> {
    let user = &properties?.user_properties;
    let find = |name: &str| user.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    Some(Committed { mid: find("mid")?, seq: find("seq")?.parse().ok()?, dup: find("dup")? == "1" })
}

fn puback_code(reason: five::PubAckReason) -> u8 {
    use five::PubAckReason as R;
    match reason {
        R::Success => 0x00,
        R::NoMatchingSubscribers => 0x10,
        R::UnspecifiedError => 0x80,
        R::ImplementationSpecificError => 0x83,
        R::NotAuthorized => 0x87,
        R::TopicNameInvalid => 0x90,
        R::PacketIdentifierInUse => 0x91,
        R::QuotaExceeded => 0x97,
        R::PayloadFormatInvalid => 0x99,
    }
}

fn suback_code(reason: &five::SubscribeReasonCode) -> u8 {
    use five::SubscribeReasonCode as R;
    match reason {
        R::Success(qos) => *qos as u8,
        R::NotAuthorized => 0x87,
        R::TopicFilterInvalid => 0x8F,
        R::QuotaExceeded => 0x97,
        R::SharedSubscriptionsNotSupported => 0x9E,
        _ => 0x80,
    }
}
