//! The mounted topics of a device: what a name means going up, and what a filter reaches.

use godwit_core::cursor::{Feed, Scope};
use godwit_core::ids::{ClientMessageId, ConversationId};

/// A topic that a device publishes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Up<'a> {
    /// `s/{cid}`: protobuf.
    Send(ConversationId),
    /// `c/{cid}/{cmid}` and `c/{cid}`: the body itself.
    Plain(ConversationId, Option<ClientMessageId>),
    /// `q/{method}`.
    Query(&'a str),
}

/// Reads a topic. Errors: what is wrong with it, for people.
pub(crate) fn parse_up(topic: &str) -> Result<Up<'_>, &'static str> {
    const CID: &str = "the conversation id in the topic must be 22 characters of base64url";
    let mut levels = topic.splitn(3, '/');
    let head = levels.next().unwrap_or_default();
    match (head, levels.next(), levels.next()) {
        ("s", Some(cid), None) => Ok(Up::Send(cid.parse().map_err(|_| CID)?)),
        ("c", Some(cid), None) => Ok(Up::Plain(cid.parse().map_err(|_| CID)?, None)),
        ("c", Some(cid), Some(cmid)) => {
            let cid = cid.parse().map_err(|_| CID)?;
            let cmid = ClientMessageId::new(cmid)
                .map_err(|_| "the message id in the topic must be 1-36 of A-Z a-z 0-9 _ . -")?;
            Ok(Up::Plain(cid, Some(cmid)))
        }
        ("q", Some(method), None) => Ok(Up::Query(method)),
        ("r" | "p", None, None) | ("t", Some(_), None) => {
            Err("receipts, typing and presence are not served by this version")
        }
        _ => Err("devices publish to s/{cid}, c/{cid}[/{cmid}] and q/{method}"),
    }
}

/// What a filter on mounted topics reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// `#`: every mounted topic.
    Everything,
    /// `m/...` or `c/...`.
    Feed(Feed, Scope),
    /// `a`.
    Fates,
    /// `x`.
    Control,
    /// `q/...`.
    Replies,
    /// `+`: the topics of one level (`a`, `x`).
    OneLevel,
    /// `r/...`, `t/...`, `p/...`, `n/...`: nothing is sent there by this version.
    Silent,
}

impl Target {
    /// Whether the target takes in `feed` of `conversation`.
    pub(crate) fn reaches(self, feed: Feed, conversation: ConversationId) -> bool {
        match self {
            Self::Everything => true,
            Self::Feed(f, Scope::All) => f == feed,
            Self::Feed(f, Scope::One(c)) => f == feed && c == conversation,
            _ => false,
        }
    }

    /// The feeds it begins and ends.
    pub(crate) fn feeds(self) -> Vec<(Feed, Scope)> {
        match self {
            Self::Everything => vec![(Feed::Log, Scope::All), (Feed::Plain, Scope::All)],
            Self::Feed(feed, scope) => vec![(feed, scope)],
            _ => Vec::new(),
        }
    }
}

/// Reads a filter; `None`: it can reach no mounted topic.
pub(crate) fn parse_filter(filter: &str) -> Option<Target> {
    match filter {
        "#" => return Some(Target::Everything),
        "+" => return Some(Target::OneLevel),
        "a" | "a/#" => return Some(Target::Fates),
        "x" | "x/#" => return Some(Target::Control),
        _ => {}
    }
    let (head, rest) = filter.split_once('/')?;
    match (head, rest) {
        ("m", "#" | "+") => Some(Target::Feed(Feed::Log, Scope::All)),
        ("c", "#" | "+") => Some(Target::Feed(Feed::Plain, Scope::All)),
        ("m", cid) => Some(Target::Feed(Feed::Log, Scope::One(parse_scope(cid)?))),
        ("c", cid) => Some(Target::Feed(Feed::Plain, Scope::One(parse_scope(cid)?))),
        ("q", _) => Some(Target::Replies),
        ("r" | "t" | "p" | "n", _) => Some(Target::Silent),
        _ => None,
    }
}

/// `{cid}` or `{cid}/#`.
fn parse_scope(text: &str) -> Option<ConversationId> {
    text.strip_suffix("/#").unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn topics_up() {
        let cid = ConversationId([0; 16]);
        let cmid = ClientMessageId::new("k-1").unwrap();
        assert_eq!(parse_up(&format!("s/{CID}")), Ok(Up::Send(cid)));
        assert_eq!(parse_up(&format!("c/{CID}")), Ok(Up::Plain(cid, None)));
        assert_eq!(parse_up(&format!("c/{CID}/k-1")), Ok(Up::Plain(cid, Some(cmid))));
        assert_eq!(parse_up("q/sync"), Ok(Up::Query("sync")));
        for bad in ["", "s", "s/x", "c", "c/x", "m/x", "q", "q/a/b", "r", "p", "t/x", "a"] {
            assert!(parse_up(bad).is_err(), "{bad}");
        }
        for bad in [format!("s/{CID}/x"), format!("c/{CID}/a/b"), format!("c/{CID}/")] {
            assert!(parse_up(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_down() {
        let one = Scope::One(ConversationId([0; 16]));
        let table = [
            ("#", Some(Target::Everything)),
            ("m/#", Some(Target::Feed(Feed::Log, Scope::All))),
            ("m/+", Some(Target::Feed(Feed::Log, Scope::All))),
            ("c/#", Some(Target::Feed(Feed::Plain, Scope::All))),
            ("c/AAAAAAAAAAAAAAAAAAAAAA", Some(Target::Feed(Feed::Plain, one))),
            ("m/AAAAAAAAAAAAAAAAAAAAAA/#", Some(Target::Feed(Feed::Log, one))),
            ("m/x", None),
            ("a", Some(Target::Fates)),
            ("x", Some(Target::Control)),
            ("q/sync", Some(Target::Replies)),
            ("t/#", Some(Target::Silent)),
            ("s/#", None),
            ("u/alice/#", None),
            ("m", None),
        ];
        for (filter, expected) in table {
            assert_eq!(parse_filter(filter), expected, "{filter}");
        }
    }
}
