//! What a CONNECT asks of the layer above: it may take a store, so it runs in tasks of its own, and
//! is waited for no longer than a client is.

use std::sync::Arc;

use bytestring::ByteString;
use godwit_core::edge::{Admitted, Begin, Begun, Code, Outcome, Upstream};
use godwit_core::ids::Identity;
use tokio::sync::oneshot;

use crate::limits::{OPENING_MAX, OPENING_RETRY};
use crate::link::Link;
use crate::shared::Shared;

/// A session that was opened and that no connection has yet: dropped, it is closed again.
pub(crate) struct Fresh {
    begun: Option<Begun>,
    expiry_s: u32,
    shared: Arc<Shared>,
}

impl Fresh {
    /// Gives it to the connection, which closes it at its end.
    pub(crate) fn take(&mut self) -> Option<Begun> {
        self.begun.take()
    }

    /// The right to it has ended: nothing of it is kept.
    pub(crate) fn refuse(mut self) {
        self.expiry_s = 0;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.shared.close(&begun.session, self.expiry_s);
        }
    }
}

/// Opens the session of a device; empty for a client without one.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    admitted: &Admitted,
    begin: Begin,
) -> Result<Fresh, Outcome> {
    let mut fresh = Fresh { begun: None, expiry_s: begin.expiry_s, shared: Arc::clone(shared) };
    let (Some(upstream), Some(_)) = (&shared.upstream, &admitted.identity) else {
        return Ok(fresh);
    };
    let (upstream, link) = (Arc::clone(upstream), Arc::clone(link));
    aside(async move {
        fresh.begun = Some(upstream.open(link, begin).await?);
        Ok(fresh)
    })
    .await
}

/// Whether a will may go to this mounted topic.
pub(crate) async fn ask_for_will(
    upstream: &Arc<dyn Upstream>,
    who: &Identity,
    topic: &ByteString,
) -> Result<(), Outcome> {
    let (upstream, who, topic) = (Arc::clone(upstream), who.clone(), topic.clone());
    aside(async move { upstream.may_publish(&who, &topic).await }).await
}

/// Runs `work` to its end, whatever becomes of who waits for it; an answer that comes too late is
/// dropped.
async fn aside<T: Send + 'static>(
    work: impl Future<Output = Result<T, Outcome>> + Send + 'static,
) -> Result<T, Outcome> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move { drop(tell.send(work.await)) });
    match tokio::time::timeout(OPENING_MAX, told).await {
        Ok(Ok(answer)) => answer,
        // The task died.
        Ok(Err(_)) => Err(Outcome::refused(Code::UNSPECIFIED, "a fault of the server")),
        Err(_) => Err(Outcome::throttled(OPENING_RETRY)),
    }
}
