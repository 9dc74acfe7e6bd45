//! The names of the broker's metrics, and the shortest way to the hot ones.

use std::sync::OnceLock;
use std::time::Instant;

use godwit_core::edge::Outcome;
use metrics::{Counter, Histogram, describe_counter, describe_gauge, describe_histogram};

/// Packets with a message to clients.
const DELIVERED: &str = "godwit_broker_delivered_total";
/// Packets with a message from clients.
const RECEIVED: &str = "godwit_broker_received_total";
/// Deliveries that were not sent; label `reason`.
const DROPPED: &str = "godwit_broker_dropped_total";
/// Publishes refused; label `code`.
const REFUSED: &str = "godwit_broker_refused_total";
/// Connections now.
const CONNECTIONS: &str = "godwit_broker_connections";
/// Connects turned away; label `code`.
const TURNED_AWAY: &str = "godwit_broker_turned_away_total";
/// Connections that ended; label `code`: what the client was told.
const ENDED: &str = "godwit_broker_ended_total";

/// Connections closed because there was no place for them; label `kind`: the listener's.
pub(crate) const LISTEN_REFUSED: &str = "godwit_listen_refused_total";
/// Handshakes that were under way for too long when others were in line; label `kind`.
pub(crate) const LISTEN_DISPLACED: &str = "godwit_listen_displaced_total";
/// Clients let in; label `session`: `new`, or `resumed` from what was kept.
const CONNECTS: &str = "godwit_broker_connects_total";
/// Seconds from a whole CONNECT to its CONNACK.
const CONNECT_SECONDS: &str = "godwit_broker_connect_seconds";
/// Tokens refused, at CONNECT or in place; label `code`.
const AUTHENTICATION_FAILURES: &str = "godwit_broker_authentication_failures_total";
/// Connections that were silent for longer than their keep alive.
const HEARTBEAT_FAILURES: &str = "godwit_broker_heartbeat_failures_total";
/// Seconds from a QoS 1 publish to its PUBACK.
const PUBACK_SECONDS: &str = "godwit_broker_puback_seconds";
/// Seconds from a QoS 1 delivery to the client's PUBACK, of one in eight.
const CONFIRM_SECONDS: &str = "godwit_broker_confirm_seconds";
/// Deliveries that wait in the queues of connections now.
const QUEUE_DELIVERIES: &str = "godwit_broker_queue_deliveries";
/// Bytes of them.
const QUEUE_BYTES: &str = "godwit_broker_queue_bytes";
/// Deliveries in the longest of these queues.
const QUEUE_LONGEST: &str = "godwit_broker_queue_longest_deliveries";

/// Gives the metrics their help. Once the recorder is there.
pub(crate) fn describe() {
    describe_counter!(DELIVERED, "Packets with a message sent to clients");
    describe_counter!(RECEIVED, "Packets with a message received from clients");
    describe_counter!(DROPPED, "Deliveries that were not sent, by reason");
    describe_counter!(REFUSED, "Publishes refused, by reason code");
    describe_gauge!(CONNECTIONS, "Connections now");
    describe_counter!(TURNED_AWAY, "Connects turned away, by reason code");
    describe_counter!(ENDED, "Connections that ended, by what the client was told");
    describe_counter!(CONNECTS, "Clients let in: with a new session, or with a resumed one");
    describe_histogram!(CONNECT_SECONDS, "Seconds from a whole CONNECT to its CONNACK");
    describe_counter!(AUTHENTICATION_FAILURES, "Tokens refused, by reason code");
    describe_counter!(HEARTBEAT_FAILURES, "Connections silent beyond their keep alive");
    describe_histogram!(PUBACK_SECONDS, "Seconds from a QoS 1 publish to its PUBACK");
    describe_histogram!(
        CONFIRM_SECONDS,
        "Seconds from a QoS 1 delivery to the client's PUBACK, one in eight"
    );
    describe_gauge!(QUEUE_DELIVERIES, "Deliveries that wait in the queues of connections");
    describe_gauge!(QUEUE_BYTES, "Bytes of the deliveries that wait");
    describe_gauge!(QUEUE_LONGEST, "Deliveries in the longest queue of a connection");
    describe_counter!(LISTEN_REFUSED, "Connections refused before their CONNECT, by listener");
    describe_counter!(LISTEN_DISPLACED, "Slow handshakes cut for others in line, by listener");
}

/// The recorder is installed before the broker starts, so a handle may be kept.
fn kept(cell: &'static OnceLock<Counter>, name: &'static str) -> &'static Counter {
    cell.get_or_init(|| metrics::counter!(name))
}

pub(crate) fn delivered() {
    static CELL: OnceLock<Counter> = OnceLock::new();
    kept(&CELL, DELIVERED).increment(1);
}

pub(crate) fn received() {
    static CELL: OnceLock<Counter> = OnceLock::new();
    kept(&CELL, RECEIVED).increment(1);
}

pub(crate) fn dropped(reason: &'static str) {
    metrics::counter!(DROPPED, "reason" => reason).increment(1);
}

pub(crate) fn dropped_many(reason: &'static str, count: u64) {
    metrics::counter!(DROPPED, "reason" => reason).increment(count);
}

pub(crate) fn refused(code: godwit_core::edge::Code) {
    metrics::counter!(REFUSED, "code" => code.to_string()).increment(1);
}

pub(crate) fn turned_away(code: godwit_core::edge::Code) {
    metrics::counter!(TURNED_AWAY, "code" => code.to_string()).increment(1);
}

pub(crate) fn ended(code: Option<godwit_core::edge::Code>) {
    let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    metrics::counter!(ENDED, "code" => code).increment(1);
}

pub(crate) fn connections(change: f64) {
    metrics::gauge!(CONNECTIONS).increment(change);
}

/// A client was let in. `since`: when its CONNECT was whole.
pub(crate) fn connected(resumed: bool, since: Instant) {
    let session = if resumed { "resumed" } else { "new" };
    metrics::counter!(CONNECTS, "session" => session).increment(1);
    metrics::histogram!(CONNECT_SECONDS).record(since.elapsed());
}

pub(crate) fn authentication_failed(outcome: &Outcome) {
    metrics::counter!(AUTHENTICATION_FAILURES, "code" => outcome.code.to_string()).increment(1);
}

pub(crate) fn heartbeat_failed() {
    metrics::counter!(HEARTBEAT_FAILURES).increment(1);
}

/// A PUBACK leaves for a publish that came at `since`.
pub(crate) fn acknowledged(since: Instant) {
    static CELL: OnceLock<Histogram> = OnceLock::new();
    CELL.get_or_init(|| metrics::histogram!(PUBACK_SECONDS)).record(since.elapsed());
}

/// A client has confirmed what was sent at `since`.
pub(crate) fn confirmed(since: Instant) {
    static CELL: OnceLock<Histogram> = OnceLock::new();
    CELL.get_or_init(|| metrics::histogram!(CONFIRM_SECONDS)).record(since.elapsed());
}

/// The queues of all connections, added up by the sweeper once a second: counting at each delivery
/// would cost every delivery.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    deliveries: usize,
    bytes: usize,
    longest: usize,
}

impl Queues {
    /// One connection's: deliveries and bytes.
    pub(crate) fn add(&mut self, (deliveries, bytes): (usize, usize)) {
        self.deliveries += deliveries;
        self.bytes += bytes;
        self.longest = self.longest.max(deliveries);
    }

    pub(crate) fn tell(&self) {
        for (name, count) in [
            (QUEUE_DELIVERIES, self.deliveries),
            (QUEUE_BYTES, self.bytes),
            (QUEUE_LONGEST, self.longest),
        ] {
            // A gauge may round.
            #[allow(clippy::cast_precision_loss)]
            metrics::gauge!(name).set(count as f64);
        }
    }
}
