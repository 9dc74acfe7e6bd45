//! `godwit migrate status|up`

use super::{block_on, load, out};
use crate::cli::MigrateAction;
use crate::config::StoreKind;
use crate::failure::Result;
use crate::files;
use crate::lock::DataLock;
use crate::store::Opened;

/// Runs the command. `status` ends with failure (exit code 2) only when it cannot look.
pub(crate) fn run(action: &MigrateAction) -> Result<()> {
    let (settings, up) = match action {
        MigrateAction::Status(settings) => (settings, false),
        MigrateAction::Up(settings) => (settings, true),
    };
    let config = load(&settings.sources())?.config;
    let mut lock = None;
    if config.store.kind == StoreKind::Sqlite {
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
        out(&format!("{}\n", state?))
    })
}
