//! Who types where: state with a deadline, kept in memory only.
//!
//! A client says START with the first key, RENEW every three seconds while keys come, STOP after a
//! silence. The board passes on what others need to know: at most one packet a second for a sender
//! and conversation, of which the latest state wins, and a STOP for whoever says nothing more, or may
//! or can say nothing more: every end of typing is told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::ids::{ConversationId, UserId};
use crate::presence::Epoch;

/// The least time between two packets about one sender in one conversation.
pub const PAUSE: Duration = Duration::from_secs(1);

/// After so long without a START or RENEW a sender does not type any more.
pub const SILENCE: Duration = Duration::from_secs(6);

/// What a client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// START or RENEW. Both restart the silence; that others are told again restarts their timers.
    Active,
    /// STOP.
    Stop,
}

/// Who says it, where and from where.
#[derive(Debug, Clone, Copy)]
pub struct Typist<'a> {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: &'a UserId,
    /// See [`crate::membership::Member::tag`].
    pub tag: u32,
    /// The other member of a direct conversation.
    pub peer: Option<&'a UserId>,
    /// The device's connection: its end is an end of typing.
    pub source: Epoch,
}

/// What others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// The name by which others are told: also of one who is no member any more.
    pub tag: u32,
    /// Types, or does no more.
    pub active: bool,
}

type Key = (ConversationId, UserId);

#[derive(Debug)]
struct Row {
    /// When the silence is too long; `None`: does not type.
    until: Option<Instant>,
    /// What others believe.
    told: bool,
    /// The last START or RENEW came too early to be passed on.
    owed: bool,
    /// No packet before this moment.
    next: Instant,
    /// As the sender's last word says.
    tag: u32,
    /// As the sender's last word says.
    peer: Option<UserId>,
    /// The connection that was active last.
    source: Epoch,
}

impl Row {
    /// When there is something to do, at the latest.
    fn due(&self) -> Instant {
        match self.until {
            Some(_) if self.owed => self.next,
            Some(until) => until,
            // A STOP to be told, or a row to be forgotten.
            None => self.next,
        }
    }
}

/// All who type, or did a moment ago.
#[derive(Debug)]
pub struct Board {
    rows: HashMap<Key, Row>,
    due: BTreeSet<(Instant, Key)>,
    /// Who types by a connection.
    by_source: HashMap<Epoch, HashSet<Key>>,
    /// Who types in a direct conversation of a user: the user, or the other.
    by_pair: HashMap<UserId, HashSet<Key>>,
    rows_max: usize,
}

impl Board {
    /// At most `rows_max` senders are known at a time; of more, nothing is told. A row takes about
    /// 400 bytes.
    #[must_use]
    pub fn new(rows_max: usize) -> Self {
        Self {
            rows: HashMap::new(),
            due: BTreeSet::new(),
            by_source: HashMap::new(),
            by_pair: HashMap::new(),
            rows_max,
        }
    }

    /// A client has said something. Answers what others are told now.
    pub fn handle(&mut self, from: Typist<'_>, input: Input, now: Instant) -> Option<Forward> {
        let key = (from.conversation, from.user.clone());
        let mut row = match self.take(&key) {
            Some(row) => row,
            None if input == Input::Stop || self.rows.len() >= self.rows_max => return None,
            None => Row {
                until: None,
                told: false,
                owed: false,
                next: now,
                tag: from.tag,
                peer: None,
                source: from.source,
            },
        };
        row.until = (input == Input::Active).then(|| now + SILENCE);
        // Told again only when it came a while after the last packet: what comes within the pause
        // says nothing new to those who have just been told.
        row.owed = input == Input::Active && (row.owed || !row.told || now >= row.next);
        if input == Input::Active {
            (row.tag, row.source, row.peer) = (from.tag, from.source, from.peer.cloned());
        }
        self.settle(key, row, now)
    }

    /// The sender's message has arrived, which says it all: nothing more is told.
    pub fn clear(&mut self, conversation: ConversationId, user: &UserId) {
        let key = (conversation, user.clone());
        if let Some(mut row) = self.take(&key) {
            (row.until, row.told, row.owed) = (None, false, false);
            // Kept until its second is over.
            self.keep(key, row);
        }
    }

    /// The sender may not type there any more (removed, reads only): told by [`Board::poll`].
    pub fn end(&mut self, conversation: ConversationId, user: &UserId) {
        self.end_one((conversation, user.clone()));
    }

    /// A connection has ended: told by [`Board::poll`]. Whoever was active elsewhere since goes on.
    pub fn left(&mut self, source: Epoch) {
        for key in self.by_source.get(&source).cloned().unwrap_or_default() {
            self.end_one(key);
        }
    }

    /// Whom the user blocks may have changed: in direct conversations nobody types now, which is
    /// told by [`Board::poll`]. Who may and does, says so within three seconds.
    pub fn parted(&mut self, user: &UserId) {
        for key in self.by_pair.get(user).cloned().unwrap_or_default() {
            self.end_one(key);
        }
    }

    fn end_one(&mut self, key: Key) {
        if let Some(mut row) = self.take(&key) {
            (row.until, row.owed) = (None, false);
            self.keep(key, row);
        }
    }

    /// What has become due; call it until there is nothing more.
    pub fn poll(&mut self, now: Instant) -> Option<Forward> {
        loop {
            let (due, key) = self.due.first()?;
            if *due > now {
                return None;
            }
            let key = key.clone();
            let Some(mut row) = self.take(&key) else {
                self.due.pop_first();
                continue;
            };
            if row.until.is_some_and(|until| until <= now) {
                (row.until, row.owed) = (None, false);
            }
            let forward = self.settle(key, row, now);
            if forward.is_some() {
                return forward;
            }
        }
    }

    /// When [`Board::poll`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Whether nobody is known to type.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tells what may be told now, and remembers what is left to do.
    fn settle(&mut self, key: Key, mut row: Row, now: Instant) -> Option<Forward> {
        let active = row.until.is_some();
        let news = if active { row.owed } else { row.told };
        let tells = news && now >= row.next;
        let (conversation, user, tag) = (key.0, key.1.clone(), row.tag);
        let forward = tells.then_some(Forward { conversation, user, tag, active });
        if tells {
            (row.told, row.owed, row.next) = (active, false, now + PAUSE);
        }
        if row.until.is_some() || row.told || row.next > now {
            self.keep(key, row);
        }
        forward
    }

    fn take(&mut self, key: &Key) -> Option<Row> {
        let row = self.rows.remove(key)?;
        self.due.remove(&(row.due(), key.clone()));
        if row.until.is_some() {
            strike(&mut self.by_source, &row.source, key);
            for user in row.peer.iter().flat_map(|peer| [peer, &key.1]) {
                strike(&mut self.by_pair, user, key);
            }
        }
        Some(row)
    }

    fn keep(&mut self, key: Key, row: Row) {
        self.due.insert((row.due(), key.clone()));
        if row.until.is_some() {
            self.by_source.entry(row.source).or_default().insert(key.clone());
            for user in row.peer.iter().flat_map(|peer| [peer, &key.1]) {
                self.by_pair.entry(user.clone()).or_default().insert(key.clone());
            }
        }
        self.rows.insert(key, row);
    }
}

fn strike<K: Eq + Hash>(index: &mut HashMap<K, HashSet<Key>>, of: &K, key: &Key) {
    if let Some(keys) = index.get_mut(of) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(of);
        }
    }
}

#[cfg(test)]
mod tests;
