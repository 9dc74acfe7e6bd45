//! `godwit key list|add|remove`

use super::{load, out};
use crate::auth::keyring::{self, EmbeddedKey};
use crate::cli::KeyAction;
use crate::failure::Result;
use crate::files;

/// Runs the command.
pub(crate) fn run(action: &KeyAction) -> Result<()> {
    match action {
        KeyAction::List(settings) => {
            let config = load(&settings.sources())?.config;
            let keys = EmbeddedKey::existing(&config)?
                .ok_or_else(|| keyring::missing(&keyring::path(&config)))?;
            let lines: String = keys
                .names()
                .iter()
                .enumerate()
                .map(|(place, name)| {
                    let what = if place == 0 { "signs" } else { "is believed" };
                    format!("{} {what}\n", name.as_deref().unwrap_or("-"))
                })
                .collect();
            out(&lines)
        }
        KeyAction::Add(asked) => {
            let config = load(&asked.settings.sources())?.config;
            files::data_dir(&config.server.data_dir)?;
            EmbeddedKey::add(&config, &asked.name)?;
            out(&format!(
                "{} signs from the next start or SIGHUP of each server on; older keys are still \
                 believed\n",
                asked.name
            ))
        }
        KeyAction::Remove(asked) => {
            let config = load(&asked.settings.sources())?.config;
            let name = (asked.name != "-").then_some(asked.name.as_str());
            EmbeddedKey::remove(&config, name)?;
            out(&format!(
                "tokens of {} are refused from the next start or SIGHUP of each server on\n",
                asked.name
            ))
        }
    }
}
