//! What of REST goes into the audit trail and the log: all that operators ask, logins, what changes
//! users and devices, and refusals.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode};
use godwit_core::rate::{Bucket, Rate};
use parking_lot::Mutex;

use super::serve::Peer;
use crate::audit::{Act, Audit};
use crate::limits::{AUDIT_PATH_CHARS_MAX, REFUSALS_LOGGED_PER_S};

/// Filled in by whoever finds out who asks: `operator:NAME`, or a device.
#[derive(Debug, Clone, Default)]
pub(super) struct Who(Arc<OnceLock<String>>);

impl Who {
    /// The first answer stands.
    pub(super) fn is(&self, who: String) {
        let _ = self.0.set(who);
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Note {
    who: Who,
    peer: Option<SocketAddr>,
    what: String,
    sensitive: bool,
}

/// Takes note of a request. `None`: it is none that the trail is about.
pub(super) fn begin(request: &mut Request) -> Option<Note> {
    let path = request.uri().path();
    if !path.starts_with("/v1/") {
        return None;
    }
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let about_rights = ["/v1/login", "/v1/users", "/v1/devices"];
    let sensitive = !looks && about_rights.iter().any(|root| path.starts_with(root));
    // A query names a user at most: tokens and passwords travel in headers and bodies.
    let full = request.uri().path_and_query().map_or(path, |full| full.as_str());
    let shown: String = full.chars().take(AUDIT_PATH_CHARS_MAX).collect();
    let what = format!("{} {shown}", request.method());
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(Peer(at))| *at);
    let who = Who::default();
    request.extensions_mut().insert(who.clone());
    Some(Note { who, peer, what, sensitive })
}

impl Note {
    /// It is answered.
    pub(super) fn end(self, audit: &Audit, status: StatusCode) {
        let who = self.who.0.get().map_or("-", String::as_str);
        let act =
            Act { event: "rest", peer: self.peer, who, what: &self.what, outcome: status.as_str() };
        if who.starts_with("operator:") || (self.sensitive && status != StatusCode::UNAUTHORIZED) {
            audit.act(&act);
        } else if status == StatusCode::UNAUTHORIZED {
            audit.refused(&act);
        }
        if matches!(status.as_u16(), 401 | 403 | 429) {
            log_refusal(&act);
        }
    }
}

/// So many a second, from all together.
fn log_refusal(act: &Act<'_>) {
    static BUCKET: Mutex<Option<Bucket>> = Mutex::new(None);
    let Some(rate) = Rate::per_second(REFUSALS_LOGGED_PER_S) else { return };
    let said = BUCKET.lock().get_or_insert_default().take(rate, Instant::now()).is_ok();
    if said {
        // Debug formats escape what a stranger has chosen.
        tracing::info!(
            stage = "rest",
            peer.address = act.peer.map(tracing::field::display),
            who = ?act.who,
            request = ?act.what,
            status = act.outcome,
            "refused"
        );
    }
}
