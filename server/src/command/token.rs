//! `godwit token`

use godwit_core::ids::Identity;

use super::{load, out};
use crate::auth::keyring::EmbeddedKey;
use crate::auth::token::Acl;
use crate::cli::Token;
use crate::config::span;
use crate::failure::{Failure, Result};
use crate::{clock, files};

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
    files::data_dir(&config.server.data_dir)?;
    let identity = Identity { user: asked.user.clone(), device: asked.device.clone() };
    let acl = (!asked.acl_publish.is_empty() || !asked.acl_subscribe.is_empty()).then(|| Acl {
        publish: asked.acl_publish.clone(),
        subscribe: asked.acl_subscribe.clone(),
    });
    let token = EmbeddedKey::load(&config)?.mint(&identity, asked.ttl, acl, clock::now_ms())?;
    out(&format!("{}\n", token.expose()))
}
