//! Who types where: state with a deadline, kept in memory only.
//!
//! A client says START with the first key, RENEW every three seconds while keys come, STOP after a
//! silence. The board passes on what others need to know: at most one packet a second for a sender
//! and conversation, of which the latest state wins, and a STOP for whoever says nothing more.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::ids::{ConversationId, UserId};

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

/// What others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
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
    rows_max: usize,
}

impl Board {
    /// At most `rows_max` senders are known at a time; of more, nothing is told. A row takes about
    /// 200 bytes.
    #[must_use]
    pub fn new(rows_max: usize) -> Self {
        Self { rows: HashMap::new(), due: BTreeSet::new(), rows_max }
    }

    /// A client has said something. Answers what others are told now.
    pub fn handle(
        &mut self,
        conversation: ConversationId,
        user: &UserId,
        input: Input,
        now: Instant,
    ) -> Option<Forward> {
        let key = (conversation, user.clone());
        let mut row = match self.rows.remove(&key) {
            Some(row) => {
                self.due.remove(&(row.due(), key.clone()));
                row
            }
            None if input == Input::Stop || self.rows.len() >= self.rows_max => return None,
            None => Row { until: None, told: false, owed: false, next: now },
        };
        row.until = (input == Input::Active).then(|| now + SILENCE);
        // Told again only when it came a while after the last packet: what comes within the pause
        // says nothing new to those who have just been told.
        row.owed = input == Input::Active && (row.owed || !row.told || now >= row.next);
        self.settle(key, row, now)
    }

    /// The sender's message has arrived, which says it all: nothing more is told.
    pub fn clear(&mut self, conversation: ConversationId, user: &UserId) {
        let key = (conversation, user.clone());
        if let Some(mut row) = self.rows.remove(&key) {
            self.due.remove(&(row.due(), key.clone()));
            (row.until, row.told, row.owed) = (None, false, false);
            // Kept until its second is over.
            self.keep(key, row);
        }
    }

    /// What has become due; call it until there is nothing more.
    pub fn poll(&mut self, now: Instant) -> Option<Forward> {
        loop {
            let (due, _) = self.due.first()?;
            if *due > now {
                return None;
            }
            let (_, key) = self.due.pop_first()?;
            let Some(mut row) = self.rows.remove(&key) else { continue };
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
        let forward = tells.then(|| Forward { conversation: key.0, user: key.1.clone(), active });
        if tells {
            (row.told, row.owed, row.next) = (active, false, now + PAUSE);
        }
        if row.until.is_some() || row.told || row.next > now {
            self.keep(key, row);
        }
        forward
    }

    fn keep(&mut self, key: Key, row: Row) {
        self.due.insert((row.due(), key.clone()));
        self.rows.insert(key, row);
    }
}

#[cfg(test)]
mod tests;
