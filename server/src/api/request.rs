//! What a request brings: ids in the path, JSON in the body. Each refusal says what and where.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::limits::TITLE_CHARS_MAX;
use godwit_core::membership::{History, Role};
use godwit_core::text;
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// What stands behind the `?`, as a struct of optional texts: unknown names are refused.
#[derive(Debug)]
pub(crate) struct Terms<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Terms<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = Query::<T>::try_from_uri(&parts.uri);
        found.map(|Query(terms)| Self(terms)).map_err(|rejection| {
            Problem::bad(format!("the query is not understood: {}", rejection.body_text()))
        })
    }
}

/// A field that may be absent (as it was), null, or a value.
#[allow(clippy::option_option)]
pub(crate) fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A name for people: of a user, of a device.
pub(crate) fn name(text: &str) -> Result<(), Problem> {
    text::line(text, TITLE_CHARS_MAX).map_err(|fault| Problem::bad(format!("name {fault}")))
}

/// `true` or `false` of the query string; absent: `false`.
pub(crate) fn flag(text: Option<&str>, name: &str) -> Result<bool, Problem> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::bad(format!("{name} in the query must be true or false"))),
    }
}

/// The roles by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = Role)]
pub(crate) enum RoleName {
    Owner,
    Admin,
    Member,
    ReadOnly,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
            Role::ReadOnly => Self::ReadOnly,
        }
    }
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Owner => Self::Owner,
            RoleName::Admin => Self::Admin,
            RoleName::Member => Self::Member,
            RoleName::ReadOnly => Self::ReadOnly,
        }
    }
}

/// What newcomers see of what was before, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = History)]
pub(crate) enum HistoryName {
    FromJoin,
    All,
}

impl From<History> for HistoryName {
    fn from(history: History) -> Self {
        match history {
            History::FromJoin => Self::FromJoin,
            History::All => Self::All,
        }
    }
}

impl From<HistoryName> for History {
    fn from(name: HistoryName) -> Self {
        match name {
            HistoryName::FromJoin => Self::FromJoin,
            HistoryName::All => Self::All,
        }
    }
}

/// A whole number of the query string; `default` when it is not there.
pub(crate) fn number(text: Option<&str>, name: &str, default: u64) -> Result<u64, Problem> {
    let Some(text) = text else { return Ok(default) };
    text.parse().map_err(|_| {
        Problem::bad(format!("{name} in the query must be a whole number from 0, as in ?{name}=10"))
    })
}
