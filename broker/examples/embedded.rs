//! A broker in a page: plain topics for everybody, and one mounted topic whose PUBACK waits.
//!
//! `cargo run -p godwit-broker --example embedded` listens on 127.0.0.1:1883. Then:
//! `mosquitto_sub -t '#' -v` and `mosquitto_pub -t hello -m world -q 1`. A publish to `slow` is
//! acknowledged after a second, as if it had been committed somewhere.

use std::sync::Arc;
use std::time::Duration;

use godwit_broker::edge::{
    Ack, Action, Admitted, Begin, Begun, Code, Credentials, Downlink, Gate, Grant, Outcome,
    Publish, Session, SubscribeRequest, Task, Upstream,
};
use godwit_broker::listen::{Census, Kind, Listener, Options as ListenOptions};
use godwit_broker::{Broker, Options};
use godwit_core::cursor::Mark;
use godwit_core::ids::Identity;
use godwit_core::tasks::Supervisor;

/// Lets everybody in. A client id `user:device` makes it a device with mounted topics.
struct Open;

impl Gate for Open {
    fn authenticate(&self, credentials: Credentials) -> Task<'_, Result<Admitted, Outcome>> {
        Box::pin(async move {
            if credentials.client_id.is_empty() {
                return Err(Outcome::refused(Code::CLIENT_ID_INVALID, "choose a client id"));
            }
            Ok(Admitted {
                identity: credentials.client_id.parse::<Identity>().ok(),
                client_id: credentials.client_id,
                publish: Vec::new(),
                subscribe: Vec::new(),
                issued_ms: None,
                expires_ms: None,
            })
        })
    }

    fn authorize(&self, _who: &Admitted, action: Action<'_>) -> Grant {
        match action {
            Action::Publish("slow") => Grant { mounted: true, plain: Vec::new() },
            Action::Publish(topic) | Action::Subscribe(topic) if !topic.starts_with('$') => {
                Grant { mounted: false, plain: vec![topic.to_owned()] }
            }
            _ => Grant::default(),
        }
    }
}

/// Takes the mounted topic of all devices.
struct Slow;

impl Upstream for Slow {
    fn open(&self, _link: Arc<dyn Downlink>, _begin: Begin) -> Task<'_, Result<Begun, Outcome>> {
        Box::pin(async {
            Ok(Begun { session: Arc::new(Device), present: false, subscriptions: Vec::new() })
        })
    }
}

/// One device's session: here it needs no state.
struct Device;

impl Session for Device {
    fn publish(&self, _publish: Publish, ack: Ack) {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            ack.settle(Outcome::SUCCESS);
        });
    }

    fn subscribe(&self, requests: Vec<SubscribeRequest>) -> Task<'_, Vec<Code>> {
        Box::pin(async move { requests.iter().map(|r| Code(r.qos() as u8)).collect() })
    }

    fn unsubscribe(&self, filters: Vec<String>) -> Task<'_, Vec<Code>> {
        Box::pin(async move { vec![Code::SUCCESS; filters.len()] })
    }

    fn confirmed(&self, _marks: &[Mark]) {}

    fn writable(&self) {}

    fn closed(&self, _expiry_s: u32) -> Task<'static, ()> {
        Box::pin(async {})
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let census = Census::new(10_000, 10_000);
    // Without a listener or a sweeper nothing works: whoever starts the process again is told so.
    let supervisor = Supervisor::new(|death| {
        eprintln!("{death}");
        std::process::exit(1);
    });
    let (gate, above) = (Arc::new(Open), Arc::new(Slow));
    let broker = Broker::new(Options::default(), census, gate, Some(above), supervisor);
    let address = "127.0.0.1:1883".parse()?;
    broker.serve(Listener::bind(address, Kind::Tcp, ListenOptions::default())?);
    tokio::signal::ctrl_c().await?;
    broker.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
