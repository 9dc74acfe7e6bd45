//! A request that changes something: who asks, its body, the state that it names, and the
//! idempotency key that makes a repetition safe.
//!
//! A key is claimed in the store for the caller and the request's fingerprint; used for another
//! request it is refused (422). What the request makes is then named after the key: the conversation
//! that it creates, and the key under which the log knows its entry. So a repetition, also after a
//! crash and at another process, finds what the first one did and is told that. What keeps no such
//! name (settings, marks, receipts) ends in the same state however often it is asked.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::{HeaderMap, StatusCode};
use godwit_core::commit::SendKey;
use godwit_core::ids::{ConversationId, MessageId};
use godwit_core::people::Claim;
use sha2::{Digest as _, Sha256};

use super::Api;
use super::caller::Caller;
use super::if_match::IfMatch;
use super::problem::{Kind, Problem, TooMuch};
use crate::clock;
use crate::limits::IDEMPOTENCY_KEY_CHARS_MAX;

/// The header's name, as documents write it.
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// A request that changes something.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Who asks.
    pub(crate) caller: Caller,
    /// The body as sent.
    pub(crate) body: Bytes,
    /// The state that it names.
    pub(crate) if_match: IfMatch,
    key: Key,
}

impl Asked {
    /// Whether there is an idempotency key.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_there()
    }

    /// Claims the idempotency key, if there is one. To be called when the request is understood: one
    /// that is refused before uses up no key.
    pub(crate) async fn claim(&self, api: &Api) -> Result<Names, Problem> {
        self.key.claim(api, &self.caller.scope(), &self.body).await
    }

    /// As [`Asked::claim`], for a body that holds a secret: not even its hash is stored, so the key
    /// is held to method and path alone.
    pub(crate) async fn claim_without_body(&self, api: &Api) -> Result<Names, Problem> {
        self.key.claim(api, &self.caller.scope(), b"").await
    }
}

impl FromRequest<Arc<Api>> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, api).await?;
        let if_match = IfMatch::of(&parts.headers)?;
        let request = Request::from_parts(parts, body);
        let key = Key::of(&request)?;
        Ok(Self { caller, body: body_of(request).await?, if_match, key })
    }
}

/// The body, up to the router's bound.
pub(crate) async fn body_of(request: Request) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE || TooMuch::caused(&rejection) {
            return Problem::too_large();
        }
        Problem::bad("the body could not be read to its end")
    })
}

/// The idempotency key of a request, with what it is for.
#[derive(Debug)]
pub(crate) struct Key {
    text: Option<String>,
    /// Method, path and query.
    line: String,
}

impl Key {
    /// Reads the header. Errors: it is no key.
    pub(crate) fn of(request: &Request) -> Result<Self, Problem> {
        let line = format!("{} {}", request.method(), request.uri());
        Ok(Self { text: read(request.headers())?, line })
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.text.is_some()
    }

    /// Claims it for `caller` and this request with this body.
    pub(crate) async fn claim(
        &self,
        api: &Api,
        caller: &str,
        body: &[u8],
    ) -> Result<Names, Problem> {
        let Some(key) = &self.text else { return Ok(Names { seed: None }) };
        let mut hash = Sha256::new();
        // Neither a method nor a URI holds a NUL.
        hash.update(&self.line);
        hash.update([0]);
        hash.update(body);
        let fingerprint: [u8; 32] = hash.finalize().into();
        match api.store.claim_key(caller, key, &fingerprint, clock::now_ms()).await? {
            Claim::Yours => Ok(Names { seed: Some(seed(caller, key, &fingerprint)) }),
            Claim::Another => Err(Problem::new(
                Kind::KeyReused,
                "the header Idempotency-Key was used within the last day for another request; \
                 choose a fresh one for each",
            )),
        }
    }
}

fn read(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let bytes = value.as_bytes();
    let fine = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_graphic)
        && all.next().is_none();
    let text = value.to_str().ok().filter(|_| fine).ok_or_else(|| {
        Problem::bad(format!(
            "the header Idempotency-Key must stand there once, with 1 to \
             {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters and no space"
        ))
    })?;
    Ok(Some(text.to_owned()))
}

/// Two names of 16 bytes.
type Seed = ([u8; 16], [u8; 16]);

/// What everything is named after that this request makes. The fingerprint is in it, so that a key
/// that was forgotten and is used for another request makes other things.
fn seed(caller: &str, key: &str, fingerprint: &[u8; 32]) -> Seed {
    let mut hash = Sha256::new();
    // Neither a caller nor a key holds a NUL.
    for part in ["godwit request", caller, key] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(fingerprint);
    let digest: [u8; 32] = hash.finalize().into();
    let (mut first, mut second) = ([0; 16], [0; 16]);
    first.copy_from_slice(&digest[..16]);
    second.copy_from_slice(&digest[16..]);
    (first, second)
}

/// The names of what a request makes: after its key, or else random.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    seed: Option<Seed>,
}

impl Names {
    /// Of the conversation that it creates.
    pub(crate) fn conversation(&self) -> Result<ConversationId, Problem> {
        match self.seed {
            Some((first, _)) => Ok(ConversationId(first)),
            None => clock::random().map(ConversationId).map_err(|_| Problem::no_randomness()),
        }
    }

    /// Of its entry in the log, whose id is `message_id`.
    pub(crate) fn send_key(&self, message_id: MessageId) -> SendKey {
        SendKey::Server(self.seed.map_or(message_id, |(_, second)| MessageId(second)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn keys_are_visible_ascii() {
        let read = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
            }
            read(&headers).map_err(|_| ())
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"a-1/\"~"]), Ok(Some("a-1/\"~".to_owned())));
        assert!(read(&[&[b'x'; 64]]).is_ok());
        for bad in [&[&b""[..]][..], &[b"a b"], &[b"\xc3\xa4"], &[&[b'x'; 65]], &[b"a", b"a"]] {
            assert_eq!(read(bad), Err(()), "{bad:?}");
        }
    }

    #[test]
    fn names_depend_on_everything() {
        let names = |caller, key, fingerprint| {
            let names = Names { seed: Some(seed(caller, key, &fingerprint)) };
            (names.conversation().ok(), names.send_key(MessageId([0; 16])).to_stored())
        };
        let first = names("a:b", "k", [1; 32]);
        assert_eq!(names("a:b", "k", [1; 32]), first);
        for other in
            [names("a:c", "k", [1; 32]), names("a:b", "l", [1; 32]), names("a:b", "k", [2; 32])]
        {
            assert!(other.0 != first.0 && other.1 != first.1);
        }
        let unnamed = Names { seed: None };
        assert_ne!(unnamed.conversation().ok(), unnamed.conversation().ok());
        assert_eq!(unnamed.send_key(MessageId([7; 16])), SendKey::Server(MessageId([7; 16])));
    }
}
