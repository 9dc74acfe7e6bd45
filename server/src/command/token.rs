//! `godwit token`

use godwit_core::ids::Identity;

use super::{load, out};
use crate::auth::claims::Acl;
use crate::auth::keyring::{self, EmbeddedKey};
use crate::cli::Token;
use crate::clock;
use crate::config::span;
use crate::failure::{Failure, Result};

/// Runs the command: one line, the token.
pub(crate) fn run(asked: &Token) -> Result<()> {
    let config = load(&asked.settings.sources())?.config;
    if asked.ttl > config.auth.token_age_max {
        return Err(Failure::new(
            format!(
                "a token of {} would be refused: auth.token_age_max is {}",
                span::format(asked.ttl),
                span::format(config.auth.token_age_max)
            ),
            "Choose a shorter --ttl, or raise auth.token_age_max at the servers.",
        ));
    }
    // A key made here would sign tokens that no server believes.
    let key =
        EmbeddedKey::existing(&config)?.ok_or_else(|| keyring::missing(&keyring::path(&config)))?;
    let identity = Identity { user: asked.user.clone(), device: asked.device.clone() };
    let acl = (!asked.acl_publish.is_empty() || !asked.acl_subscribe.is_empty()).then(|| Acl {
        publish: asked.acl_publish.clone(),
        subscribe: asked.acl_subscribe.clone(),
    });
    let token = key.mint(&identity, asked.ttl, acl, clock::now_ms())?;
    out(&format!("{}\n", token.expose()))
}
