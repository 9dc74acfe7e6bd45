//! Rights do not outlive the token that gave them: kept plain subscriptions are held against the
//! rights in force at each opening of the session and at each fresh token.

use std::sync::Arc;

use godwit_core::edge::{Action, Admitted, Code, Delivery};

use crate::client::Client;
use crate::connection::{Busy, BusyKind, Connection};
use crate::filter::matches;
use crate::shared::Shared;

impl Shared {
    /// Ends the client's plain filters that `who` may not read any more, with what waits for the
    /// client of them; returns them.
    pub(crate) fn recheck(&self, client: &Arc<Client>, who: &Admitted) -> Vec<String> {
        let mut ended = Vec::new();
        for filter in client.filters() {
            let grant = self.gate.authorize(who, Action::Subscribe(&filter));
            if !grant.plain.iter().any(|allowed| **allowed == *filter) {
                self.unsubscribe_plain(client, &filter);
                ended.push(filter.into_string());
            }
        }
        if !ended.is_empty() {
            let left = client.filters();
            client.retain_plain(|delivery| is_read(&left, delivery));
            tracing::info!(
                stage = "session",
                client.id = %client.id,
                count = ended.len(),
                "subscriptions end with the right to them"
            );
        }
        ended
    }
}

/// Whether one of the filters brings this.
pub(crate) fn is_read(filters: &[Box<str>], delivery: &Delivery) -> bool {
    filters.iter().any(|filter| matches(filter, &delivery.message.topic))
}

impl Connection {
    /// A fresh token may allow less than the one before.
    pub(crate) fn recheck(&mut self) {
        let ended = self.shared.recheck(&self.client, &self.admitted);
        if !ended.is_empty() {
            let left = self.client.filters();
            self.inflight.retain_again(|delivery| is_read(&left, delivery));
            self.end_stored(ended);
        }
    }

    /// What has ended here ends where it is kept, too. Nothing is read from the client meanwhile.
    pub(crate) fn end_stored(&mut self, filters: Vec<String>) {
        let Some(session) = self.session.clone() else { return };
        let task = tokio::spawn(async move {
            let codes = session.unsubscribe(filters).await;
            if codes.iter().any(|code| code.is_error() && *code != Code::NOT_AUTHORIZED) {
                // They are looked at again when the session is opened next.
                tracing::warn!(stage = "session", "subscriptions without a right stay stored");
            }
            codes
        });
        self.busy = Some(Box::new(Busy { kind: BusyKind::Revoked, task }));
    }
}
