//! What the handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_core::bus::{Announce, Control, Signal};
use godwit_core::ids::UserId;
use godwit_core::store::Store;
use metrics_exporter_prometheus::PrometheusHandle;

use super::accounts::Accounts;
use super::probe::Probe;
use super::rates::Rates;
use crate::audit::Audit;
use crate::auth::Doorkeeper;
use crate::auth::keyring::AdminToken;
use crate::auth::watch::Watch;

/// What the handlers share.
pub(crate) struct Api {
    /// Where everything is.
    pub(crate) store: Arc<dyn Store>,
    /// Changes conversations, and tells of it.
    pub(crate) control: Arc<dyn Control>,
    /// Tells of what passes.
    pub(crate) announce: Arc<dyn Announce>,
    /// Judges device tokens.
    pub(crate) door: Arc<Doorkeeper>,
    /// Puts in force here what was revoked.
    pub(crate) revocations: Arc<Watch>,
    /// The operators' token.
    pub(crate) admin: AdminToken,
    /// What is done, written down.
    pub(crate) audit: Audit,
    /// Local accounts.
    pub(crate) accounts: Accounts,
    /// How often may be asked.
    pub(crate) rates: Rates,
    /// Renders `/metrics`.
    pub(crate) metrics: PrometheusHandle,
    /// What `/readyz` has found out of the store.
    pub(crate) probe: Arc<Probe>,
    /// Cleared when a shutdown begins: `/readyz` then tells balancers to look elsewhere.
    pub(crate) serving: AtomicBool,
}

impl Api {
    /// From now on `/readyz` says no.
    pub(crate) fn drain(&self) {
        self.serving.store(false, Ordering::Relaxed);
    }

    /// Something was revoked (or let in again) and is durable: in force here when this returns, and
    /// elsewhere as soon as the signal arrives, or at the next look.
    pub(super) async fn revoked(&self) {
        if let Err(error) = self.revocations.look().await {
            tracing::warn!(stage = "rest", %error, "a revocation is in force a moment later");
        }
        self.announce.signal(&[Signal::Revoked]);
    }

    /// Whoever remembers these users' settings or blocks forgets them.
    pub(super) fn forget(&self, users: &[&UserId]) {
        let signals: Vec<_> =
            users.iter().map(|user| Signal::UserChanged { user: (*user).clone() }).collect();
        self.announce.signal(&signals);
    }
}
