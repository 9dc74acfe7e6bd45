//! `godwit serve`, and the part of it that `godwit dev` shares.

use super::{block_on, load};
use crate::audit::Audit;
use crate::auth::keyring::{AdminToken, EmbeddedKey};
use crate::cli::Settings;
use crate::failure::Result;
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
        let signals = Signals::listen()?;
        let bound = Bound::bind(&config, |_| false).await?;
        let store = Opened::open(&config).await?;
        store.ensure(Pending::Refuse).await?;
        store.nobody_connected(clock::now_ms()).await?;
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
        until_stopped(running, signals).await;
        Ok(())
    })
}

/// Serves until a signal says stop; then ends gracefully.
pub(crate) async fn until_stopped(running: Running, mut signals: Signals) {
    tracing::info!("ready");
    supervisor::tell(State::Ready);
    while signals.next().await == Wish::Reload {
        running.reload();
    }
    supervisor::tell(State::Stopping);
    running.stop().await;
}
