//! Who asks: an operator by the admin token, or a device by its own.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use godwit_core::ids::Identity;
use godwit_core::membership::{Conversation, Member};

use super::Api;
use super::problem::{Kind, Problem};
use crate::auth::token::Refused;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// An operator, or the app's own server: may do all.
    Admin,
    /// A user's device: may do what the user may.
    Device(Identity),
}

impl Caller {
    /// Whom a store's log names; `None`: an operator.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Admin => None,
            Self::Device(identity) => Some(identity),
        }
    }

    /// The caller's membership; `None`: an operator, who sees all. Errors: a stranger, who is told
    /// the same as if there were no such conversation.
    pub(crate) fn member<'a>(
        &self,
        conversation: &'a Conversation,
    ) -> Result<Option<&'a Member>, Problem> {
        match self.identity() {
            None => Ok(None),
            Some(identity) => {
                conversation.member(&identity.user).map(Some).ok_or_else(Problem::no_conversation)
            }
        }
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let refused = |detail: &'static str| Problem::new(Kind::Unauthorized, detail);
        let shown = parts
            .headers
            .get(AUTHORIZATION)
            .ok_or_else(|| refused("send the header Authorization: Bearer <token>"))?;
        let token = bearer(shown.as_bytes())
            .ok_or_else(|| refused("the header Authorization must be: Bearer <token>"))?;
        if api.admin.is(token) {
            return Ok(Self::Admin);
        }
        match api.door.verify(token) {
            Ok(verified) => Ok(Self::Device(verified.identity)),
            Err(Refused::Bad(why) | Refused::Untimely(why)) => Err(refused(why)),
        }
    }
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_tokens() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for bad in [&b"Basic abc"[..], b"Bearer", b"", b"Bearer\tabc"] {
            assert_eq!(bearer(bad), None);
        }
    }
}
