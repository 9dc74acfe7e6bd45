//! Who asks: an operator by the admin token, or a device by its own.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use godwit_core::ids::{Identity, Seq, UserId};
use godwit_core::membership::{Conversation, Member};

use super::audited::Who;
use super::problem::{Kind, Problem};
use super::{Api, request};
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

    /// Whose idempotency keys these are. An identity has a colon, so no device is the operator.
    pub(crate) fn scope(&self) -> String {
        match self {
            Self::Admin => "operator".to_owned(),
            Self::Device(identity) => identity.to_string(),
        }
    }

    /// Whose things are asked for: a device's own user, or whom an operator names by `?user=`.
    pub(crate) fn subject(&self, named: Option<&str>) -> Result<UserId, Problem> {
        let named = named.map(|text| request::user_id(text, "user of the query")).transpose()?;
        match (self, named) {
            (Self::Admin, Some(user)) => Ok(user),
            (Self::Admin, None) => {
                Err(Problem::bad("with the admin token say whose it is: ?user=..."))
            }
            (Self::Device(own), named) => match named {
                Some(other) if other != own.user => Err(Problem::new(
                    Kind::Forbidden,
                    "a device's token is good for its own user only",
                )),
                _ => Ok(own.user.clone()),
            },
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
        let note = |who: String| {
            if let Some(asking) = parts.extensions.get::<Who>() {
                asking.is(who);
            }
        };
        if let Some(operator) = api.admin.operator(token) {
            note(format!("operator:{}", operator.name));
            if operator.may(&parts.method, parts.uri.path()) {
                return Ok(Self::Admin);
            }
            let detail = "this admin token is not good for that: its scopes are others";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        match api.door.verify(token) {
            Ok(verified) => {
                note(verified.identity.to_string());
                api.rates.caller(&verified.identity)?;
                Ok(Self::Device(verified.identity))
            }
            Err(Refused::Bad(why) | Refused::Untimely(why)) => Err(refused(why)),
        }
    }
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

impl Api {
    /// The conversation that the path names, and the place above which the caller may see its log.
    /// Errors: no id, none, or none of the caller's.
    pub(super) async fn seen_by(
        &self,
        caller: &Caller,
        cid: &str,
    ) -> Result<(Conversation, Seq), Problem> {
        let id = request::conversation_id(cid)?;
        // A stranger learns it from one row, however many members there are.
        if let Some(identity) = caller.identity() {
            let member = self.store.member(id, &identity.user).await?;
            member.ok_or_else(Problem::no_conversation)?;
        }
        let found = self.store.conversation(id).await?.ok_or_else(Problem::no_conversation)?;
        let floor = caller.member(&found)?.map_or(Seq::ZERO, |member| member.visible_seq);
        Ok((found, floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_things() {
        let device = Caller::Device("alice:phone".parse().unwrap());
        let subject = |caller: &Caller, named| caller.subject(named).ok().map(|u| u.to_string());
        assert_eq!(subject(&device, None).as_deref(), Some("alice"));
        assert_eq!(subject(&device, Some("alice")).as_deref(), Some("alice"));
        assert_eq!(subject(&device, Some("bob")), None);
        assert_eq!(subject(&Caller::Admin, Some("bob")).as_deref(), Some("bob"));
        assert_eq!(subject(&Caller::Admin, Some("b/b")), None);
        assert_eq!(subject(&Caller::Admin, None), None);
        assert_eq!(
            (device.scope(), Caller::Admin.scope()),
            ("alice:phone".into(), "operator".into())
        );
    }

    #[test]
    fn bearer_tokens() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for bad in [&b"Basic abc"[..], b"Bearer", b"", b"Bearer\tabc"] {
            assert_eq!(bearer(bad), None);
        }
    }
}
