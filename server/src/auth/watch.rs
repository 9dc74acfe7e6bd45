//! Revocations on their way from the store to whoever judges tokens and holds connections.
//!
//! The store numbers them in the order of their commits. Each process reads what is above the number
//! that it has seen, every [`REVOCATIONS_POLL`], at once when a signal says that there is something
//! new, and itself after each one that it writes. A signal that is lost costs at most one interval; a
//! process that starts begins at zero.

use std::sync::Arc;
use std::time::Duration;

use godwit_core::bus::{Announcement, Cut, Listen, Signal};
use godwit_core::people::Revocation;
use godwit_core::store::{Error, Store};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::Doorkeeper;
use crate::clock;
use crate::limits::{REVOCATIONS_FORGET, REVOCATIONS_PAGE, REVOCATIONS_POLL};

/// Keeps a [`Doorkeeper`] up to date and cuts whom it refuses from then on.
pub(crate) struct Watch {
    store: Arc<dyn Store>,
    door: Arc<Doorkeeper>,
    cuts: Vec<Arc<dyn Cut>>,
    /// The last number read; one reads at a time.
    seen: Mutex<u64>,
    hurry: Notify,
    /// After so long no token issued before a revocation is valid.
    tokens_end: Duration,
}

impl Watch {
    /// `cuts`: the roles whose connections end. `tokens_end`: how long after a revocation a token
    /// that was issued before it may still be valid.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        door: Arc<Doorkeeper>,
        cuts: Vec<Arc<dyn Cut>>,
        tokens_end: Duration,
    ) -> Arc<Self> {
        let (seen, hurry) = (Mutex::new(0), Notify::new());
        Arc::new(Self { store, door, cuts, seen, hurry, tokens_end })
    }

    /// Reads what was revoked since the last look, tells the door of all of it, and then cuts. When it
    /// returns, whatever was committed before the call is in force in this process.
    pub(crate) async fn look(&self) -> Result<usize, Error> {
        let mut seen = self.seen.lock().await;
        let mut count = 0;
        loop {
            let page = self.store.revocations(*seen, REVOCATIONS_PAGE).await?;
            let Some(last) = page.last() else { return Ok(count) };
            *seen = last.number;
            count += page.len();
            // The door first: who is cut must not be let in again.
            page.iter().for_each(|revocation| self.door.learn(revocation));
            page.iter().for_each(|revocation| self.cut(revocation));
            if page.len() < REVOCATIONS_PAGE as usize {
                return Ok(count);
            }
        }
    }

    fn cut(&self, revocation: &Revocation) {
        let Revocation { user, device, ban, .. } = revocation;
        if ban.barred || ban.issued_until_ms.is_some() {
            self.cuts.iter().for_each(|role| role.cut(user, device.as_ref()));
        }
    }

    /// Looks again and again, until it is aborted.
    pub(crate) async fn run(self: Arc<Self>) {
        let (mut away, mut forget_at) = (false, Instant::now());
        loop {
            let told = self.look().await;
            match &told {
                Err(error) if !away => {
                    tracing::warn!(stage = "revocations", %error, "revocations cannot be read");
                }
                Ok(_) if away => tracing::info!("revocations are read again"),
                _ => {}
            }
            away = told.is_err();
            if !away && forget_at <= Instant::now() {
                self.forget().await;
                forget_at = Instant::now() + REVOCATIONS_FORGET;
            }
            let _ = tokio::time::timeout(REVOCATIONS_POLL, self.hurry.notified()).await;
        }
    }

    /// A few at a time; what is left is for the next time.
    async fn forget(&self) {
        let ended_ms = u64::try_from(self.tokens_end.as_millis()).unwrap_or(u64::MAX);
        let before_ms = clock::now_ms().saturating_sub(ended_ms);
        match self.store.forget_unseen(before_ms, REVOCATIONS_PAGE).await {
            Ok(devices) => self.door.forget(&devices),
            Err(error) => tracing::debug!(stage = "revocations", %error, "nothing was forgotten"),
        }
    }
}

impl Listen for Watch {
    fn announced(&self, _: &[Announcement]) {}

    fn signalled(&self, signals: &[Signal]) {
        if signals.contains(&Signal::Revoked) {
            self.hurry.notify_one();
        }
    }
}
