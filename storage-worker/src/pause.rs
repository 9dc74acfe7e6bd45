//! How the loops wait.

use std::time::Duration;

use tokio::sync::watch;

/// Waits, unless the worker is told to stop; `true`: it was.
pub(crate) async fn pause(wait: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    let stop = stopped.wait_for(|stop| *stop);
    // A closed channel means that the worker itself is gone.
    tokio::time::timeout(wait, stop).await.is_ok()
}
