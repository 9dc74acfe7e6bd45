//! An embeddable MQTT 3.1.1 and 5 broker whose PUBACK can wait for a commit.
//!
//! It knows connections, topics and identities, and refuses to know what a message means: whoever
//! embeds it decides by [`godwit_core::edge::Gate`] who comes in and what they may do, and takes
//! what is published to *mounted* topics by [`godwit_core::edge::Upstream`]. Everything else is a
//! plain topic, routed here. `examples/embedded.rs` is a whole broker in a page.
//!
//! Read it in this order:
//! 1. `listen`: sockets, TLS, WebSocket (stage 1);
//! 2. `hello`: the wait for a CONNECT; `connect`: CONNECT and the end of a connection; `client`: takeover, what is kept;
//! 3. `connection`: the steady state; `last_words`: what was not heard at its end; `codec`, `packet`, `reply`: bytes and packets (stage 2);
//! 4. `inbound`: publishes and subscriptions going up; `acks`: PUBACKs held and released (stage 5);
//! 5. `link`: the mailbox of a connection; `outbound`, `inflight`: deliveries (stages 7 and 8);
//! 6. `router`, `filter`, `retained`: plain topics; `plain`: what of them waits for a client; `replay`: retained
//!    messages that it is owed; `account`: what a user has over all devices; `rights`: kept filters that are no
//!    longer allowed;
//! 7. `sweep`: deadlines; `journal`: who was refused and who has left; `quota`, `limits`: the bounds.
//!
//! Memory: an idle connection owns its task, its mailbox and its entry in the registry; buffers
//! belong to the thread, queues are allocated when something waits in them.
//!
//! Lock order: registry shard, client state, (retained messages | heavy queues | link mailbox). No lock is
//! held across an await.

mod account;
mod acks;
mod alias;
mod broker;
mod client;
mod clock;
mod codec;
mod connect;
mod connection;
mod filter;
mod hello;
mod inbound;
mod inflight;
mod journal;
mod last_words;
mod limits;
mod link;
pub mod listen;
mod metrics;
mod opening;
mod options;
mod outbound;
mod packet;
mod plain;
mod quota;
mod replay;
mod reply;
mod retained;
mod rights;
mod router;
mod shared;
mod sweep;

pub use broker::Broker;
#[cfg(feature = "codec-table")]
#[doc(hidden)]
pub use codec::probe;
/// The border that an embedder implements, under the name it has here.
pub use godwit_core::edge;
pub use options::Options;

/// Gives the broker's metrics their help. Once the recorder is there.
pub fn describe_metrics() {
    metrics::describe();
}
