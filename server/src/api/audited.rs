//! What of REST goes into the audit trail and the log: all that operators ask, logins, what changes
//! users and devices, and refusals.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode};
use godwit_core::ids::Identity;
use godwit_core::rate::{Bucket, Rate};
use parking_lot::Mutex;

use super::peer::Peer;
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
    /// The device that asks, as far as it is known.
    pub(super) fn device(&self) -> Option<Identity> {
        self.who.0.get()?.parse().ok()
    }

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

/// Whether one more may be logged: so many a second, from all together.
fn may_say(bucket: &mut Bucket, now: Instant) -> bool {
    Rate::per_second(REFUSALS_LOGGED_PER_S).is_some_and(|rate| bucket.take(rate, now).is_ok())
}

fn log_refusal(act: &Act<'_>) {
    static BUCKET: Mutex<Option<Bucket>> = Mutex::new(None);
    if may_say(BUCKET.lock().get_or_insert_default(), Instant::now()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_short_and_not_too_much() {
        let long = format!("/v1/users/bob?x={}", "y".repeat(4000));
        let mut request = Request::delete(long).body(axum::body::Body::empty()).unwrap();
        let note = begin(&mut request).unwrap();
        assert!(note.sensitive && note.what.starts_with("DELETE /v1/users/bob?x=yy"));
        assert_eq!(note.what.len(), "DELETE ".len() + AUDIT_PATH_CHARS_MAX);
        let mut metrics = Request::get("/metrics").body(axum::body::Body::empty()).unwrap();
        assert!(begin(&mut metrics).is_none());
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        let said = (0..1000).filter(|_| may_say(&mut bucket, now)).count();
        assert_eq!(said, REFUSALS_LOGGED_PER_S as usize);
    }
}
