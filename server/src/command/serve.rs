//! `godwit serve`, and the part of it that `godwit dev` shares.

use super::{block_on, load};
use crate::audit::Audit;
use crate::auth::keyring::{AdminToken, EmbeddedKey};
use crate::cli::Settings;
use crate::config::Config;
use crate::failure::Result;
use crate::lease::{Kept, Lease};
use crate::listeners::Bound;
use crate::lock::DataLock;
use crate::signals::{Signals, Wish};
use crate::store::{Opened, Pending};
use crate::supervisor::{self, State};
use crate::wire::{self, Parts, Running};
use crate::{clock, exposure, files, logging, metrics};

/// Runs the command until a signal ends it.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    let config = load(&settings.sources())?.config;
    logging::start(&config.log)?;
    for warning in exposure::in_the_clear(&config) {
        tracing::warn!("{warning}");
    }
    files::data_dir(&config.server.data_dir)?;
    let _lock = DataLock::take(&config.server.data_dir)?;
    block_on(config.server.worker_threads, async {
        let mut signals = Signals::listen()?;
        let bound = Bound::bind(&config, |_| false).await?;
        let Some(store) = open(&config, &mut signals).await? else { return Ok(()) };
        let lease = Lease::take(&store).await?;
        store.ensure(Pending::Refuse).await?;
        let lease = lease.keep(&store).await?;
        store.nobody_connected(clock::now_ms()).await?;
        store.mend_cursors().await;
        let parts = Parts {
            key: EmbeddedKey::load(&config)?,
            admin: AdminToken::load(&config)?,
            metrics: metrics::install()?,
            audit: Audit::start(&config)?,
            open: false,
            config,
            bound,
            store,
        };
        for warning in exposure::warnings(&parts.config) {
            tracing::warn!("{warning}");
        }
        let running = wire::start(parts).await?;
        until_stopped(running, signals, lease).await
    })
}

/// Opens the store as soon as it is there; `None`: a signal said stop before.
async fn open(config: &Config, signals: &mut Signals) -> Result<Option<Opened>> {
    let mut opening = std::pin::pin!(Opened::open_patiently(config));
    loop {
        tokio::select! {
            store = &mut opening => return store.map(Some),
            wish = signals.next() => if wish == Wish::Stop {
                return Ok(None);
            },
        }
    }
}

/// The exit code after a task has died: not 2, so whoever watches the process starts it again.
const DIED: i32 = 1;

/// Serves until a signal says stop, the store is another's, or a task has died that nothing works
/// without (half a server answers its probes and keeps nobody's promise); then ends gracefully.
pub(crate) async fn until_stopped(
    running: Running,
    mut signals: Signals,
    mut lease: Kept,
) -> Result<()> {
    tracing::info!("ready");
    supervisor::tell(State::Ready);
    let mut death = None;
    let ended = loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => running.reload(),
                Wish::Stop => break Ok(()),
            },
            lost = lease.lost() => break Err(lost),
            died = running.died() => {
                tracing::error!(task = died.task, why = %died.why, "a task died: the process ends");
                death = Some(died);
                break Ok(());
            }
        }
    };
    supervisor::tell(State::Stopping);
    running.stop(lease).await;
    if death.is_some() {
        logging::flush();
        std::process::exit(DIED);
    }
    ended
}
