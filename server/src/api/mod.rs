//! REST for apps' servers and operators: `/v1`, `/openapi.json`, `/livez`, `/readyz`, `/metrics`.
//!
//! Read it in this order: [`Api`] here; [`caller`], who asks; [`conversations`], [`members`],
//! [`messages`], what can be asked; [`problem`], how a refusal looks; [`serve`], the sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_core::bus::ChangeMembers;
use godwit_core::store::Store;
use metrics_exporter_prometheus::PrometheusHandle;

mod caller;
mod conversations;
mod health;
mod members;
mod messages;
mod problem;
mod request;
mod router;
pub(crate) mod serve;
#[cfg(test)]
mod tests;

pub(crate) use router::router;

use crate::auth::Doorkeeper;
use crate::auth::keyring::AdminToken;

/// What the handlers share.
pub(crate) struct Api {
    /// Where conversations are.
    pub(crate) store: Arc<dyn Store>,
    /// Changes members, and tells of it.
    pub(crate) changes: Arc<dyn ChangeMembers>,
    /// Judges device tokens.
    pub(crate) door: Arc<Doorkeeper>,
    /// The operators' token.
    pub(crate) admin: AdminToken,
    /// Renders `/metrics`.
    pub(crate) metrics: PrometheusHandle,
    /// Cleared when a shutdown begins: `/readyz` then tells balancers to look elsewhere.
    pub(crate) serving: AtomicBool,
}

impl Api {
    /// From now on `/readyz` says no.
    pub(crate) fn drain(&self) {
        self.serving.store(false, Ordering::Relaxed);
    }
}
