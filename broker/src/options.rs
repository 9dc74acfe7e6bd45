//! What an embedder may set, with the bounds that the values have.

use std::time::Duration;

/// The broker's settings. The defaults are those of `config/default.toml`.
#[derive(Debug, Clone)]
pub struct Options {
    /// QoS 1 publishes of one client that may wait for their PUBACK (MQTT 5: Receive Maximum;
    /// 3.1.1: reading pauses at it).
    pub receive_maximum: u16,
    /// QoS 1 deliveries in flight to a client that names no Receive Maximum: all of 3.1.1.
    pub inflight_default: u16,
    /// The most deliveries in flight to one client, whatever its Receive Maximum.
    pub inflight_max: u16,
    /// Bytes of a packet from a client (MQTT 5: Maximum Packet Size).
    pub packet_bytes_max: u32,
    /// Topic aliases in each direction.
    pub topic_alias_max: u16,
    /// The longest keep alive: an MQTT 5 client that asks for more, or for none, is given it as
    /// Server Keep Alive. What a 3.1.1 client asks for is kept to. Zero: no bound.
    pub keep_alive_max: Duration,
    /// How long a session may be kept.
    pub session_expiry_max: Duration,
    /// From accept to a whole CONNECT.
    pub connect_timeout: Duration,
    /// Deliveries queued for one client, not counting those in flight.
    pub queue_deliveries_max: usize,
    /// Bytes of payloads queued for one client.
    pub queue_bytes_max: usize,
    /// Plain messages that wait for one absent client; beyond it the oldest go. (One that is
    /// connected has room for [`Options::queue_deliveries_max`], if that is more.)
    pub offline_deliveries_max: usize,
    /// Bytes of the plain messages that wait for one client, connected or absent; beyond it the
    /// oldest go. One larger message may wait alone.
    pub offline_bytes_max: usize,
    /// Bytes of the plain messages that wait for all devices of one user; beyond it the oldest of the
    /// longest queue go.
    pub offline_per_user_bytes_max: usize,
    /// Bytes of the plain messages that wait for all; beyond it likewise.
    pub offline_all_bytes_max: usize,
    /// Devices of one user that are connected at the same time; 0: no bound.
    pub devices_per_user_max: usize,
    /// Publishes of one connection in a second; 0: no bound.
    pub publishes_per_s: u32,
    /// Bytes of publishes of one connection in a second; 0: no bound.
    pub publish_bytes_per_s: u32,
    /// How long a connection may take no byte while there are some to be written.
    pub write_stall_max: Duration,
    /// Retained messages in all.
    pub retained_max: usize,
    /// Bytes of them: topics, payloads, properties and 256 for each.
    pub retained_bytes_max: usize,
    /// Retained messages that one user has published.
    pub retained_per_user_max: usize,
    /// Bytes of them.
    pub retained_per_user_bytes_max: usize,
    /// Plain subscriptions of one client.
    pub subscriptions_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            receive_maximum: 64,
            inflight_default: 20,
            inflight_max: 128,
            packet_bytes_max: 1024 * 1024,
            topic_alias_max: 16,
            keep_alive_max: Duration::from_secs(3600),
            session_expiry_max: Duration::from_secs(30 * 24 * 3600),
            connect_timeout: Duration::from_secs(5),
            queue_deliveries_max: 256,
            queue_bytes_max: 1024 * 1024,
            offline_deliveries_max: 1000,
            offline_bytes_max: 1024 * 1024,
            offline_per_user_bytes_max: 8 * 1024 * 1024,
            offline_all_bytes_max: 256 * 1024 * 1024,
            devices_per_user_max: 64,
            publishes_per_s: 10_000,
            publish_bytes_per_s: 64 * 1024 * 1024,
            write_stall_max: Duration::from_secs(30),
            retained_max: 10_000,
            retained_bytes_max: 64 * 1024 * 1024,
            retained_per_user_max: 1000,
            retained_per_user_bytes_max: 8 * 1024 * 1024,
            subscriptions_max: 256,
        }
    }
}
