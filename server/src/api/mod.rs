//! REST for apps' servers, devices and operators: `/v1`, `/docs`, `/openapi.json`, `/livez`,
//! `/readyz`, `/metrics`.
//!
//! Read it in this order: [`Api`] here; [`caller`], who asks, and [`rates`], how often; [`audited`],
//! what of it is written down; [`asked`], a request that changes something, [`etag`] and [`paging`]; a module for each resource; [`problem`],
//! how a refusal looks; [`router`], [`document`] and [`docs`], what is there and how it is
//! described; [`serve`], the sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_core::bus::{Announce, Control, Signal};
use godwit_core::ids::{Seq, UserId};
use godwit_core::membership::Conversation;
use godwit_core::store::Store;
use metrics_exporter_prometheus::PrometheusHandle;

mod accounts;
mod asked;
mod audited;
mod blocks;
mod caller;
mod change;
mod conversations;
mod cors;
mod devices;
mod docs;
mod document;
mod entry;
mod etag;
mod health;
mod inbox;
mod invitations;
mod left;
mod login;
mod members;
mod messages;
mod paging;
mod passwords;
mod problem;
mod rates;
mod receipts;
mod request;
mod router;
mod send;
pub(crate) mod serve;
mod settings;
#[cfg(test)]
mod tests;
mod users;

pub(crate) use accounts::Accounts;
pub(crate) use health::Probe;
pub(crate) use rates::Rates;
pub(crate) use router::{probes, router, without_metrics};

use crate::audit::Audit;
use crate::auth::Doorkeeper;
use crate::auth::keyring::AdminToken;
use crate::auth::watch::Watch;
use caller::Caller;
use problem::Problem;

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
    pub(crate) probe: Probe,
    /// Cleared when a shutdown begins: `/readyz` then tells balancers to look elsewhere.
    pub(crate) serving: AtomicBool,
}

impl Api {
    /// From now on `/readyz` says no.
    pub(crate) fn drain(&self) {
        self.serving.store(false, Ordering::Relaxed);
    }

    /// The conversation that the path names, and the place above which the caller may see its log.
    /// Errors: no id, none, or none of the caller's.
    async fn seen_by(&self, caller: &Caller, cid: &str) -> Result<(Conversation, Seq), Problem> {
        let id = request::conversation_id(cid)?;
        // A stranger learns it from one row, however many members there are.
        if let Some(identity) = caller.identity() {
            let member = self.store.member(id, &identity.user).await?;
            member.ok_or_else(Problem::no_conversation)?;
        }
        let found = self.store.conversation(id).await?.ok_or_else(Problem::no_conversation)?;
        let floor = caller.member(&found)?.map_or(Seq::ZERO, |member| member.visible_seq);
        Ok((found, floor))
    }

    /// Something was revoked (or let in again) and is durable: in force here when this returns, and
    /// elsewhere as soon as the signal arrives, or at the next look.
    async fn revoked(&self) {
        if let Err(error) = self.revocations.look().await {
            tracing::warn!(stage = "rest", %error, "a revocation is in force a moment later");
        }
        self.announce.signal(&[Signal::Revoked]);
    }

    /// Whoever remembers these users' settings or blocks forgets them.
    fn forget(&self, users: &[&UserId]) {
        let signals: Vec<_> =
            users.iter().map(|user| Signal::UserChanged { user: (*user).clone() }).collect();
        self.announce.signal(&signals);
    }
}
