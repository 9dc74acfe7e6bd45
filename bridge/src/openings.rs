//! Sessions begin and end in batches, so that a storm of connects is a few statements.

use std::sync::Arc;

use godwit_core::cursor::{Opened, Opening};
use godwit_core::store::{Error, Store};
use tokio::sync::{mpsc, oneshot};

use crate::{limits, retry};

/// An ended session and who waits for it to be noted.
type Closing = (Opening, oneshot::Sender<()>);
/// A beginning session and who waits for what was kept; `None`: the store is away.
type Beginning = (Opening, oneshot::Sender<Option<Opened>>);

/// The two queues to the store.
pub(crate) struct Openings {
    begin: mpsc::Sender<Beginning>,
    end: mpsc::Sender<Closing>,
}

impl Openings {
    /// Starts one task for each queue; they end with the last sender.
    pub(crate) fn start(store: &Arc<dyn Store>) -> Self {
        let (begin, beginnings) = mpsc::channel(limits::SESSIONS_WAITING_MAX);
        let (end, endings) = mpsc::channel(limits::SESSIONS_WAITING_MAX);
        tokio::spawn(run_begin(Arc::clone(store), beginnings));
        tokio::spawn(run_end(Arc::clone(store), endings));
        Self { begin, end }
    }

    /// What was kept for the device; `None`: the store is away, or too many wait.
    pub(crate) async fn open(&self, opening: Opening) -> Option<Opened> {
        let (tell, told) = oneshot::channel();
        self.begin.try_send((opening, tell)).ok()?;
        told.await.ok().flatten()
    }

    /// Forgets what was kept for a device that begins afresh and keeps nothing: there is nothing to
    /// wait for, and whatever it opens later comes behind this in the queue. With a store that is
    /// away just then, what was kept stays until its own expiry. `false`: the queue is full.
    pub(crate) fn forget(&self, opening: Opening) -> bool {
        self.begin.try_send((opening, oneshot::channel().0)).is_ok()
    }

    /// Notes the end; completes when it is stored (or given up by a store that is broken).
    pub(crate) async fn close(&self, closing: Opening) {
        let (tell, told) = oneshot::channel();
        if self.end.send((closing, tell)).await.is_ok() {
            let _ = told.await;
        }
    }
}

async fn run_begin(store: Arc<dyn Store>, mut queue: mpsc::Receiver<Beginning>) {
    let mut taken = Vec::new();
    while queue.recv_many(&mut taken, limits::SESSIONS_PER_STATEMENT).await > 0 {
        let (openings, tells): (Vec<_>, Vec<_>) = taken.drain(..).unzip();
        match store.open_sessions(&openings).await {
            Ok(opened) => {
                for (tell, opened) in tells.into_iter().zip(opened) {
                    // The connection may have gone.
                    let _ = tell.send(Some(opened));
                }
            }
            // The clients are told to come back: waiting here would only fill the queue.
            Err(error) => retry::note("open_sessions", &error),
        }
    }
}

async fn run_end(store: Arc<dyn Store>, mut queue: mpsc::Receiver<Closing>) {
    let mut taken = Vec::new();
    while queue.recv_many(&mut taken, limits::SESSIONS_PER_STATEMENT).await > 0 {
        let (closings, tells): (Vec<_>, Vec<_>) = taken.drain(..).unzip();
        let mut backoff = retry::Backoff::new();
        while let Err(error) = store.close_sessions(&closings).await {
            retry::note("close_sessions", &error);
            if matches!(error, Error::Broken(_)) {
                break;
            }
            tokio::time::sleep(backoff.next()).await;
        }
        for tell in tells {
            let _ = tell.send(());
        }
    }
}
