//! Real servers and faults for Godwit's tests.
//!
//! Everything here fails by panicking with a message that says what was awaited: it is only called
//! from tests. Every wait is bounded by [`WAIT`]; none sleeps in the hope that something happened.
//!
//! Read it in this order:
//! 1. [`server`]: the real `godwit` executable on a private directory, killed, stopped, restarted.
//! 2. [`probe`]: an MQTT client that sends and reads packet by packet, on [`wire`].
//! 3. [`stock`]: rumqttc's clients, as an app would use them; [`chat`]: a device with everything
//!    that people do.
//! 4. [`rest`]: the few HTTP requests that tests need.
//! 5. [`history`], [`ledger`]: what was acknowledged and what arrived; [`server::Godwit::verdict`]
//!    judges every scenario at its end, [`history::History::verdict`] the hard ones more closely.
//! 6. [`postgres`], [`scratch`], [`rows`]: private databases and directories that vanish, and a look
//!    into them from outside. [`proxy`]: the network between a server and its Postgres, with faults.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a harness fails by panicking: the message is the test's result"
)]

use std::time::Duration;

pub mod chat;
pub mod history;
pub mod ledger;
pub mod postgres;
pub mod probe;
pub mod proxy;
pub mod rest;
pub mod rows;
pub mod scratch;
pub mod server;
pub mod stock;
pub mod wire;

/// The longest that anything is awaited. Far above what it takes, since two cores run many tests.
pub const WAIT: Duration = Duration::from_secs(20);

/// Between two looks at something that can only be polled (a file, a process).
pub const POLL: Duration = Duration::from_millis(10);

/// Awaits `future`, or panics after [`WAIT`] saying `what` was awaited.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WAIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {WAIT:?}: {what}"),
    }
}

/// Looks every [`POLL`] until `look` finds something, or panics after [`WAIT`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    })
    .await
}
