//! The mounted topics of a device: what a name means going up, and what a filter reaches.

use godwit_core::cursor::{Feed, Scope};
use godwit_core::ids::{ClientMessageId, ConversationId, UserId};

/// Which way a topic goes, seen from the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The device publishes to it.
    Up,
    /// The device subscribes to it.
    Down,
}

/// A mounted topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// As CONTRACT.md writes it, methods spelt out.
    pub name: &'static str,
    /// Up or down.
    pub way: Way,
    /// The protobuf message's full name; empty: raw bytes.
    pub payload: &'static str,
}

/// Every mounted topic that this version serves. docs/asyncapi.json describes each; the house
/// compares them.
pub const TOPICS: &[Topic] = &[
    up("s/{cid}", "godwit.conversation.v1.Send"),
    up("c/{cid}/{cmid}", ""),
    up("c/{cid}", ""),
    up("r", "godwit.receipt.v1.Receipts"),
    up("t/{cid}", "godwit.presence.v1.Typing"),
    up("p", "godwit.presence.v1.Presence"),
    up("q/sync", "godwit.sync.v1.SyncRequest"),
    up("q/history", "godwit.sync.v1.HistoryRequest"),
    up("q/inbox", "godwit.inbox.v1.InboxRequest"),
    up("q/groups", "godwit.group.v1.GroupRequest"),
    down("m/{cid}", "godwit.conversation.v1.Entry"),
    down("c/{cid}", ""),
    down("a", "godwit.conversation.v1.Fates"),
    down("r/{cid}", "godwit.receipt.v1.ReceiptUpdates"),
    down("t/{cid}", "godwit.presence.v1.Typing"),
    down("p/{user}", "godwit.presence.v1.UserPresence"),
    down("n/{cid}", "godwit.sync.v1.HeadNotice"),
    down("x", "godwit.conversation.v1.Control"),
    down("o", "godwit.inbox.v1.OwnUpdate"),
    down("q/sync", "godwit.sync.v1.SyncReply"),
    down("q/history", "godwit.sync.v1.HistoryReply"),
    down("q/inbox", "godwit.inbox.v1.InboxReply"),
    down("q/groups", "godwit.group.v1.GroupReply"),
];

const fn up(name: &'static str, payload: &'static str) -> Topic {
    Topic { name, way: Way::Up, payload }
}

const fn down(name: &'static str, payload: &'static str) -> Topic {
    Topic { name, way: Way::Down, payload }
}

/// A request on `q/{method}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Where the logs are, and what is above a place.
    Sync,
    /// A part of a log.
    History,
    /// The user's conversations.
    Inbox,
    /// Conversations created, looked at and changed.
    Groups,
}

impl Method {
    /// All, as an error lists them.
    const NAMES: &str = "sync, history, inbox, groups";

    fn parse(name: &str) -> Option<Self> {
        match name {
            "sync" => Some(Self::Sync),
            "history" => Some(Self::History),
            "inbox" => Some(Self::Inbox),
            "groups" => Some(Self::Groups),
            _ => None,
        }
    }

    /// The topic of requests and of replies.
    pub(crate) const fn topic(self) -> &'static str {
        match self {
            Self::Sync => "q/sync",
            Self::History => "q/history",
            Self::Inbox => "q/inbox",
            Self::Groups => "q/groups",
        }
    }
}

/// A topic that a device publishes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Up {
    /// `s/{cid}`: protobuf.
    Send(ConversationId),
    /// `c/{cid}/{cmid}` and `c/{cid}`: the body itself.
    Plain(ConversationId, Option<ClientMessageId>),
    /// `r`: how far the user has got.
    Receipts,
    /// `t/{cid}`: the user types.
    Typing(ConversationId),
    /// `p`: what the device says of itself.
    Presence,
    /// `q/{method}`.
    Query(Method),
}

/// Reads a topic. Errors: what is wrong with it, for people.
pub(crate) fn parse_up(topic: &str) -> Result<Up, String> {
    let conversation = |cid: &str| -> Result<ConversationId, String> {
        cid.parse().map_err(|_| {
            "the conversation id in the topic must be 22 characters of base64url".to_owned()
        })
    };
    let mut levels = topic.splitn(3, '/');
    let head = levels.next().unwrap_or_default();
    match (head, levels.next(), levels.next()) {
        ("s", Some(cid), None) => Ok(Up::Send(conversation(cid)?)),
        ("c", Some(cid), None) => Ok(Up::Plain(conversation(cid)?, None)),
        ("c", Some(cid), Some(cmid)) => {
            let cmid = ClientMessageId::new(cmid)
                .map_err(|error| format!("the message id in the topic {error}"))?;
            Ok(Up::Plain(conversation(cid)?, Some(cmid)))
        }
        ("r", None, None) => Ok(Up::Receipts),
        ("t", Some(cid), None) => Ok(Up::Typing(conversation(cid)?)),
        ("p", None, None) => Ok(Up::Presence),
        ("q", Some(method), None) => match Method::parse(method) {
            Some(method) => Ok(Up::Query(method)),
            None => Err(format!("there is no such request; there are q/: {}", Method::NAMES)),
        },
        _ => {
            Err("devices publish to s/{cid}, c/{cid}[/{cmid}], r, t/{cid}, p and q/{method}"
                .to_owned())
        }
    }
}

/// What a filter on mounted topics reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `#`: every mounted topic.
    Everything,
    /// `+`: the topics of one level (`a`, `x`, `o`).
    OneLevel,
    /// `m/...` or `c/...`.
    Feed(Feed, Scope),
    /// `a`.
    Fates,
    /// `x`.
    Control,
    /// `o`.
    Own,
    /// `q/{method}`; `None`: all.
    Replies(Option<Method>),
    /// `r/...`.
    Receipts(Scope),
    /// `t/...`.
    Typing(Scope),
    /// `n/...`.
    Notices(Scope),
    /// `p/{user}`; `None`: all.
    Presence(Option<UserId>),
}

impl Target {
    /// Whether the target takes in `feed` of `conversation`.
    pub(crate) fn reaches(&self, feed: Feed, conversation: ConversationId) -> bool {
        match self {
            Self::Everything => true,
            Self::Feed(f, Scope::All) => *f == feed,
            Self::Feed(f, Scope::One(c)) => *f == feed && *c == conversation,
            _ => false,
        }
    }

    /// Whether whoever subscribes to the target gets the messages of `topic`, which names one.
    pub(crate) fn covers(&self, topic: &Self) -> bool {
        match (self, topic) {
            (Self::Everything, _)
            | (Self::OneLevel, Self::Fates | Self::Control | Self::Own)
            | (Self::Replies(None), Self::Replies(_))
            | (Self::Receipts(Scope::All), Self::Receipts(_))
            | (Self::Typing(Scope::All), Self::Typing(_))
            | (Self::Notices(Scope::All), Self::Notices(_))
            | (Self::Presence(None), Self::Presence(_)) => true,
            _ => self == topic,
        }
    }

    /// The one conversation that it names: for members only, and over when they are none.
    pub(crate) const fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Feed(_, Scope::One(id))
            | Self::Receipts(Scope::One(id))
            | Self::Typing(Scope::One(id))
            | Self::Notices(Scope::One(id)) => Some(*id),
            _ => None,
        }
    }

    /// The one user whose presence it names: for those who share a conversation with that user, and
    /// over when they do no more.
    pub(crate) const fn user(&self) -> Option<&UserId> {
        match self {
            Self::Presence(Some(user)) => Some(user),
            _ => None,
        }
    }

    /// The feeds it begins and ends.
    pub(crate) fn feeds(&self) -> Vec<(Feed, Scope)> {
        match self {
            Self::Everything => [Feed::Log, Feed::Plain, Feed::Control, Feed::Own]
                .map(|feed| (feed, Scope::All))
                .to_vec(),
            Self::OneLevel => vec![(Feed::Control, Scope::All), (Feed::Own, Scope::All)],
            Self::Control => vec![(Feed::Control, Scope::All)],
            Self::Own => vec![(Feed::Own, Scope::All)],
            Self::Feed(feed, scope) => vec![(*feed, *scope)],
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
        "o" | "o/#" => return Some(Target::Own),
        _ => {}
    }
    let (head, rest) = filter.split_once('/')?;
    match head {
        "m" => Some(Target::Feed(Feed::Log, parse_scope(rest)?)),
        "c" => Some(Target::Feed(Feed::Plain, parse_scope(rest)?)),
        "r" => Some(Target::Receipts(parse_scope(rest)?)),
        "t" => Some(Target::Typing(parse_scope(rest)?)),
        "n" => Some(Target::Notices(parse_scope(rest)?)),
        "p" if is_all(rest) => Some(Target::Presence(None)),
        "p" => Some(Target::Presence(Some(UserId::new(one(rest)).ok()?))),
        "q" if is_all(rest) => Some(Target::Replies(None)),
        "q" => Some(Target::Replies(Some(Method::parse(one(rest))?))),
        _ => None,
    }
}

fn is_all(rest: &str) -> bool {
    matches!(rest, "#" | "+")
}

/// `x` and `x/#` reach the same topic.
fn one(rest: &str) -> &str {
    rest.strip_suffix("/#").unwrap_or(rest)
}

fn parse_scope(rest: &str) -> Option<Scope> {
    if is_all(rest) { Some(Scope::All) } else { one(rest).parse().ok().map(Scope::One) }
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
        assert_eq!(parse_up(&format!("t/{CID}")), Ok(Up::Typing(cid)));
        assert_eq!(parse_up("r"), Ok(Up::Receipts));
        assert_eq!(parse_up("p"), Ok(Up::Presence));
        assert_eq!(parse_up("q/groups"), Ok(Up::Query(Method::Groups)));
        for bad in ["", "s", "s/x", "c", "c/x", "m/x", "q", "q/a/b", "r/x", "p/x", "t", "t/x", "a"]
        {
            assert!(parse_up(bad).is_err(), "{bad}");
        }
        for bad in [format!("s/{CID}/x"), format!("c/{CID}/a/b"), format!("c/{CID}/")] {
            assert!(parse_up(&bad).is_err(), "{bad}");
        }
        let unknown = parse_up("q/keys").unwrap_err();
        assert!(unknown.contains("sync, history, inbox, groups"), "{unknown}");
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
            ("o", Some(Target::Own)),
            ("q/+", Some(Target::Replies(None))),
            ("q/sync", Some(Target::Replies(Some(Method::Sync)))),
            ("q/keys", None),
            ("t/#", Some(Target::Typing(Scope::All))),
            ("r/AAAAAAAAAAAAAAAAAAAAAA", Some(Target::Receipts(one))),
            ("n/+", Some(Target::Notices(Scope::All))),
            ("p/#", Some(Target::Presence(None))),
            ("p/alice", Some(Target::Presence(UserId::new("alice").ok()))),
            ("p", None),
            ("r", None),
            ("s/#", None),
            ("u/alice/#", None),
            ("m", None),
        ];
        for (filter, expected) in table {
            assert_eq!(parse_filter(filter), expected, "{filter}");
        }
    }

    #[test]
    fn a_filter_covers_what_it_matches() {
        let (here, there) = (ConversationId([0; 16]), ConversationId([1; 16]));
        let alice = UserId::new("alice").ok();
        let topics = [
            ("a", Target::Fates),
            ("x", Target::Control),
            ("o", Target::Own),
            ("q/inbox", Target::Replies(Some(Method::Inbox))),
            ("r/AAAAAAAAAAAAAAAAAAAAAA", Target::Receipts(Scope::One(here))),
            ("t/AAAAAAAAAAAAAAAAAAAAAA", Target::Typing(Scope::One(here))),
            ("n/AAAAAAAAAAAAAAAAAAAAAA", Target::Notices(Scope::One(here))),
            ("p/alice", Target::Presence(alice)),
        ];
        for (name, topic) in &topics {
            assert!(Target::Everything.covers(topic), "{name}");
            assert_eq!(Target::OneLevel.covers(topic), !name.contains('/'), "{name}");
            for (filter, _) in &topics {
                let target = parse_filter(filter).unwrap();
                assert_eq!(target.covers(topic), filter == name, "{filter} {name}");
                let all = format!("{}/#", &filter[..1]);
                let target = parse_filter(&all).unwrap();
                assert_eq!(target.covers(topic), filter == name, "{all} {name}");
            }
        }
        assert!(!Target::Receipts(Scope::One(there)).covers(&topics[4].1));
    }

    /// A topic that is added to a match alone, or to the list alone, is seen here.
    #[test]
    fn the_list_holds_what_is_served() {
        let methods = ["sync", "history", "inbox", "groups", "keys"];
        for head in ('a'..='z').map(String::from) {
            let mut shapes = vec![
                (head.clone(), head.clone()),
                (format!("{head}/{CID}"), format!("{head}/{{cid}}")),
                (format!("{head}/{CID}/k-1"), format!("{head}/{{cid}}/{{cmid}}")),
                (format!("{head}/alice"), format!("{head}/{{user}}")),
            ];
            shapes.extend(methods.map(|m| (format!("{head}/{m}"), format!("{head}/{m}"))));
            for (text, name) in shapes {
                let listed = |way| TOPICS.iter().any(|t| t.way == way && t.name == name);
                assert_eq!(parse_up(&text).is_ok(), listed(Way::Up), "{text}");
                // Any name is a user's, so these texts mean `p/{user}` as well.
                let down = listed(Way::Down) || (head == "p" && text.matches('/').count() == 1);
                assert_eq!(parse_filter(&text).is_some(), down, "{text}");
            }
        }
    }
}
