//! Plain topics: a trie of filters, and who gets what.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use godwit_core::edge::{Delivery, Message, Qos};
use godwit_core::ids::UserId;
use godwit_core::shrink::shrink;
use parking_lot::RwLock;

use crate::client::{Client, Registry};
use crate::filter::Wish;
use crate::link::Link;
use crate::plain::Bound;
use crate::retained::{self, Retained};

#[derive(Debug)]
struct Subscriber {
    client: Arc<Client>,
    wish: Wish,
}

/// The subscribers of one filter. A crowd of them has an index, so that each comes and goes at the same
/// cost.
#[derive(Debug, Default)]
struct Crowd {
    list: Vec<Subscriber>,
    /// Where each stands, by its address; only of a crowd.
    places: HashMap<usize, usize>,
}

/// From so many on, subscribers of one filter are looked up by an index.
const CROWD_MIN: usize = 32;

impl Crowd {
    fn place(&self, client: &Arc<Client>) -> Option<usize> {
        if self.places.is_empty() {
            return self.list.iter().position(|s| Arc::ptr_eq(&s.client, client));
        }
        self.places.get(&address(client)).copied()
    }

    fn put(&mut self, client: &Arc<Client>, wish: Wish) {
        if let Some(place) = self.place(client) {
            self.list[place].wish = wish;
            return;
        }
        self.list.push(Subscriber { client: Arc::clone(client), wish });
        if !self.places.is_empty() {
            self.places.insert(address(client), self.list.len() - 1);
        } else if self.list.len() >= CROWD_MIN {
            let places = self.list.iter().enumerate();
            self.places = places.map(|(place, s)| (address(&s.client), place)).collect();
        }
    }

    fn remove(&mut self, client: &Arc<Client>) {
        let Some(place) = self.place(client) else { return };
        self.list.swap_remove(place);
        if self.list.capacity() > 4 * self.list.len() {
            self.list.shrink_to(2 * self.list.len());
        }
        self.places.remove(&address(client));
        if self.list.len() < CROWD_MIN / 2 {
            self.places = HashMap::new();
        } else if !self.places.is_empty()
            && let Some(moved) = self.list.get(place)
        {
            self.places.insert(address(&moved.client), place);
        }
        shrink(&mut self.places);
    }
}

/// A client's place in memory, which stays the same for as long as anybody has the client.
fn address(client: &Arc<Client>) -> usize {
    Arc::as_ptr(client).addr()
}

/// One level of the trie.
#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    subscribers: Crowd,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.subscribers.list.is_empty()
    }

    fn insert(&mut self, filter: &str, client: &Arc<Client>, wish: Wish) {
        let mut node = self;
        for level in filter.split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        node.subscribers.put(client, wish);
    }

    /// Removes and prunes levels that have become empty.
    fn remove(&mut self, filter: Option<&str>, client: &Arc<Client>) {
        let Some(filter) = filter else {
            return self.subscribers.remove(client);
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
            out.extend(&self.subscribers.list);
            // `a/#` matches `a` too.
            if let Some(all) = self.children.get("#") {
                out.extend(&all.subscribers.list);
            }
            return;
        };
        let (level, rest) = match topic.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (topic, None),
        };
        if !(first && level.starts_with('$')) {
            if let Some(all) = self.children.get("#") {
                out.extend(&all.subscribers.list);
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

/// The plain topics of one broker.
#[derive(Debug)]
pub(crate) struct Router {
    trie: RwLock<Node>,
    retained: Retained,
    bound: Bound,
    registry: Arc<Registry>,
    /// Of replays.
    numbers: AtomicU64,
}

impl Router {
    pub(crate) fn new(retained: retained::Bounds, bound: Bound, registry: Arc<Registry>) -> Self {
        let retained = Retained::new(retained);
        Self { trie: RwLock::default(), retained, bound, registry, numbers: AtomicU64::new(1) }
    }

    /// How much may wait for one client.
    pub(crate) const fn bound(&self) -> Bound {
        self.bound
    }

    /// Puts a filter in force that the client has noted; `replay`: with what is retained of it.
    pub(crate) fn subscribe(&self, filter: &str, client: &Arc<Client>, wish: Wish, replay: bool) {
        let mut wish = wish;
        if replay {
            // Before anything live comes by this filter, so that nothing older comes behind it.
            wish.replay = self.numbers.fetch_add(1, Ordering::Relaxed);
            client.owe(filter, wish);
        }
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
        let mut owed: Vec<(Arc<Client>, u64)> = Vec::new();
        {
            let trie = self.trie.read();
            let mut found = Vec::new();
            trie.collect(Some(&message.topic), true, &mut found);
            for subscriber in found {
                let own = from.is_some_and(|c| Arc::ptr_eq(c, &subscriber.client));
                if !(own && subscriber.wish.no_local) {
                    targets.push((Arc::clone(&subscriber.client), subscriber.wish));
                    if !retain && subscriber.wish.replay > 0 && subscriber.client.is_owed() {
                        owed.push((Arc::clone(&subscriber.client), subscriber.wish.replay));
                    }
                }
            }
        }
        if !owed.is_empty()
            && let Some(kept) = self.retained.get(&message.topic)
        {
            for (client, replay) in owed {
                client.overtake(replay, (&kept.0, kept.1), self.bound);
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
            self.registry.give_way(&client);
        }
        reached
    }

    /// Keeps or, with an empty payload, forgets a retained message of `owner`. `false`: there is no
    /// room for it.
    pub(crate) fn retain(&self, message: &Arc<Message>, qos: Qos, owner: Option<&UserId>) -> bool {
        self.retained.set(message, qos, owner)
    }

    /// Goes on giving a client what it is owed of the retained messages, as far as its queue has room.
    /// Returns how many were looked at: a step's worth at most.
    pub(crate) fn replay(&self, client: &Client, link: &Link) -> usize {
        client.replay(link, &self.retained, self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Accounts, Bounds};
    use crate::filter::matches;

    const WISH: Wish = Wish {
        qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        identifier: None,
        replay: 0,
    };

    fn registry() -> Registry {
        Registry::new(Accounts::new(Bounds { devices: 0, user_bytes: 1, bytes: 1 }))
    }

    #[test]
    fn a_crowd_on_one_filter_is_looked_up_and_not_gone_through() {
        const COUNT: usize = 1000;
        let registry = registry();
        let clients: Vec<_> =
            (0..COUNT).map(|n| registry.client(&format!("c{n}").into())).collect();
        let mut root = Node::default();
        for _ in 0..2 {
            clients.iter().for_each(|client| root.insert("news", client, WISH));
        }
        for (gone, client) in clients.iter().enumerate() {
            let crowd = &root.children["news"].subscribers;
            assert_eq!(crowd.list.len(), COUNT - gone);
            let indexed = if crowd.list.len() < CROWD_MIN / 2 { 0 } else { crowd.list.len() };
            assert_eq!(crowd.places.len(), indexed);
            for (place, subscriber) in crowd.list.iter().enumerate() {
                assert_eq!(crowd.place(&subscriber.client), Some(place));
            }
            root.remove(Some("news"), client);
        }
        assert!(root.is_empty());
    }

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
        let registry = registry();
        let client = registry.client(&"c".into());
        for (filter, topic, expected) in table {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
            let mut root = Node::default();
            root.insert(filter, &client, WISH);
            let mut found = Vec::new();
            root.collect(Some(topic), true, &mut found);
            assert_eq!(!found.is_empty(), expected, "trie: {filter} {topic}");
            root.remove(Some(filter), &client);
            assert!(root.is_empty(), "{filter} left something behind");
        }
    }
}
