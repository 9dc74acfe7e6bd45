//! REST for apps' servers, devices and operators: `/v1`, `/docs`, `/openapi.json`, `/livez`,
//! `/readyz`, `/metrics`.
//!
//! Read it in this order: [`Api`]; [`caller`], who asks, and [`rates`], how often; [`audited`],
//! what of it is written down; [`asked`], a request that changes something, [`etag`] and [`paging`]; a module for each resource; [`problem`],
//! how a refusal looks; [`router`], [`document`] and [`docs`], what is there and how it is
//! described; [`serve`], the sockets.

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
mod if_match;
mod inbox;
mod invitations;
mod left;
mod login;
mod members;
mod messages;
mod paging;
mod passwords;
mod peer;
mod probe;
mod problem;
mod rates;
mod receipts;
mod request;
mod router;
mod send;
pub(crate) mod serve;
mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod users;

pub(crate) use accounts::Accounts;
pub(crate) use rates::Rates;
pub(crate) use router::{probes, router, without_metrics};
pub(crate) use shared::Api;
