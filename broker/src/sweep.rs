//! Deadlines that need no better than a second: silence, expiry of rights, stuck writes, wills,
//! kept sessions. One loop over all clients, instead of a timer for each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use godwit_core::edge::{Code, Downlink as _};
use tokio::sync::watch;

use crate::client::Client;
use crate::clock::{now_s, unix_ms};
use crate::link::Link;
use crate::metrics;
use crate::shared::Shared;

pub(crate) async fn run(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    loop {
        let stop = stopped.wait_for(|stop| *stop);
        if tokio::time::timeout(Duration::from_secs(1), stop).await.is_ok() {
            return;
        }
        let now = now_s();
        let mut queues = metrics::Queues::default();
        shared.registry.each(|client| {
            // Each client is looked at for itself: a fault with one stops nothing for the others.
            if catch_unwind(AssertUnwindSafe(|| sweep(&shared, client, now))).is_err() {
                tracing::error!(stage = "session", client.id = %client.id, "a sweep panicked");
            }
            queues.add(client.link().map(|link| link.queued()).unwrap_or_default());
        });
        queues.tell();
    }
}

fn sweep(shared: &Arc<Shared>, client: &Arc<Client>, now_s: u32) {
    if let Some(link) = client.link() {
        check_link(shared, &link, now_s);
        // Who has a connection holds the turn. Without it, its task died on the way in or out.
        if let Some(_turn) = client.try_turn()
            && client.link().is_some()
        {
            tracing::error!(stage = "session", "a connection died without an end; it is taken out");
            link.end();
            client.detach(None, None, shared.router.bound());
            shared.end_session(client);
        }
        return;
    }
    let (will, over) = client.due(now_s);
    if let Some(will) = will {
        shared.fire(*will);
    }
    // A connection that is just beginning holds the turn.
    if over && let Some(_turn) = client.try_turn() {
        client.forget_kept();
        shared.end_session(client);
    }
}

fn check_link(shared: &Shared, link: &Link, now_s: u32) {
    let silence_s = link.silence_s.load(Ordering::Relaxed);
    let heard_s = link.heard_s.load(Ordering::Relaxed);
    // [MQTT-3.1.2-22]
    let paused = link.is_paused.load(Ordering::Relaxed);
    if silence_s > 0 && !paused && now_s.saturating_sub(heard_s) > silence_s {
        metrics::heartbeat_failed();
        link.close(Code::KEEP_ALIVE_TIMEOUT);
    }
    let expires_ms = link.expires_ms.load(Ordering::Relaxed);
    if expires_ms > 0 && unix_ms() >= expires_ms {
        link.close(Code::NOT_AUTHORIZED);
    }
    let stalled_s = link.stalled_s.load(Ordering::Relaxed);
    let stall_max_s = u32::try_from(shared.options.write_stall_max.as_secs()).unwrap_or(u32::MAX);
    if stalled_s > 0 && now_s.saturating_sub(stalled_s) > stall_max_s {
        tracing::debug!(stage = "deliver", "a client that takes no bytes is cut");
        link.close(Code::QUOTA_EXCEEDED);
    }
}
