//! `godwit admin list|add|remove`

use super::{load, out};
use crate::auth::operators::{self, AdminToken};
use crate::cli::AdminAction;
use crate::failure::Result;
use crate::files;

/// Runs the command.
pub(crate) fn run(action: &AdminAction) -> Result<()> {
    match action {
        AdminAction::List(settings) => {
            let config = load(&settings.sources())?.config;
            let tokens = AdminToken::existing(&config)?
                .ok_or_else(|| operators::missing(&operators::path(&config)))?;
            let lines: String =
                tokens.list().iter().map(|(name, scopes)| format!("{name} {scopes}\n")).collect();
            out(&lines)
        }
        AdminAction::Add(asked) => {
            let config = load(&asked.settings.sources())?.config;
            files::data_dir(&config.server.data_dir)?;
            let token = AdminToken::add(&config, &asked.name, &asked.scopes)?;
            out(&format!("{}\n", token.expose()))
        }
        AdminAction::Remove(asked) => {
            let config = load(&asked.settings.sources())?.config;
            AdminToken::remove(&config, &asked.name)?;
            out(&format!(
                "the token of {} is refused from the next start or SIGHUP on\n",
                asked.name
            ))
        }
    }
}
