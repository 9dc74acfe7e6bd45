//! Signals: SIGTERM and SIGINT stop the server, SIGHUP reads certificates and keys again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Result};

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// End gracefully.
    Stop,
    /// Read certificates and issuers' keys again.
    Reload,
}

/// The signals of this process, listened to from here on.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Within a tokio runtime.
    pub(crate) fn listen() -> Result<Self> {
        let on = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(
                    format!("signals cannot be listened to: {error}"),
                    "The operating system refuses it; check the limits of the process.",
                )
            })
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for the next wish.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}
