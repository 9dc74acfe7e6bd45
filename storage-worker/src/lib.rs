//! The storage worker: stage 9, what is derived from the log.
//!
//! Two loops that may lag and heal themselves: the [`relay`] moves events from the outbox into the
//! event stream, and [`retention`] removes what is due. It refuses to be in the way of a send: it
//! only reads what is committed already.

mod metrics;
mod options;
mod pause;
mod relay;
mod retention;

use std::sync::Arc;
use std::time::Duration;

use godwit_core::bus::Stream;
use godwit_core::store::Store;
use godwit_core::tasks::Supervisor;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use options::Options;

/// Gives the worker's metrics their help. Once the recorder is there.
pub fn describe_metrics() {
    metrics::describe();
}

/// Moves what an earlier process has left in the outbox, before this one lets anybody in: whoever
/// connects after that begins at the heads, and is told nothing that was committed before. Gives up
/// after `within` with a line in the log: a store that is away keeps nobody out.
pub async fn clear_outbox(store: Arc<dyn Store>, stream: Arc<dyn Stream>, within: Duration) {
    let cleared = tokio::time::timeout(within, relay::until_empty(store, stream)).await;
    match cleared {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(stage = "derive", %error, "the outbox is left for later"),
        Err(_) => tracing::warn!(stage = "derive", "the outbox is long, and left for later"),
    }
}

/// The running loops.
pub struct Worker {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Starts the loops on the current tokio runtime; `supervisor` is told when one dies.
    #[must_use]
    pub fn start(
        store: Arc<dyn Store>,
        stream: Arc<dyn Stream>,
        supervisor: &Arc<Supervisor>,
        options: Options,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let relay = relay::run(Arc::clone(&store), stream, options.relay_interval, stopped.clone());
        let tasks = vec![
            tokio::spawn(supervisor.watch_part("relay of the outbox", relay)),
            tokio::spawn(
                supervisor.watch_part("retention", retention::run(store, options, stopped)),
            ),
        ];
        Self { stop, tasks }
    }

    /// Ends the loops after the step that each is at.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}
