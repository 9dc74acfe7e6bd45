//! Who is there to try things with: alice and bob, their tokens, and a conversation.

use std::path::Path;

use godwit_core::ids::{ConversationId, DeviceId, Identity, UserId};
use godwit_core::membership::{ConversationKind, Details, NewConversation, Role};
use godwit_core::store::Store;

use crate::auth::keyring::EmbeddedKey;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::limits::DEV_TOKEN_TTL;
use crate::secret::Secret;
use crate::{clock, files};

/// The devices that get tokens.
const DEVICES: [(&str, &str); 3] = [("alice", "phone"), ("alice", "laptop"), ("bob", "phone")];

/// A device with its token.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) user: &'static str,
    pub(super) device: &'static str,
    pub(super) token: Secret,
}

fn defect(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("godwit dev's own names are refused: {error}"), "This is a defect.")
}

/// Mints the tokens, valid for 30 days (or as long as the configuration allows).
pub(super) fn tokens(key: &EmbeddedKey, config: &Config, now_ms: u64) -> Result<Vec<Person>> {
    DEVICES
        .iter()
        .map(|(user, device)| {
            let identity = Identity {
                user: UserId::new(user).map_err(defect)?,
                device: DeviceId::new(device).map_err(defect)?,
            };
            let token =
                key.mint(&identity, DEV_TOKEN_TTL.min(config.auth.token_age_max), None, now_ms)?;
            Ok(Person { user, device, token })
        })
        .collect()
}

/// The conversation between alice and bob: its id is kept in the data directory, and creating it
/// again with the same id changes nothing.
pub(super) async fn conversation(
    store: &dyn Store,
    data_dir: &Path,
    now_ms: u64,
) -> Result<ConversationId> {
    let path = data_dir.join("dev-conversation");
    let text = files::private(&path, || Ok(ConversationId(clock::random()?).to_string()))?;
    let id: ConversationId = text.trim().parse().map_err(|error| {
        Failure::new(
            format!("{} holds no conversation id: it {error}", path.display()),
            "Remove the file: a new conversation is made.",
        )
    })?;
    let member = |name| UserId::new(name).map(|user| (user, Role::Member)).map_err(defect);
    let new = NewConversation {
        id,
        kind: ConversationKind::Direct,
        members: vec![member("alice")?, member("bob")?],
        details: Details::default(),
        time_ms: now_ms,
        // It is there before anybody is: its log is empty, and the first message is the first entry.
        founding: None,
    };
    let made = store.create(&new).await.map_err(|error| {
        Failure::new(
            format!("the conversation of alice and bob cannot be made: {error}"),
            "Check that the data directory is writable and its disk not full.",
        )
    })?;
    Ok(made.id)
}
