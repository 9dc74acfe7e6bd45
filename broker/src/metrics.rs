//! The names of the broker's metrics, and the shortest way to the hot ones.

use std::sync::OnceLock;

use metrics::Counter;

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
