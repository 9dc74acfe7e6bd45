//! Retained messages: an ordered index that is looked through in small steps, and bounds in number
//! and bytes, in all and for each user.
//!
//! A lookup holds the lock for a few dozen entries at a time and goes on from the last topic it saw,
//! so that it delays nobody; what a filter cannot match is jumped over.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use bytestring::ByteString;
use godwit_core::edge::{Message, Qos};
use godwit_core::ids::UserId;
use parking_lot::RwLock;

use crate::filter::matches;
use crate::limits::RETAINED_STEPS;

/// How much may be retained.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// Messages in all.
    pub(crate) max: usize,
    /// Bytes in all: topics, payloads and what is around them.
    pub(crate) bytes_max: usize,
    /// Messages that one user has published.
    pub(crate) per_user_max: usize,
    /// Bytes of them.
    pub(crate) per_user_bytes_max: usize,
}

#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    qos: Qos,
    /// `None`: the server's own, or of a client without a name.
    owner: Option<UserId>,
}

/// What there is of somebody, or of all.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    count: usize,
    bytes: usize,
}

impl Sum {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.count -= 1;
        self.bytes -= bytes;
    }
}

#[derive(Debug, Default)]
struct State {
    kept: BTreeMap<ByteString, Kept>,
    sum: Sum,
    /// Only users who have some.
    users: HashMap<UserId, Sum>,
}

/// The retained messages of one broker.
#[derive(Debug)]
pub(crate) struct Retained {
    bounds: Bounds,
    state: RwLock<State>,
}

/// Where a lookup has got to.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    filter: Box<str>,
    from: From,
}

#[derive(Debug, Clone)]
enum From {
    /// At this topic or behind it.
    At(String),
    /// Behind this topic.
    Behind(ByteString),
}

/// What a step of a lookup has come to.
#[derive(Debug)]
pub(crate) struct Step {
    /// Entries that were looked at, and are behind it now.
    pub(crate) seen: usize,
    pub(crate) stop: Stop,
}

/// Why a step has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// There is nothing behind.
    Done,
    /// The next that matches was not taken.
    Full,
    /// It was long enough.
    Pause,
}

impl Lookup {
    /// A lookup of everything that `filter` matches.
    pub(crate) fn new(filter: &str) -> Self {
        let wild = filter.find(['+', '#']).unwrap_or(filter.len());
        // `a/#` matches `a` too, which stands before `a/`.
        let prefix = filter[..wild].trim_end_matches('/');
        Self { filter: filter.into(), from: From::At(prefix.to_owned()) }
    }

    /// Whether it has not come to this topic yet.
    pub(crate) fn is_before(&self, topic: &str) -> bool {
        match &self.from {
            From::At(at) => topic >= at.as_str(),
            From::Behind(behind) => topic > &**behind,
        }
    }
}

/// Bytes that a message counts for.
fn bytes_of(message: &Message) -> usize {
    /// The entry, its share of the tree, the message's own fields.
    const AROUND: usize = 256;
    let properties = message.properties.as_deref().map_or(0, |properties| {
        let user: usize = properties.user.iter().map(|(k, v)| k.len() + v.len() + AROUND / 4).sum();
        let text = |text: &Option<ByteString>| text.as_ref().map_or(0, |text| text.len());
        let data = properties.correlation_data.as_ref().map_or(0, bytes::Bytes::len);
        user + text(&properties.response_topic) + text(&properties.content_type) + data + AROUND
    });
    message.topic.len() + message.payload.len() + properties + AROUND
}

impl Retained {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: RwLock::default() }
    }

    /// Keeps or, with an empty payload, forgets the message of its topic. `false`: there is no room
    /// for it, in all or for its owner; then the earlier one stays.
    pub(crate) fn set(&self, message: &Arc<Message>, qos: Qos, owner: Option<&UserId>) -> bool {
        let mut state = self.state.write();
        if message.payload.is_empty() {
            state.remove(&message.topic);
            return true;
        }
        let bytes = bytes_of(message);
        if !self.has_room(&state, message, bytes, owner) {
            return false;
        }
        state.remove(&message.topic);
        state.sum.add(bytes);
        if let Some(owner) = owner {
            state.users.entry(owner.clone()).or_default().add(bytes);
        }
        let kept = Kept { message: Arc::clone(message), qos, owner: owner.cloned() };
        state.kept.insert(message.topic.clone(), kept);
        true
    }

    fn has_room(
        &self,
        state: &State,
        message: &Message,
        bytes: usize,
        owner: Option<&UserId>,
    ) -> bool {
        let earlier = state.kept.get(&message.topic);
        let fits = |sum: Sum, freed: Option<&Kept>, max: usize, bytes_max: usize| {
            let (count, less) = freed.map_or((0, 0), |kept| (1, bytes_of(&kept.message)));
            sum.count - count < max && sum.bytes - less + bytes <= bytes_max
        };
        let bounds = &self.bounds;
        if !fits(state.sum, earlier, bounds.max, bounds.bytes_max) {
            return false;
        }
        let Some(owner) = owner else { return true };
        let sum = state.users.get(owner).copied().unwrap_or_default();
        let own = earlier.filter(|kept| kept.owner.as_ref() == Some(owner));
        fits(sum, own, bounds.per_user_max, bounds.per_user_bytes_max)
    }

    /// What is retained of a topic.
    pub(crate) fn get(&self, topic: &str) -> Option<(Arc<Message>, Qos)> {
        let state = self.state.read();
        state.kept.get(topic).map(|kept| (Arc::clone(&kept.message), kept.qos))
    }

    /// Goes on with a lookup for a few dozen entries, in the order of topics; `take` takes what matches,
    /// or says that there is no room for it.
    pub(crate) fn step(
        &self,
        lookup: &mut Lookup,
        mut take: impl FnMut(&Arc<Message>, Qos) -> bool,
    ) -> Step {
        let state = self.state.read();
        let mut seen = 0;
        while seen < RETAINED_STEPS {
            let from = match &lookup.from {
                From::At(topic) => Bound::Included(topic.as_str()),
                From::Behind(topic) => Bound::Excluded(&**topic),
            };
            let Some((topic, kept)) = state.kept.range::<str, _>((from, Bound::Unbounded)).next()
            else {
                return Step { seen, stop: Stop::Done };
            };
            match next(&lookup.filter, topic) {
                Next::Match if !take(&kept.message, kept.qos) => {
                    return Step { seen, stop: Stop::Full };
                }
                Next::Match | Next::Behind => lookup.from = From::Behind(topic.clone()),
                Next::At(topic) => lookup.from = From::At(topic),
                Next::Nothing => return Step { seen: seen + 1, stop: Stop::Done },
            }
            seen += 1;
        }
        Step { seen, stop: Stop::Pause }
    }

    #[cfg(test)]
    fn sums(&self) -> (usize, usize, usize) {
        let state = self.state.read();
        (state.sum.count, state.sum.bytes, state.users.len())
    }
}

impl State {
    fn remove(&mut self, topic: &ByteString) {
        let Some(kept) = self.kept.remove(topic) else { return };
        let bytes = bytes_of(&kept.message);
        self.sum.remove(bytes);
        if let Some(owner) = kept.owner
            && let Some(sum) = self.users.get_mut(&owner)
        {
            sum.remove(bytes);
            if sum.count == 0 {
                self.users.remove(&owner);
            }
        }
    }
}

/// What to do after a topic.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It matches; go on behind it.
    Match,
    /// It does not; go on behind it.
    Behind,
    /// It does not, and neither does anything before this one.
    At(String),
    /// It does not, and neither does anything behind it.
    Nothing,
}

/// Judges a topic, in the order of bytes.
///
/// Under a prefix that ends with `/` topics stand together, so that all of them can be jumped over by
/// the prefix with its last byte raised. A level and what is below it do not: `a`, `a-b`, `a/b`.
fn next(filter: &str, topic: &str) -> Next {
    if matches(filter, topic) {
        return Next::Match;
    }
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        // All that begin with `$` stand together.
        return Next::At("%".to_owned());
    }
    let mut filters = filter.split('/').peekable();
    let mut start = 0;
    loop {
        // Both have the same levels before `start`, or a wildcard stands for them.
        let Some(wanted) = filters.next() else {
            // The topic is deeper than the filter: so is everything below the parent's level here.
            return beyond(&topic[..start]);
        };
        let rest = &topic[start..];
        let (level, deeper) = match rest.split_once('/') {
            Some((level, _)) => (level, true),
            None => (rest, false),
        };
        if wanted == "#" {
            // It would have matched.
            return Next::Behind;
        }
        if wanted != "+" && wanted != level {
            return toward(&topic[..start], wanted, filters.peek().is_some(), topic);
        }
        if !deeper {
            // The filter is deeper than the topic.
            return Next::Behind;
        }
        start += level.len() + 1;
    }
}

/// The first topic that can match when the level behind `prefix` has to be `wanted`.
fn toward(prefix: &str, wanted: &str, deeper: bool, topic: &str) -> Next {
    let exact = format!("{prefix}{wanted}");
    if topic < exact.as_str() {
        return Next::At(exact);
    }
    let below = format!("{exact}/");
    if deeper && topic < below.as_str() {
        return Next::At(below);
    }
    beyond(prefix)
}

/// Behind everything that begins with `prefix`, which is empty or ends with `/`.
fn beyond(prefix: &str) -> Next {
    match prefix.strip_suffix('/') {
        // The byte after `/`.
        Some(parent) => Next::At(format!("{parent}0")),
        None => Next::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds =
        Bounds { max: 10, bytes_max: 10_000, per_user_max: 4, per_user_bytes_max: 4_000 };

    fn message(topic: &str, bytes: usize) -> Arc<Message> {
        let payload = Bytes::from(vec![b'x'; bytes]);
        Arc::new(Message { topic: topic.into(), payload, properties: None })
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn all(retained: &Retained, filter: &str) -> (Vec<String>, usize) {
        let (mut lookup, mut topics, mut seen) = (Lookup::new(filter), Vec::new(), 0);
        loop {
            // Three at a time, and the fourth when it is asked again.
            let mut room = 3;
            let step = retained.step(&mut lookup, |message, _| {
                let taken = room > 0;
                if taken {
                    room -= 1;
                    topics.push(message.topic.to_string());
                }
                taken
            });
            seen += step.seen;
            if step.stop == Stop::Done {
                return (topics, seen);
            }
        }
    }

    #[test]
    fn bounds_hold_in_number_and_bytes_for_each_and_for_all() {
        let retained = Retained::new(BOUNDS);
        let (alice, bob) = (user("alice"), user("bob"));
        let set =
            |topic: &str, bytes, who| retained.set(&message(topic, bytes), Qos::AtMostOnce, who);
        for n in 0..4 {
            assert!(set(&format!("a/{n}"), 10, Some(&alice)));
        }
        assert!(!set("a/4", 10, Some(&alice)), "her number");
        assert!(set("a/3", 20, Some(&alice)), "instead of one of hers");
        assert!(set("a/3", 0, Some(&alice)));
        assert!(!set("a/3", 3_000, Some(&alice)), "her bytes");
        assert!(set("b/0", 3_000, Some(&bob)));
        assert!(set("a/0", 10, Some(&bob)), "what was hers is his");
        assert!(set("a/3", 10, Some(&alice)) && set("a/4", 10, Some(&alice)));
        assert!(!set("c/0", 6_000, None), "the bytes of all");
        for n in 0..4 {
            assert!(set(&format!("c/{n}"), 10, None));
        }
        assert!(!set("c/4", 10, None), "the number of all");
        for topic in all(&retained, "#").0 {
            assert!(set(&topic, 0, None));
        }
        assert_eq!(retained.sums(), (0, 0, 0));
    }

    #[test]
    fn what_cannot_match_is_jumped_over() {
        let retained = Retained::new(Bounds { max: 10_000, bytes_max: 1 << 30, ..BOUNDS });
        for n in 0..5_000 {
            assert!(retained.set(
                &message(&format!("room{}/s{n}", n % 5), 1),
                Qos::AtMostOnce,
                None
            ));
        }
        assert!(retained.set(&message("room3/x/on", 1), Qos::AtMostOnce, None));
        for (filter, count, most) in [
            ("room3/s3", 1, 4),
            ("room3/x/#", 1, 6),
            ("+/x/on", 1, 30),
            ("none/#", 0, 4),
            ("room1/+", 1_000, 1_010),
            ("#", 5_001, 5_010),
        ] {
            let (topics, seen) = all(&retained, filter);
            assert_eq!(topics.len(), count, "{filter}");
            assert!(seen <= most, "{filter}: {seen} were looked at");
        }
    }

    proptest! {
        #[test]
        fn finds_what_matches_once_and_in_order(
            topics in prop::collection::btree_set("[$ab0/-]{1,7}", 0..40),
            filter in "([ab0-]|[+]|[$]a|)(/([ab0-]|[+]|)){0,3}(/#)?|#",
        ) {
            let retained = Retained::new(Bounds { max: 100, bytes_max: 1 << 20, ..BOUNDS });
            for topic in &topics {
                prop_assert!(retained.set(&message(topic, 1), Qos::AtMostOnce, None));
            }
            let wanted: Vec<_> = topics.iter().filter(|t| matches(&filter, t)).cloned().collect();
            prop_assert_eq!(all(&retained, &filter).0, wanted);
        }
    }
}
