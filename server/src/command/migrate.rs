//! `godwit migrate status|up`

use super::{block_on, load, out};
use crate::cli::MigrateAction;
use crate::config::StoreKind;
use crate::failure::Result;
use crate::files;
use crate::lock::DataLock;
use crate::store::{Opened, newer, sqlite_file};

/// Runs the command. `Ok(false)`: something is to be applied.
pub(crate) fn run(action: &MigrateAction) -> Result<bool> {
    let (settings, up) = match action {
        MigrateAction::Status(settings) => (settings, false),
        MigrateAction::Up(settings) => (settings, true),
    };
    let config = load(&settings.sources())?.config;
    let mut lock = None;
    if config.store.kind == StoreKind::Sqlite {
        let file = sqlite_file(&config);
        if !up && !file.exists() {
            out(&format!(
                "there is no database {} yet, all is to apply: run `godwit migrate up`, or start the \
                 server\n",
                file.display()
            ))?;
            return Ok(false);
        }
        files::data_dir(&config.server.data_dir)?;
        if up {
            lock = Some(DataLock::take(&config.server.data_dir)?);
        }
    }
    block_on(1, async {
        let store = Opened::open(&config).await?;
        let state = if up { store.up().await } else { store.status().await };
        store.close().await;
        drop(lock);
        let state = state?;
        if state.newer_than_us {
            return Err(newer(state));
        }
        out(&format!("{state}\n"))?;
        Ok(state.is_current())
    })
}
