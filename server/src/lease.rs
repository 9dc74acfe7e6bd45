//! One serving process for one store: the lease on the store itself.
//!
//! Two processes on one store would each commit, but not tell each other's devices. The second is
//! refused; a holder that crashed lets go by itself (the kernel's lock on a file, Postgres' lock of a
//! connection), so a restart waits for a moment only. A lease that was lost, and that somebody else
//! has meanwhile, ends the process.

use std::time::{Duration, Instant};

use godwit_core::store::{self, Holder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock;
use crate::failure::{Failure, Result};
use crate::limits::{LEASE_BEAT, LEASE_BEATS_MAX, LEASE_LOOK, LEASE_WAIT_MAX};
use crate::store::{HeldLease, Opened};

/// The lease of this process.
#[derive(Debug)]
pub(crate) struct Lease {
    held: HeldLease,
    own: Holder,
}

/// The lease while it is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    beating: JoinHandle<()>,
    stop: watch::Sender<bool>,
    lost: watch::Receiver<Option<String>>,
}

impl Lease {
    /// Takes the lease, or says who holds it. Waits while the holder shows no sign of life, as long as
    /// a lock may outlive a machine that has vanished.
    pub(crate) async fn take(store: &Opened) -> Result<Self> {
        let own = own()?;
        let begun = Instant::now();
        let mut seen: Option<Holder> = None;
        loop {
            match store.try_lease().await {
                Ok(Some(held)) => return Ok(Self { held, own }),
                Ok(None) => {}
                Err(error @ store::Error::Unavailable(_)) => {
                    tracing::warn!(%error, "waiting for the store to give the lease");
                }
                Err(error) => return Err(unreadable(&error)),
            }
            // A schema from before the lease says nothing.
            if let Ok(holder) = store.holder().await {
                let lives = seen.as_ref().is_some_and(|seen| *seen != holder);
                if lives || begun.elapsed() > LEASE_WAIT_MAX {
                    return Err(held_by(&holder));
                }
                seen.get_or_insert(holder);
            } else if begun.elapsed() > LEASE_WAIT_MAX {
                return Err(held_by(&Holder::default()));
            }
            tokio::time::sleep(LEASE_LOOK).await;
        }
    }

    /// Writes who holds it, and goes on doing so.
    pub(crate) async fn keep(mut self, store: &Opened) -> Result<Kept> {
        self.own.heartbeat_ms = clock::now_ms();
        self.held.beat(&self.own).await.map_err(|error| unreadable(&error))?;
        let (stop, stopped) = watch::channel(false);
        let (tell, lost) = watch::channel(None);
        let beating = tokio::spawn(beat(self, store.clone(), stopped, tell));
        Ok(Kept { beating, stop, lost })
    }
}

impl Kept {
    /// Waits until the lease is lost: who has it now.
    pub(crate) async fn lost(&mut self) -> Failure {
        match self.lost.wait_for(Option::is_some).await {
            Ok(name) => Failure::new(
                format!(
                    "this server has lost its store to {}",
                    name.as_deref().unwrap_or("another")
                ),
                "Its connection was cut, and another godwit took its place. Only one of them may serve.",
            ),
            // The task ends without a word at `release` only, which nobody waits beside.
            Err(_) => Failure::new(
                "the task that keeps the lease on the store died".to_owned(),
                "This is a defect. Another server may take the store, so this one ends.",
            ),
        }
    }

    /// Gives it back.
    pub(crate) async fn release(self) {
        self.stop.send_replace(true);
        // A store that hangs shall not hold up the end.
        let _ = tokio::time::timeout(LEASE_BEAT, self.beating).await;
    }
}

async fn beat(
    lease: Lease,
    store: Opened,
    mut stopped: watch::Receiver<bool>,
    lost: watch::Sender<Option<String>>,
) {
    let Lease { mut held, mut own } = lease;
    let mut failed = 0;
    loop {
        let stop = stopped.wait_for(|stop| *stop);
        if tokio::time::timeout(LEASE_BEAT, stop).await.is_ok() {
            return held.release().await;
        }
        own.heartbeat_ms = clock::now_ms();
        match held.beat(&own).await {
            Ok(()) => failed = 0,
            Err(error) if held.outlives_errors() => {
                failed += 1;
                if failed <= LEASE_BEATS_MAX {
                    tracing::warn!(%error, "the lease on the store is held, but not written");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the connection that holds the lease is lost: taking it again");
                match again(&store, &own, &mut stopped).await {
                    Again::Held(new) => held = new,
                    Again::Lost(name) => {
                        tracing::error!(holder = name, "another server has this one's store");
                        lost.send_replace(Some(name));
                        return;
                    }
                    Again::Stopped => return,
                }
            }
        }
    }
}

enum Again {
    Held(HeldLease),
    Lost(String),
    Stopped,
}

/// Takes the lease again after its connection was lost, unless somebody else was faster.
async fn again(store: &Opened, own: &Holder, stopped: &mut watch::Receiver<bool>) -> Again {
    loop {
        match store.try_lease().await {
            Ok(Some(held)) => {
                tracing::info!("the lease on the store is held again");
                return Again::Held(held);
            }
            // The old connection may still hold it; or another process does, and has said so.
            Ok(None) => {
                if let Ok(holder) = store.holder().await
                    && holder.owner != own.owner
                {
                    return Again::Lost(holder.name);
                }
            }
            Err(error) => tracing::debug!(%error, "the lease waits for the store"),
        }
        let stop = stopped.wait_for(|stop| *stop);
        if tokio::time::timeout(LEASE_LOOK, stop).await.is_ok() {
            return Again::Stopped;
        }
    }
}

fn own() -> Result<Holder> {
    let owner =
        clock::random::<16>()?.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let machine = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    let machine = machine.as_deref().map_or("a machine without a name", str::trim);
    let name = format!("process {} on {machine}", std::process::id());
    Ok(Holder { owner, name, heartbeat_ms: 0 })
}

fn held_by(holder: &Holder) -> Failure {
    let age = Duration::from_millis(clock::now_ms().saturating_sub(holder.heartbeat_ms));
    let who = match holder.name.as_str() {
        "" => "by a process that has not said its name".to_owned(),
        name => format!("by {name}, whose last sign of life was {} s ago", age.as_secs()),
    };
    Failure::new(
        format!("another godwit serves from this store: it is held {who}"),
        "Stop it first. Two servers on one store would not tell each other's devices.\nIf its machine \
         is gone, its lock falls within some seconds: start again then.",
    )
}

fn unreadable(error: &store::Error) -> Failure {
    Failure::new(
        format!("the lease on the store cannot be taken: {error}"),
        "Check that the database's user may write, and that the database's directory is writable.",
    )
}
