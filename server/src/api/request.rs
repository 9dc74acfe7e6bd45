//! What a request brings: ids in the path, JSON in the body. Each refusal says what and where.

use axum::body::Bytes;
use godwit_core::ids::{ConversationId, UserId};
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};

/// The conversation id in the path.
pub(crate) fn conversation_id(text: &str) -> Result<ConversationId, Problem> {
    text.parse().map_err(|error| {
        Problem::new(Kind::BadRequest, format!("the conversation id in the path {error}"))
    })
}

/// A user id; `place` says where it stood.
pub(crate) fn user_id(text: &str, place: &str) -> Result<UserId, Problem> {
    UserId::new(text)
        .map_err(|error| Problem::new(Kind::BadRequest, format!("the user id in {place} {error}")))
}

/// User ids, in order, each once.
pub(crate) fn user_ids(texts: &[String], place: &str) -> Result<Vec<UserId>, Problem> {
    let mut users: Vec<UserId> = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        users.push(user_id(text, &format!("{place}[{i}]"))?);
    }
    let mut seen = std::collections::HashSet::with_capacity(users.len());
    users.retain(|user| seen.insert(user.clone()));
    Ok(users)
}

/// The body as JSON, whatever its Content-Type says.
pub(crate) fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = if body.is_empty() {
            "the body is empty; send JSON".to_owned()
        } else {
            format!("the body is not the JSON that is expected: {error}")
        };
        Problem::new(Kind::BadRequest, format!("{detail}. See /openapi.json"))
    })
}

/// A whole number of the query string; `default` when it is not there.
pub(crate) fn number(text: Option<&str>, name: &str, default: u64) -> Result<u64, Problem> {
    let Some(text) = text else { return Ok(default) };
    text.parse().map_err(|_| {
        Problem::new(
            Kind::BadRequest,
            format!("{name} in the query must be a whole number from 0, as in ?{name}=10"),
        )
    })
}
