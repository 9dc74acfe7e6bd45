//! `godwit dev`: a server to try things on, with users, tokens and a conversation.
//!
//! It is `godwit serve` with other defaults. Read on in [`setup`] (ports, certificate), [`people`]
//! (users, tokens, conversation), [`welcome`] (what is printed and written to `dev.json`).

mod certificate;
mod people;
mod setup;
#[cfg(test)]
mod tests;
mod welcome;

use crate::audit::Audit;
use crate::auth::keyring::{AdminToken, EmbeddedKey};
use crate::cli::Dev;
use crate::command::serve::until_stopped;
use crate::command::{block_on, out};
use crate::failure::Result;
use crate::lease::Lease;
use crate::listeners::Bound;
use crate::lock::DataLock;
use crate::signals::Signals;
use crate::store::{Opened, Pending};
use crate::wire::{self, Parts};
use crate::{clock, exposure, files, logging, metrics};
use welcome::Welcome;

/// Runs the command until a signal ends it.
pub(crate) fn run(asked: &Dev) -> Result<()> {
    let loaded = setup::load(asked)?;
    let config = loaded.config.clone();
    if asked.open {
        setup::refuse_beyond_loopback(&config)?;
    }
    logging::start(&config.log)?;
    let reachable = exposure::dev_reachable(&config);
    for warning in &reachable {
        tracing::warn!("{warning}");
    }
    let data_dir = config.server.data_dir.clone();
    let _lock = DataLock::take(&data_dir)?;
    let record = data_dir.join("dev.json");
    welcome::remove(&record);
    block_on(config.server.worker_threads, async {
        let signals = Signals::listen()?;
        let bound = Bound::bind(&config, |name| setup::may_move(asked, &loaded, name)).await?;
        let store = Opened::open(&config).await?;
        let lease = Lease::take(&store).await?;
        store.ensure(Pending::Apply).await?;
        let lease = lease.keep(&store).await?;
        store.nobody_connected(clock::now_ms()).await?;
        store.mend_cursors().await;
        let now_ms = clock::now_ms();
        let conversation = people::conversation(&*store.port(), &data_dir, now_ms).await?;
        let (key, admin) = (EmbeddedKey::load(&config)?, AdminToken::load(&config)?);
        let welcome = Welcome {
            users: people::tokens(&key, &config, now_ms)?,
            admin: admin.secret(),
            conversation,
            moved: setup::moved(&config, &bound),
            addresses: bound.addresses.clone(),
            open: asked.open,
            reachable,
            data_dir: data_dir.clone(),
        };
        for warning in exposure::warnings(&config) {
            tracing::warn!("{warning}");
        }
        let audit = Audit::start(&config)?;
        let metrics = metrics::install()?;
        let open = asked.open;
        let running =
            wire::start(Parts { config, bound, store, key, admin, metrics, audit, open }).await?;
        if open {
            tracing::warn!("OPEN: anonymous clients may do everything on plain topics");
        }
        files::replace(&record, &welcome.record())?;
        // Nobody may be reading; the server serves all the same.
        let printed = out(&welcome.text());
        let ended = until_stopped(running, signals, lease).await;
        welcome::remove(&record);
        ended.and(printed)
    })
}
