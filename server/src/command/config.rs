//! `godwit config check|print|default`

use super::{load, out};
use crate::auth::Doorkeeper;
use crate::auth::keyring::{AdminToken, EmbeddedKey};
use crate::cli::ConfigAction;
use crate::config::{self, print};
use crate::failure::Result;
use crate::{exposure, listeners, logging};

/// Runs the command.
pub(crate) fn run(action: &ConfigAction) -> Result<()> {
    match action {
        ConfigAction::Check(settings) => {
            let loaded = load(&settings.sources())?;
            logging::filter(&loaded.config.log.filter)?;
            listeners::tls(&loaded.config)?;
            // Where there is no embedded key yet, one stands in: a check makes none.
            let key = EmbeddedKey::existing(&loaded.config)?;
            let key = key.unwrap_or_else(EmbeddedKey::stand_in);
            Doorkeeper::new(&loaded.config, &key, false)?;
            AdminToken::existing(&loaded.config)?;
            for warning in exposure::warnings(&loaded.config)
                .into_iter()
                .chain(exposure::in_the_clear(&loaded.config))
            {
                eprintln!("warning: {warning}");
            }
            out("the configuration is good\n")
        }
        ConfigAction::Print(settings) => {
            let loaded = load(&settings.sources())?;
            out(&print::print(&loaded.layers))
        }
        ConfigAction::Default => out(config::DEFAULT),
    }
}
