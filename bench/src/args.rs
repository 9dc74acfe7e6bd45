//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::limits::WINDOW_MAX;
use crate::procfs::Watched;

/// Loads an MQTT broker (or an XMPP server) over real sockets and checks what it did: every
/// message sent, acknowledged, delivered once and in order, with latency and CPU.
///
/// Point it at Godwit with --godwit DIR (of `godwit dev`) or --http, --admin-token and
/// --token-key (of `godwit serve`), and at any other broker with --addr alone.
///
/// Exit code: 0 all well; 1 messages lost, reordered or refused, or connections failed;
/// 2 the run could not be made.
#[derive(Debug, Parser)]
#[command(name = "godwit-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hold idle connections and tell the server's memory for each.
    Idle(Idle),
    /// Senders with one receiver each: closed loop (--window) or open loop (--rate).
    Pairs(Pairs),
    /// Connect as fast as possible, and see what that does to others.
    Storm(Storm),
    /// One sender, many receivers of every message.
    Fanout(Fanout),
    /// Pairs, first alone and then beside one large group that speaks; in turns. Godwit only.
    Isolation(Isolation),
    /// Let a crowd come and go, and see what memory the server keeps of it.
    Soak(Soak),
    /// The bytes of a typing packet. Godwit only.
    Typing(Typing),
}

#[derive(Debug, Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Connections to hold.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) connections: usize,
    /// Connections being opened at once.
    #[arg(long, default_value_t = 128)]
    pub(crate) concurrency: usize,
    /// Each connection subscribes its filter too.
    #[arg(long)]
    pub(crate) subscribe: bool,
    /// Seconds to hold them before memory is read.
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) settle: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Soak {
    #[command(flatten)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Users, each of whom connects, subscribes and leaves once.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) users: usize,
    /// Users connected at the same time.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) at_once: usize,
    /// Connections being opened at once.
    #[arg(long, default_value_t = 128)]
    pub(crate) concurrency: usize,
    /// Seconds after the last has gone before memory is read: longer than a server remembers them for.
    #[arg(long, default_value = "90", value_parser = seconds)]
    pub(crate) settle: Duration,
    /// The memory after all have gone, as a multiple of that before, at most.
    #[arg(long, default_value_t = 1.2)]
    pub(crate) growth_max: f64,
}

#[derive(Debug, Args)]
pub(crate) struct Pairs {
    #[command(flatten)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) load: Load,
    /// Pairs of a sender and a receiver.
    #[arg(long, default_value_t = 50)]
    pub(crate) pairs: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Fanout {
    #[command(flatten)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) load: Load,
    /// Receivers of every message.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) receivers: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Isolation {
    #[command(flatten)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Pairs of a sender and a receiver.
    #[arg(long, default_value_t = 50)]
    pub(crate) pairs: usize,
    /// Messages a second of all pairs together.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,
    /// Members of the group; as many of them are connected as descriptors allow.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) members: u32,
    /// Messages a second into the group, while it speaks.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) group_rate: u32,
    /// What the group's devices say of themselves.
    #[arg(long, value_enum, default_value_t = Devices::Foreground)]
    pub(crate) devices: Devices,
    /// Rounds: in each, the group is silent once and speaks once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rounds: u32,
    /// Seconds of each half of a round.
    #[arg(long, default_value = "8", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Seconds between two halves, for what is still on its way.
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub(crate) gap: Duration,
    /// Bytes of a body.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(16..=262_144))]
    pub(crate) size: u32,
    /// Connections being opened at once, before the load.
    #[arg(long, default_value_t = 64)]
    pub(crate) concurrency: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Typing {
    #[command(flatten)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Events that are waited for; the server tells at most one a second.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub(crate) events: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Storm {
    #[command(flatten)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Connections to open.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) connections: usize,
    /// Connections being opened at once.
    #[arg(long, default_value_t = 256)]
    pub(crate) concurrency: usize,
    /// Pairs that exchange messages meanwhile; 0: none.
    #[arg(long, default_value_t = 0)]
    pub(crate) background_pairs: usize,
    /// Messages a second of all background pairs together.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) background_rate: u32,
    /// Seconds of background traffic alone, before the storm.
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub(crate) background_seconds: Duration,
}

/// How messages are sent.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Bytes of a body; the first 16 (XMPP: 32) tell which message it is.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(16..=262_144))]
    pub(crate) size: u32,
    /// Messages of one sender that may be unacknowledged; without --rate: or undelivered.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=i64::from(WINDOW_MAX)))]
    pub(crate) window: u32,
    /// Open loop: messages a second of all senders together, each due at its own time; latency
    /// counts from then, also while a sender has to wait.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Seconds measured.
    #[arg(long, default_value = "15", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Seconds of load before anything is measured.
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub(crate) warmup: Duration,
    /// Seconds to wait at the end for what is still on its way.
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub(crate) drain: Duration,
    /// Connections being opened at once, before the load.
    #[arg(long, default_value_t = 64)]
    pub(crate) concurrency: usize,
}

/// Whom to load, and how to speak to it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Peer")]
pub(crate) struct Peer {
    /// The server. Default: of --godwit, else 127.0.0.1:1883.
    #[arg(long)]
    pub(crate) addr: Option<SocketAddr>,
    /// MQTT version.
    #[arg(long, value_enum, default_value_t = Protocol::Mqtt5)]
    pub(crate) protocol: Protocol,
    /// Speak XMPP instead; users `{prefix}0`, `{prefix}1` ... must exist.
    #[arg(long)]
    pub(crate) xmpp: bool,
    /// XMPP: the domain of all users.
    #[arg(long, default_value = "localhost")]
    pub(crate) xmpp_domain: String,
    /// XMPP: what user names begin with.
    #[arg(long, default_value = "u")]
    pub(crate) xmpp_prefix: String,
    /// XMPP: ask for an acknowledgement after every so many messages.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) xmpp_ack_every: u32,
    /// XMPP: receivers say that they are available.
    #[arg(long)]
    pub(crate) xmpp_presence: bool,
    /// User name, plain brokers only.
    #[arg(long)]
    pub(crate) username: Option<String>,
    /// Password, plain brokers and XMPP.
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// Topic of a plain broker; {i} is the pair.
    #[arg(long, default_value = "bench/{i}")]
    pub(crate) topic: String,
    /// Filter of a plain broker's receivers; {i} is the pair. Default: the topic.
    #[arg(long)]
    pub(crate) filter: Option<String>,
    /// The data directory of a running `godwit dev`: addresses and admin token from dev.json.
    #[arg(long, value_name = "DIR")]
    pub(crate) godwit: Option<PathBuf>,
    /// Godwit's REST address, as http://HOST:PORT.
    #[arg(long)]
    pub(crate) http: Option<String>,
    /// Godwit's admin token. Default: of --godwit, else the environment's GODWIT_ADMIN_TOKEN.
    #[arg(long)]
    pub(crate) admin_token: Option<String>,
    /// The embedded issuer's secret, hexadecimal, to mint tokens from. Default: issuer.key of
    /// --godwit.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_key: Option<PathBuf>,
    /// Godwit: how senders publish.
    #[arg(long, value_enum, default_value_t = Publish::Plain)]
    pub(crate) publish: Publish,
    /// Godwit: what receivers subscribe.
    #[arg(long, value_enum, default_value_t = Receive::Plain)]
    pub(crate) receive: Receive,
    /// Godwit, --publish send: a message does not read its conversation for its sender.
    #[arg(long)]
    pub(crate) keep_unread: bool,
    /// MQTT 5: use no topic aliases.
    #[arg(long)]
    pub(crate) no_alias: bool,
    /// MQTT 5: ask for bare PUBACKs (Request Problem Information 0).
    #[arg(long)]
    pub(crate) bare_acks: bool,
    /// Connect from 127.0.0.2 and so many addresses up, for more than 28,000 connections.
    #[arg(long, default_value_t = 0)]
    pub(crate) sources: u8,
    /// Speak TLS and trust the certificates in this PEM file.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The name in the server's certificate.
    #[arg(long, default_value = "localhost")]
    pub(crate) tls_name: String,
}

/// What to watch, and how to tell it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Tell CPU and memory of this process; repeatable.
    #[arg(long, value_name = "NAME=PID")]
    pub(crate) pid: Vec<Watched>,
    /// The same for a process with all its descendants, such as a Postgres.
    #[arg(long, value_name = "NAME=PID")]
    pub(crate) pid_tree: Vec<Watched>,
    /// One JSON object instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

/// MQTT versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// MQTT 3.1.1.
    Mqtt3,
    /// MQTT 5.
    Mqtt5,
}

/// What devices say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Devices {
    /// The app is on screen: every entry is sent.
    Foreground,
    /// It is not: head notices only.
    Background,
}

/// How a Godwit sender publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Publish {
    /// Raw bytes on c/{cid}/{cmid}.
    Plain,
    /// Protobuf on s/{cid}.
    Send,
}

/// What a Godwit receiver subscribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Receive {
    /// Raw bytes on c/{cid}.
    Plain,
    /// Protobuf on m/#.
    Entries,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_seconds_and_never_negative() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("-1").is_err());
        assert!(seconds("1s").is_err());
    }
}
