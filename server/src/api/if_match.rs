//! The header `If-Match`: the state in which a request wants what it changes (RFC 9110).

use axum::http::{HeaderMap, header};
use godwit_core::ids::Seq;
use godwit_core::membership::Stamp;

use super::problem::Problem;

/// What `If-Match` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Nothing: the header is not there, or it is `*`.
    Any,
    /// This state, quotes included.
    Tag(String),
}

impl IfMatch {
    /// Reads the header. Errors: more than one tag, or none that is one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut all = headers.get_all(header::IF_MATCH).iter();
        let (Some(value), None) = (all.next(), all.next()) else {
            return if headers.contains_key(header::IF_MATCH) {
                Err(unclear())
            } else {
                Ok(Self::Any)
            };
        };
        let text = value.to_str().map_err(|_| unclear())?.trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        // A weak tag (W/"...") never matches strongly, so it would be refused in any case.
        if inner.is_none_or(|inner| inner.contains('"')) {
            return Err(unclear());
        }
        Ok(Self::Tag(text.to_owned()))
    }

    /// The state of a conversation that it names; `Err`: a tag that is none of ours.
    pub(crate) fn stamp(&self) -> Result<Option<Stamp>, NotOurs> {
        let Self::Tag(tag) = self else { return Ok(None) };
        let (version, seq) = tag.trim_matches('"').split_once('.').ok_or(NotOurs)?;
        let group_version = version.parse().map_err(|_| NotOurs)?;
        let details_seq = Seq(seq.parse().map_err(|_| NotOurs)?);
        Ok(Some(Stamp { group_version, details_seq }))
    }

    /// The version of a user's row that it names; `Err`: a tag that is none of ours.
    pub(crate) fn version(&self) -> Result<Option<u64>, NotOurs> {
        let Self::Tag(tag) = self else { return Ok(None) };
        tag.trim_matches('"').parse().map(Some).map_err(|_| NotOurs)
    }
}

/// A tag that no answer of ours has had: it matches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOurs;

fn unclear() -> Problem {
    Problem::bad("the header If-Match must be one ETag as it was given, in quotes, or *")
}

#[cfg(test)]
mod tests {
    use super::super::etag::{of_stamp, of_version};
    use super::*;
    use axum::http::HeaderValue;

    fn read(values: &[&str]) -> Result<IfMatch, ()> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, HeaderValue::from_str(value).unwrap());
        }
        IfMatch::of(&headers).map_err(|_| ())
    }

    #[test]
    fn one_tag_or_any() {
        assert_eq!(read(&[]), Ok(IfMatch::Any));
        assert_eq!(read(&["*"]), Ok(IfMatch::Any));
        assert_eq!(read(&[" \"3.7\" "]), Ok(IfMatch::Tag("\"3.7\"".to_owned())));
        for bad in [&["3.7"][..], &["\"1\", \"2\""], &["W/\"1\""], &[""], &["\"1\"", "\"2\""]] {
            assert_eq!(read(bad), Err(()), "{bad:?}");
        }
    }

    #[test]
    fn tags_name_states() {
        let stamp = Stamp { group_version: 3, details_seq: Seq(7) };
        let tag = IfMatch::Tag(of_stamp(stamp));
        assert_eq!(tag.stamp(), Ok(Some(stamp)));
        assert_eq!(tag.version(), Err(NotOurs));
        let tag = IfMatch::Tag(of_version(9));
        assert_eq!((tag.version(), tag.stamp()), (Ok(Some(9)), Err(NotOurs)));
        assert_eq!((IfMatch::Any.stamp(), IfMatch::Any.version()), (Ok(None), Ok(None)));
        assert_eq!(IfMatch::Tag("\"-1.x\"".to_owned()).stamp(), Err(NotOurs));
    }
}
