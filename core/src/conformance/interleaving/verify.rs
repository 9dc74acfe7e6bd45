//! Comparing a store with its logs, replaying them elsewhere, repeating what was asked.

use super::run::prune;
use super::{Done, PEOPLE, POLICY, Report, Send, Store, World, accepted, fresh_id, person};
use crate::change::ChangeRequest;
use crate::entry::Entry;
use crate::ids::{ConversationId, Seq};
use crate::inbox::{Badge, InboxQuery, Item, Place, Shelf};
use crate::limits::{INBOX_PAGE_MAX, PAGE_ENTRIES_MAX, PINS_MAX};
use crate::store::Range;

impl World {
    /// Compares everything that the store keeps beside these logs with what the logs give.
    pub async fn matches(&self, store: &dyn Store) {
        for (id, model) in &self.models {
            let now = store.conversation(*id).await.unwrap().unwrap();
            assert_eq!(now, *model.conversation(), "the conversation");
            assert_eq!(whole_log(store, *id).await, model.log(), "the log");
            assert_eq!(store.stays(*id, None, 1000).await.unwrap(), model.stays(), "the stays");
            assert_eq!(store.receipts(*id).await.unwrap(), model.receipts(), "the receipts");
            assert_eq!(store.pins(*id, PINS_MAX).await.unwrap(), model.pins(), "the pins");
        }
        for number in 0..PEOPLE {
            let user = person(self.case, number);
            let mut expected: Vec<Item> =
                self.models.values().filter_map(|model| model.item(&user, self.now_ms)).collect();
            expected.sort_by_key(|item| std::cmp::Reverse(Place::of(item)));
            let (shelf, limit, now_ms) = (Shelf::All, INBOX_PAGE_MAX, self.now_ms);
            let query = InboxQuery { shelf, limit, now_ms, ..InboxQuery::default() };
            let badge = store.badge(&user, self.now_ms).await.unwrap();
            assert_eq!(badge, badge_of(&expected, self.now_ms), "{user}'s badge");
            let shown = store.inbox(&user, &query).await.unwrap().items;
            assert_eq!(shown, expected, "{user}'s inbox");
        }
        let before = self.news[0].id.0[..8].iter().copied().chain([0; 8]).collect::<Vec<u8>>();
        let before = ConversationId::from_slice(&before).unwrap();
        let checked = store.check_inboxes(Some(before), 2, false).await.unwrap();
        assert_eq!((checked.conversations, checked.differences), (2, vec![]), "the check");
    }

    /// Carries out what was done here on another store, in the logs' order and each request alone:
    /// the same entries to the last byte of the chain, the same inboxes and receipts.
    pub async fn replay_onto(&self, other: &dyn Store) {
        for new in &self.news {
            other.create(new).await.unwrap();
        }
        for done in &self.done {
            match done {
                Done::Sent(send, seq) => {
                    let batch = std::slice::from_ref(send);
                    let fate = other.commit(batch, &POLICY).await.unwrap().fates[0];
                    assert_eq!(accepted(fate), (send.message_id, *seq, false), "{send:?}");
                }
                Done::Changed(changed) => {
                    let (request, entry) = &**changed;
                    let (again, _) = other.change(request).await.unwrap().unwrap();
                    assert_eq!(again, *entry, "{request:?}");
                }
                Done::Reported(user, place) => {
                    let report =
                        Report { user: user.clone(), places: vec![*place], lenient: false };
                    assert!(other.report(&[report]).await.unwrap()[0].is_ok(), "{place:?}");
                }
                Done::Marked(user, id, change) => {
                    assert!(other.change_marks(user, *id, change).await.unwrap().is_some());
                }
                Done::Blocked(user, name, on) => {
                    other.block(user, name, *on, self.now_ms).await.unwrap().unwrap();
                }
                Done::Pruned(now_ms) => prune(other, *now_ms).await,
            }
        }
        self.matches(other).await;
    }

    /// Asks for everything again that was accepted, last first, with new ids and a later clock, as a
    /// retry does: each is told its first result, and nothing changes.
    pub async fn repeat(&self, store: &dyn Store) {
        let late = self.now_ms + 1_000_000;
        let mut batch: Vec<Send> = Vec::new();
        let mut places = Vec::new();
        for done in self.done.iter().rev() {
            match done {
                Done::Sent(send, seq) => {
                    places.push((send.message_id, *seq, true));
                    batch.push(Send { message_id: fresh_id(), time_ms: late, ..send.clone() });
                }
                Done::Changed(changed) => {
                    let (request, entry) = &**changed;
                    let (message_id, time_ms) = (fresh_id(), late);
                    let request = ChangeRequest { message_id, time_ms, ..request.clone() };
                    let (again, now) = store.change(&request).await.unwrap().unwrap();
                    assert_eq!(again, *entry, "told the first result");
                    assert_eq!(now, *self.models[&now.id].conversation());
                }
                Done::Reported(user, place) => {
                    // Of an earlier stay it would say something new.
                    let mut model = self.models[&place.conversation].clone();
                    if model.report(user, place) == Some(None) {
                        let report =
                            Report { user: user.clone(), places: vec![*place], lenient: false };
                        assert_eq!(store.report(&[report]).await.unwrap(), [Ok(vec![])]);
                    }
                }
                Done::Marked(..) | Done::Blocked(..) | Done::Pruned(_) => {}
            }
        }
        let committed = store.commit(&batch, &POLICY).await.unwrap();
        let told: Vec<_> = committed.fates.into_iter().map(accepted).collect();
        assert_eq!((told, committed.entries), (places, vec![]), "told the first result");
        self.matches(store).await;
    }
}

/// What an inbox as long as these has in all.
fn badge_of(items: &[Item], now_ms: u64) -> Badge {
    let mut badge = Badge::default();
    for item in items.iter().filter(|item| !item.marks.archived) {
        badge.mentions += item.mentions;
        if item.marks.muted_until_ms.is_none_or(|until| until <= now_ms) {
            badge.unread += item.unread;
            badge.conversations += u64::from(item.unread > 0 || item.marks.marked_unread);
        }
    }
    badge
}

async fn whole_log(store: &dyn Store, id: ConversationId) -> Vec<Entry> {
    let mut log: Vec<Entry> = Vec::new();
    loop {
        let after = log.last().map_or(Seq::ZERO, |entry| entry.seq);
        let range = Range::above(after);
        let page = store.read_log(id, range, PAGE_ENTRIES_MAX, usize::MAX).await.unwrap().unwrap();
        if page.entries.is_empty() {
            return log;
        }
        log.extend(page.entries);
    }
}
