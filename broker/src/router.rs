//! Plain topics: a trie of filters, and who gets what.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use godwit_core::edge::{Delivery, Message, Qos, SubscribeRequest};
use godwit_core::ids::UserId;
use parking_lot::RwLock;

use crate::client::Client;
use crate::plain::Bound;
use crate::retained::{self, Lookup, Retained};

/// How a client wants what a filter matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) qos: Qos,
    /// Not what the client published itself (MQTT 5).
    pub(crate) no_local: bool,
    /// Keep the retain flag as it was published (MQTT 5).
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<NonZeroU32>,
}

impl Wish {
    /// From MQTT's subscription options.
    pub(crate) fn of(request: &SubscribeRequest) -> Self {
        let subscription = &request.subscription;
        Self {
            qos: request.qos(),
            no_local: subscription.options & 0b100 != 0,
            retain_as_published: subscription.options & 0b1000 != 0,
            identifier: subscription.identifier.and_then(NonZeroU32::new),
        }
    }
}

#[derive(Debug)]
struct Subscriber {
    client: Arc<Client>,
    wish: Wish,
}

/// One level of the trie.
#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    subscribers: Vec<Subscriber>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.subscribers.is_empty()
    }

    fn insert(&mut self, filter: &str, client: &Arc<Client>, wish: Wish) {
        let mut node = self;
        for level in filter.split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        match node.subscribers.iter_mut().find(|s| Arc::ptr_eq(&s.client, client)) {
            Some(subscriber) => subscriber.wish = wish,
            None => node.subscribers.push(Subscriber { client: Arc::clone(client), wish }),
        }
    }

    /// Removes and prunes levels that have become empty.
    fn remove(&mut self, filter: Option<&str>, client: &Arc<Client>) {
        let Some(filter) = filter else {
            self.subscribers.retain(|s| !Arc::ptr_eq(&s.client, client));
            self.subscribers.shrink_to_fit();
            return;
        };
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        if let Some(child) = self.children.get_mut(level) {
            child.remove(rest, client);
            if child.is_empty() {
                self.children.remove(level);
            }
        }
    }

    /// Collects the subscribers of all filters that match; `first` guards [MQTT-4.7.2-1]:
    /// wildcards at the first level do not match topics that begin with `$`.
    fn collect<'a>(&'a self, topic: Option<&str>, first: bool, out: &mut Vec<&'a Subscriber>) {
        let Some(topic) = topic else {
            out.extend(&self.subscribers);
            // `a/#` matches `a` too.
            if let Some(all) = self.children.get("#") {
                out.extend(&all.subscribers);
            }
            return;
        };
        let (level, rest) = match topic.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (topic, None),
        };
        if !(first && level.starts_with('$')) {
            if let Some(all) = self.children.get("#") {
                out.extend(&all.subscribers);
            }
            if let Some(any) = self.children.get("+") {
                any.collect(rest, false, out);
            }
        }
        // A topic holds no wildcard, so this is never the `+` or `#` child.
        if let Some(child) = self.children.get(level) {
            child.collect(rest, false, out);
        }
    }
}

/// Whether `filter` matches `topic` ([MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.7.2-1]).
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && (filter.starts_with('#') || filter.starts_with('+')) {
        return false;
    }
    let (mut filters, mut topics) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), topics.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(f), Some(t)) if f == t => {}
            _ => return false,
        }
    }
}

/// The plain topics of one broker.
#[derive(Debug)]
pub(crate) struct Router {
    trie: RwLock<Node>,
    retained: Retained,
    bound: Bound,
}

impl Router {
    pub(crate) fn new(retained: retained::Bounds, bound: Bound) -> Self {
        Self { trie: RwLock::default(), retained: Retained::new(retained), bound }
    }

    /// How much may wait for one client.
    pub(crate) const fn bound(&self) -> Bound {
        self.bound
    }

    pub(crate) fn subscribe(&self, filter: &str, client: &Arc<Client>, wish: Wish) {
        self.trie.write().insert(filter, client, wish);
    }

    pub(crate) fn unsubscribe(&self, filter: &str, client: &Arc<Client>) {
        self.trie.write().remove(Some(filter), client);
    }

    /// Gives a message to all whose filters match, once each with the highest of their QoS.
    /// Returns how many it reached. `from`: the publisher, for no-local.
    pub(crate) fn publish(
        &self,
        message: &Arc<Message>,
        qos: Qos,
        retain: bool,
        from: Option<&Arc<Client>>,
    ) -> usize {
        let mut targets: Vec<(Arc<Client>, Wish)> = Vec::new();
        {
            let trie = self.trie.read();
            let mut found = Vec::new();
            trie.collect(Some(&message.topic), true, &mut found);
            for subscriber in found {
                let own = from.is_some_and(|c| Arc::ptr_eq(c, &subscriber.client));
                if !(own && subscriber.wish.no_local) {
                    targets.push((Arc::clone(&subscriber.client), subscriber.wish));
                }
            }
        }
        // Overlapping filters: one delivery with the highest QoS ([MQTT-3.3.5-1]).
        targets.sort_by_key(|(client, wish)| (Arc::as_ptr(client), std::cmp::Reverse(wish.qos)));
        targets.dedup_by_key(|(client, _)| Arc::as_ptr(client));
        let mut reached = 0;
        for (client, wish) in targets {
            let delivery = Delivery {
                message: Arc::clone(message),
                qos: qos.min(wish.qos),
                retain: retain && wish.retain_as_published,
                mark: None,
                identifier: wish.identifier,
            };
            reached += usize::from(client.offer(delivery, self.bound));
        }
        reached
    }

    /// Keeps or, with an empty payload, forgets a retained message of `owner`. `false`: there is no
    /// room for it.
    pub(crate) fn retain(&self, message: &Arc<Message>, qos: Qos, owner: Option<&UserId>) -> bool {
        self.retained.set(message, qos, owner)
    }

    /// Gives the retained messages that a new subscription matches, as far as the client's queue has
    /// room. Returns how many were looked at.
    pub(crate) fn send_retained(&self, filter: &str, client: &Arc<Client>, wish: Wish) -> usize {
        let mut lookup = Lookup::new(filter);
        let mut seen = 0;
        loop {
            let step = self.retained.step(&mut lookup, usize::MAX);
            seen += step.seen;
            for (message, qos) in step.found {
                let delivery = Delivery {
                    message,
                    qos: qos.min(wish.qos),
                    retain: true,
                    mark: None,
                    identifier: wish.identifier,
                };
                if !client.offer_if_room(delivery, self.bound) {
                    // What comes behind finds no room either.
                    return seen;
                }
            }
            if step.done {
                return seen;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        let table = [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("+", "", true),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("+", "/a", false),
            ("a", "b", false),
        ];
        let registry = crate::client::Registry::new();
        let client = registry.client(&"c".into());
        let wish = Wish {
            qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            identifier: None,
        };
        for (filter, topic, expected) in table {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
            let mut root = Node::default();
            root.insert(filter, &client, wish);
            let mut found = Vec::new();
            root.collect(Some(topic), true, &mut found);
            assert_eq!(!found.is_empty(), expected, "trie: {filter} {topic}");
            root.remove(Some(filter), &client);
            assert!(root.is_empty(), "{filter} left something behind");
        }
    }
}
