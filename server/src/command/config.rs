//! `godwit config check|print|default`

use super::{load, out};
use crate::auth::Doorkeeper;
use crate::auth::keyring::EmbeddedKey;
use crate::cli::ConfigAction;
use crate::config::{self, print};
use crate::failure::Result;
use crate::{listeners, logging};

/// Runs the command.
pub(crate) fn run(action: &ConfigAction) -> Result<()> {
    match action {
        ConfigAction::Check(settings) => {
            let loaded = load(&settings.sources())?;
            logging::filter(&loaded.config.log.filter)?;
            listeners::tls(&loaded.config)?;
            // The issuers' keys are read with a stand-in for the embedded one: a check makes none.
            Doorkeeper::new(&loaded.config, &EmbeddedKey::stand_in(), false)?;
            out("the configuration is good\n")
        }
        ConfigAction::Print(settings) => {
            let loaded = load(&settings.sources())?;
            out(&print::print(&loaded.layers))
        }
        ConfigAction::Default => out(config::DEFAULT),
    }
}
