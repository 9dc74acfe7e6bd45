//! Who may publish and subscribe what: CONTRACT.md, "Topics of a device".

use godwit_core::edge::{Action, Admitted, Grant};

use super::filter::{covers, is_topic, is_valid};
use crate::config::Plain;

/// First levels that belong to device topics. No rule opens them as plain topics, so that nobody
/// can write into what another device takes for the server's word.
const MOUNTED: [&str; 11] = ["s", "c", "r", "t", "p", "q", "m", "a", "n", "x", "o"];

/// What holds for every client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// Plain filters that every client with a token has.
    pub(crate) plain: Plain,
    /// `godwit dev --open`: every plain topic is open, to anonymous clients too.
    pub(crate) open: bool,
}

impl Rules {
    /// Decides one action.
    pub(crate) fn decide(&self, who: &Admitted, action: Action<'_>) -> Grant {
        match action {
            Action::Publish(topic) if is_topic(topic) && !topic.starts_with('$') => {
                self.publish(who, topic)
            }
            Action::Subscribe(filter) if is_valid(filter) && !filter.starts_with('$') => {
                self.subscribe(who, filter)
            }
            // Not MQTT, `$SYS`, `$share` and their like.
            Action::Publish(_) | Action::Subscribe(_) => Grant::default(),
        }
    }

    fn publish(&self, who: &Admitted, topic: &str) -> Grant {
        let Some(identity) = &who.identity else { return self.anonymous(topic) };
        if is_mounted_up(topic) {
            return mounted();
        }
        let user = identity.user.as_str();
        let allowed = !is_reserved(topic)
            && (self.open
                || is_own_space(user, topic)
                || any_covers(&[&who.publish, &self.plain.publish], topic));
        if allowed { plain(topic) } else { Grant::default() }
    }

    fn subscribe(&self, who: &Admitted, filter: &str) -> Grant {
        let Some(identity) = &who.identity else { return self.anonymous(filter) };
        let user = identity.user.as_str();
        if filter == "#" {
            return Grant { mounted: true, plain: self.readable(who, user) };
        }
        if is_mounted_down(filter) {
            return mounted();
        }
        let allowed = !is_reserved(filter)
            && (self.open
                || is_own_space(user, filter)
                || any_covers(&[&who.subscribe, &self.plain.subscribe], filter));
        if allowed { plain(filter) } else { Grant::default() }
    }

    fn anonymous(&self, topic: &str) -> Grant {
        if self.open { plain(topic) } else { Grant::default() }
    }

    /// The plain part of `#`: the widest filters that the client may read.
    fn readable(&self, who: &Admitted, user: &str) -> Vec<String> {
        if self.open {
            return vec!["#".to_owned()];
        }
        let mut widest: Vec<String> = Vec::new();
        // A user id holds neither slash nor wildcard, so it is one level and nothing else.
        let own = format!("u/{user}/#");
        for filter in [&own].into_iter().chain(&who.subscribe).chain(&self.plain.subscribe) {
            let opens = is_valid(filter) && !filter.starts_with('$') && !is_reserved(filter);
            if !opens || widest.iter().any(|known| covers(known, filter)) {
                continue;
            }
            widest.retain(|known| !covers(filter, known));
            widest.push(filter.clone());
        }
        widest
    }
}

fn mounted() -> Grant {
    Grant { mounted: true, plain: Vec::new() }
}

fn plain(filter: &str) -> Grant {
    Grant { mounted: false, plain: vec![filter.to_owned()] }
}

fn any_covers(lists: &[&Vec<String>], requested: &str) -> bool {
    lists.iter().flat_map(|list| list.iter()).any(|allowed| covers(allowed, requested))
}

fn first_level(topic: &str) -> &str {
    topic.split('/').next().unwrap_or_default()
}

fn is_reserved(topic: &str) -> bool {
    MOUNTED.contains(&first_level(topic))
}

/// `u/{user}` and everything below.
fn is_own_space(user: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    levels.next() == Some("u") && levels.next() == Some(user)
}

/// The shape of a topic that a device publishes to; its ids are judged by the session.
fn is_mounted_up(topic: &str) -> bool {
    let mut levels = topic.split('/');
    let (head, rest) = (levels.next().unwrap_or_default(), levels);
    let mut count = 0;
    let named = rest.inspect(|_| count += 1).all(|level| !level.is_empty());
    let shape = match head {
        "r" | "p" => count == 0,
        "s" | "t" | "q" => count == 1,
        "c" => count == 1 || count == 2,
        _ => false,
    };
    shape && named
}

/// The shape of a filter within one kind of topics that a device reads: `a`, `m/#`, `m/+`,
/// `m/{cid}`, `m/{cid}/#`.
fn is_mounted_down(filter: &str) -> bool {
    let mut levels = filter.split('/');
    let head = levels.next().unwrap_or_default();
    let rest = (levels.next(), levels.next(), levels.next());
    match head {
        "a" | "o" | "x" => matches!(rest, (None | Some("#"), None, None)),
        "m" | "r" | "t" | "p" | "n" | "q" | "c" => match rest {
            (Some("#"), None, None) => true,
            (Some(level), None | Some("#"), None) => !level.is_empty(),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::ids::Identity;
    use proptest::prelude::*;

    const CID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn admitted(identity: Option<&str>, publish: &[&str], subscribe: &[&str]) -> Admitted {
        let owned = |list: &[&str]| list.iter().map(|f| (*f).to_owned()).collect();
        Admitted {
            client_id: identity.unwrap_or("any").into(),
            identity: identity.map(|text| text.parse::<Identity>().unwrap()),
            publish: owned(publish),
            subscribe: owned(subscribe),
            issued_ms: None,
            expires_ms: None,
        }
    }

    /// `M` mounted, `-` denied, anything else: the plain filters, by comma.
    fn shown(grant: &Grant) -> String {
        match (grant.mounted, grant.plain.join(",")) {
            (true, plain) if plain.is_empty() => "M".to_owned(),
            (true, plain) => format!("M,{plain}"),
            (false, plain) if plain.is_empty() => "-".to_owned(),
            (false, plain) => plain,
        }
    }

    fn check(rules: &Rules, who: &Admitted, table: &[(&str, &str)]) {
        for (action, expected) in table {
            let (verb, topic) = action.split_once(' ').unwrap();
            let topic = &topic.replace("CID", CID);
            let action = match verb {
                "pub" => Action::Publish(topic),
                _ => Action::Subscribe(topic),
            };
            assert_eq!(
                shown(&rules.decide(who, action)),
                expected.replace("CID", CID),
                "{verb} {topic}"
            );
        }
    }

    #[test]
    fn a_device_has_its_topics_its_space_and_nothing_else() {
        check(
            &Rules::default(),
            &admitted(Some("alice:phone"), &[], &[]),
            &[
                ("pub s/CID", "M"),
                ("pub c/CID", "M"),
                ("pub c/CID/key-1", "M"),
                ("pub r", "M"),
                ("pub p", "M"),
                ("pub t/CID", "M"),
                ("pub q/sync", "M"),
                ("pub m/CID", "-"),
                ("pub a", "-"),
                ("pub x", "-"),
                ("pub r/CID", "-"),
                ("pub s", "-"),
                ("pub s/", "-"),
                ("pub c/CID/", "-"),
                ("pub c/CID/a/b", "-"),
                ("pub u/alice", "u/alice"),
                ("pub u/alice/x/y", "u/alice/x/y"),
                ("pub u/bob/x", "-"),
                ("pub u/alicex", "-"),
                ("pub u/ALICE/x", "-"),
                ("pub sensors/1", "-"),
                ("pub $SYS/x", "-"),
                ("pub a/+", "-"),
                ("pub #", "-"),
                ("sub m/#", "M"),
                ("sub m/+", "M"),
                ("sub m/CID", "M"),
                ("sub m/CID/#", "M"),
                ("sub c/CID", "M"),
                ("sub c/#", "M"),
                ("sub a", "M"),
                ("sub a/#", "M"),
                ("sub x", "M"),
                ("sub q/#", "M"),
                ("sub q/sync", "M"),
                ("sub r/#", "M"),
                ("sub t/+", "M"),
                ("sub p/bob", "M"),
                ("sub n/#", "M"),
                ("sub #", "M,u/alice/#"),
                ("sub m", "-"),
                ("sub m/", "-"),
                ("sub m/CID/x", "-"),
                ("sub a/x", "-"),
                ("sub s/#", "-"),
                ("sub +", "-"),
                ("sub +/#", "-"),
                ("sub +/CID", "-"),
                ("sub u/alice/#", "u/alice/#"),
                ("sub u/alice/+/x", "u/alice/+/x"),
                ("sub u/+/x", "-"),
                ("sub u/#", "-"),
                ("sub u/bob/#", "-"),
                ("sub $SYS/#", "-"),
                ("sub $share/g/u/alice/#", "-"),
                ("sub $share/g/#", "-"),
                ("sub a/#/b", "-"),
                ("sub sensors/#", "-"),
            ],
        );
    }

    #[test]
    fn the_acl_claim_opens_plain_topics_only() {
        let greedy = ["#", "$SYS/#", "m/#", "c/#", "sensors/+/t"];
        check(
            &Rules::default(),
            &admitted(Some("alice:phone"), &greedy, &greedy),
            &[
                ("pub sensors/1/t", "sensors/1/t"),
                ("pub m/CID", "-"),
                ("pub a", "-"),
                ("pub x", "-"),
                ("pub n/CID", "-"),
                ("pub $SYS/x", "-"),
                ("sub +/+/t", "+/+/t"),
                ("sub s/#", "-"),
                ("sub c/CID/x", "-"),
                ("sub $SYS/#", "-"),
                ("sub #", "M,#"),
            ],
        );
        check(
            &Rules::default(),
            &admitted(Some("alice:phone"), &["out/+"], &["in/+/x", "in/1/x"]),
            &[
                ("pub out/1", "out/1"),
                ("pub out/1/2", "-"),
                ("pub in/1/x", "-"),
                ("sub in/7/x", "in/7/x"),
                ("sub in/+/x", "in/+/x"),
                ("sub in/#", "-"),
                ("sub +/7/x", "-"),
                ("sub out/1", "-"),
                ("sub #", "M,u/alice/#,in/+/x"),
            ],
        );
    }

    #[test]
    fn rules_of_the_config_hold_for_all_with_a_token() {
        let plain = Plain { publish: vec!["telemetry/#".into()], subscribe: vec!["news/#".into()] };
        let rules = Rules { plain, open: false };
        check(
            &rules,
            &admitted(Some("alice:phone"), &[], &[]),
            &[
                ("pub telemetry/a", "telemetry/a"),
                ("sub telemetry/a", "-"),
                ("sub news/a/#", "news/a/#"),
                ("sub #", "M,u/alice/#,news/#"),
            ],
        );
        check(
            &rules,
            &admitted(None, &[], &[]),
            &[("pub telemetry/a", "-"), ("sub news/a", "-"), ("sub #", "-")],
        );
    }

    #[test]
    fn open_mode() {
        let rules = Rules { open: true, ..Rules::default() };
        check(
            &rules,
            &admitted(None, &[], &[]),
            &[
                ("pub m/CID", "m/CID"),
                ("pub anything/at/all", "anything/at/all"),
                ("pub $SYS/x", "-"),
                ("pub a/+", "-"),
                ("sub #", "#"),
                ("sub +/+", "+/+"),
                ("sub $SYS/#", "-"),
                ("sub $share/g/a", "-"),
            ],
        );
        check(
            &rules,
            &admitted(Some("alice:phone"), &[], &[]),
            &[
                ("pub c/CID", "M"),
                ("pub m/CID", "-"),
                ("pub sensors/1", "sensors/1"),
                ("sub m/#", "M"),
                ("sub #", "M,#"),
                ("sub +/+", "+/+"),
            ],
        );
    }

    proptest! {
        /// Whatever a token's acl holds: no plain grant reaches `$...` or a device topic by name.
        #[test]
        fn no_acl_opens_what_is_reserved(
            acl in prop::collection::vec("[smaxu$+#/]{1,6}", 0..4),
            topic in "[smaxu$+#/]{0,8}",
        ) {
            let list: Vec<&str> = acl.iter().map(String::as_str).collect();
            let who = admitted(Some("alice:phone"), &list, &list);
            for action in [Action::Publish(&topic), Action::Subscribe(&topic)] {
                for filter in Rules::default().decide(&who, action).plain {
                    prop_assert!(is_valid(&filter) && !filter.starts_with('$'));
                    prop_assert!(!is_reserved(&filter));
                }
            }
        }
    }
}
