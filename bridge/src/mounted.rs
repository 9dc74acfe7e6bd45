//! The subscriptions of one device to its mounted topics. No I/O.
//!
//! Every entry that is routed asks for its wish here, under the locks of its delivery: what names a
//! conversation or a user is found by it, whatever else the device has subscribed to.

use std::collections::BTreeMap;

use godwit_core::cursor::Feed;
use godwit_core::ids::{ConversationId, UserId};

use crate::topic::Target;
use crate::wish::Wish;

/// No more subscriptions are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Subscriptions, each target once.
#[derive(Debug, Default)]
pub(crate) struct Mounted {
    /// Those that name neither: one of each kind, sixteen at most.
    wide: Vec<(Target, Wish)>,
    /// Those that name a conversation: one of each kind, five at most.
    named: BTreeMap<ConversationId, Vec<(Target, Wish)>>,
    /// `p/{user}`.
    users: BTreeMap<UserId, Wish>,
    count: usize,
}

impl Mounted {
    /// Adds or replaces; `Ok(true)`: it is new. `Err`: it would be, and there are `max` already.
    pub(crate) fn put(&mut self, target: Target, wish: Wish, max: usize) -> Result<bool, Full> {
        if let Some(old) = self.get_mut(&target) {
            *old = wish;
            return Ok(false);
        }
        if self.count >= max {
            return Err(Full);
        }
        self.count += 1;
        match (target.conversation(), target.user()) {
            (Some(id), _) => self.named.entry(id).or_default().push((target, wish)),
            (None, Some(user)) => {
                self.users.insert(user.clone(), wish);
            }
            (None, None) => self.wide.push((target, wish)),
        }
        Ok(true)
    }

    fn get_mut(&mut self, target: &Target) -> Option<&mut Wish> {
        let row = match (target.conversation(), target.user()) {
            (Some(id), _) => self.named.get_mut(&id)?,
            (None, Some(user)) => return self.users.get_mut(user),
            (None, None) => &mut self.wide,
        };
        row.iter_mut().find(|(found, _)| found == target).map(|(_, wish)| wish)
    }

    /// How this very one stands; `None`: it does not.
    pub(crate) fn exact(&self, target: &Target) -> Option<Wish> {
        let row = match (target.conversation(), target.user()) {
            (Some(id), _) => self.named.get(&id)?,
            (None, Some(user)) => return self.users.get(user).copied(),
            (None, None) => &self.wide,
        };
        row.iter().find(|(found, _)| found == target).map(|(_, wish)| *wish)
    }

    /// Ends one; `false`: there was none.
    pub(crate) fn remove(&mut self, target: &Target) -> bool {
        let removed = match (target.conversation(), target.user()) {
            (Some(id), _) => {
                let Some(row) = self.named.get_mut(&id) else { return false };
                let removed = take(row, target);
                if row.is_empty() {
                    self.named.remove(&id);
                }
                removed
            }
            (None, Some(user)) => self.users.remove(user).is_some(),
            (None, None) => take(&mut self.wide, target),
        };
        self.count -= usize::from(removed);
        removed
    }

    /// Ends all that name the conversation; `true`: there was one.
    pub(crate) fn cut(&mut self, conversation: ConversationId) -> bool {
        let Some(row) = self.named.remove(&conversation) else { return false };
        self.count -= row.len();
        true
    }

    /// How the device wants an entry of a feed; `None`: not at all.
    pub(crate) fn wish(&self, feed: Feed, conversation: ConversationId) -> Option<Wish> {
        let named = self.named.get(&conversation).into_iter().flatten();
        let all = self.wide.iter().chain(named);
        merge(all.filter(|(t, _)| t.reaches(feed, conversation)).map(|(_, wish)| *wish))
    }

    /// How the device wants messages of one topic that is no feed.
    pub(crate) fn wish_topic(&self, topic: &Target) -> Option<Wish> {
        let named = topic.conversation().and_then(|id| self.named.get(&id));
        let user = topic.user().and_then(|user| self.users.get(user)).copied();
        let all = self.wide.iter().chain(named.into_iter().flatten());
        merge(all.filter(|(t, _)| t.covers(topic)).map(|(_, wish)| *wish).chain(user))
    }

    /// Whether a subscription reaches the feed at all.
    pub(crate) fn reads(&self, feed: Feed) -> bool {
        let all = self.wide.iter().chain(self.named.values().flatten());
        all.into_iter().any(|(t, _)| t.feeds().iter().any(|(f, _)| *f == feed))
    }

    /// The users whose presence is named.
    pub(crate) fn users(&self) -> impl Iterator<Item = &UserId> {
        self.users.keys()
    }
}

fn take(row: &mut Vec<(Target, Wish)>, target: &Target) -> bool {
    let Some(at) = row.iter().position(|(found, _)| found == target) else { return false };
    row.swap_remove(at);
    true
}

/// Overlapping subscriptions make one delivery with the highest QoS; no-local holds when all of
/// them say so.
fn merge(found: impl Iterator<Item = Wish>) -> Option<Wish> {
    found.reduce(|a, b| Wish {
        qos: a.qos.max(b.qos),
        no_local: a.no_local && b.no_local,
        identifier: a.identifier.or(b.identifier),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::parse_filter;
    use godwit_core::cursor::Scope;
    use godwit_core::edge::Qos;
    use proptest::prelude::*;

    fn wish(qos: Qos) -> Wish {
        Wish { qos, no_local: false, identifier: None }
    }

    fn cid(n: u8) -> ConversationId {
        ConversationId([n; 16])
    }

    #[test]
    fn what_is_named_is_bounded_and_comes_free_again() {
        let mut mounted = Mounted::default();
        let user = |n: u32| Target::Presence(UserId::new(&format!("u{n}")).ok());
        for n in 0..100 {
            assert_eq!(mounted.put(user(n), wish(Qos::AtMostOnce), 100), Ok(true));
        }
        assert_eq!(mounted.put(user(100), wish(Qos::AtMostOnce), 100), Err(Full));
        assert_eq!(mounted.put(Target::Everything, wish(Qos::AtMostOnce), 100), Err(Full));
        assert_eq!(mounted.put(user(7), wish(Qos::AtLeastOnce), 100), Ok(false));
        assert_eq!(mounted.wish_topic(&user(7)).unwrap().qos, Qos::AtLeastOnce);
        assert_eq!(mounted.wish_topic(&user(100)), None);
        assert!(mounted.remove(&user(7)) && !mounted.remove(&user(7)));
        let one = Target::Feed(Feed::Log, Scope::One(cid(1)));
        assert_eq!(mounted.put(one.clone(), wish(Qos::AtMostOnce), 100), Ok(true));
        assert_eq!(mounted.put(user(7), wish(Qos::AtMostOnce), 100), Err(Full));
        assert!(mounted.cut(cid(1)) && !mounted.cut(cid(1)) && !mounted.remove(&one));
        assert_eq!(mounted.put(user(7), wish(Qos::AtMostOnce), 100), Ok(true));
        assert_eq!((mounted.count, mounted.users().count()), (100, 100));
    }

    /// What it was before it was indexed: a list.
    #[derive(Default)]
    struct List(Vec<(Target, Wish)>);

    impl List {
        fn wish(&self, reaches: impl Fn(&Target) -> bool) -> Option<Wish> {
            merge(self.0.iter().filter(|(t, _)| reaches(t)).map(|(_, wish)| *wish))
        }
    }

    fn filters() -> Vec<String> {
        let heads = ["m", "c", "r", "t", "n"];
        let mut filters: Vec<String> =
            ["#", "+", "a", "x", "q/#", "q/sync", "p/#", "p/ann", "p/bob"]
                .iter()
                .map(ToString::to_string)
                .collect();
        for head in heads {
            filters.push(format!("{head}/#"));
            filters.extend((0..3).map(|n| format!("{head}/{}", cid(n))));
        }
        filters
    }

    proptest! {
        /// Whatever is subscribed, ended and cut: found is what a list of them would find.
        #[test]
        fn it_is_a_list_that_is_fast(
            acts in prop::collection::vec((0_usize..29, 0_u8..6, 0_u8..8), 0..80)
        ) {
            let filters = filters();
            let (mut mounted, mut list) = (Mounted::default(), List::default());
            for (at, act, bits) in acts {
                let target = parse_filter(&filters[at % filters.len()]).unwrap();
                let qos = if bits & 1 == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
                let wish = Wish { qos, no_local: bits & 2 != 0, identifier: None };
                match act {
                    0 => {
                        let before = list.0.len();
                        list.0.retain(|(t, _)| *t != target);
                        prop_assert_eq!(mounted.remove(&target), before != list.0.len());
                    }
                    1 => {
                        let before = list.0.len();
                        let id = cid(bits % 3);
                        list.0.retain(|(t, _)| t.conversation() != Some(id));
                        prop_assert_eq!(mounted.cut(id), before != list.0.len());
                    }
                    _ => {
                        let old = list.0.iter().position(|(t, _)| *t == target);
                        let full = old.is_none() && list.0.len() >= 12;
                        let expected = if full { Err(Full) } else { Ok(old.is_none()) };
                        prop_assert_eq!(mounted.put(target.clone(), wish, 12), expected);
                        match old {
                            Some(at) => list.0[at].1 = wish,
                            None if !full => list.0.push((target, wish)),
                            None => {}
                        }
                    }
                }
                prop_assert_eq!(mounted.count, list.0.len());
                for feed in [Feed::Log, Feed::Plain] {
                    for n in 0..4 {
                        let expected = list.wish(|t| t.reaches(feed, cid(n)));
                        prop_assert_eq!(mounted.wish(feed, cid(n)), expected);
                    }
                    let reads = list.0.iter().any(|(t, _)| t.feeds().iter().any(|(f, _)| *f == feed));
                    prop_assert_eq!(mounted.reads(feed), reads);
                }
                for filter in &filters {
                    let topic = parse_filter(filter).unwrap();
                    let names_one = topic.conversation().is_some() || topic.user().is_some()
                        || matches!(topic, Target::Fates | Target::Control | Target::Replies(Some(_)));
                    if names_one && topic.feeds().is_empty() {
                        let expected = list.wish(|t| t.covers(&topic));
                        prop_assert_eq!(mounted.wish_topic(&topic), expected, "{}", filter);
                    }
                }
            }
        }
    }
}
