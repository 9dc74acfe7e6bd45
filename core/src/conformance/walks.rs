//! Walks through an inbox, page by page, while it moves: nothing is skipped.

use std::cmp::Reverse;

use super::support::{NOW, about, cid, group, place_of, send, user};
use crate::commit::{Act, Send};
use crate::ids::{ConversationId, Seq};
use crate::inbox::{InboxQuery, MarksChange};
use crate::membership::{ConversationKind, Details, NewConversation, Role};
use crate::store::Store;

/// What happens to a conversation between two pages. Times are milliseconds after [`NOW`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// A message that was taken in at this time.
    Say(u8),
    /// It is pinned, by a request of this time.
    Pin(u8),
    /// It is not any more.
    Unpin,
    /// An entry that is no activity.
    React,
}

/// Conversations of a case.
pub const CONVERSATIONS: u8 = 7;

/// A page, and what happens after it, each to a conversation by its number.
pub type Step = (u32, Vec<(u8, Move)>);

/// A conversation as the walk should see it.
#[derive(Debug, Clone, Copy)]
struct Stand {
    id: ConversationId,
    active: u8,
    pinned: Option<u8>,
    moved: bool,
}

impl Stand {
    /// Where it stands in the order of the walk: falling.
    fn key(&self) -> (bool, bool, u8, ConversationId) {
        match self.moved {
            false => (true, self.pinned.is_some(), self.active, self.id),
            true => (false, false, 0, self.id),
        }
    }
}

/// A walk of alice's with a model beside it: every page is what the model says, and each conversation is
/// met. `case` keeps the ids of several in one store apart. What was done, by name, is the answer.
pub async fn walk(store: &dyn Store, case: u64, steps: &[Step]) -> Vec<&'static str> {
    let alice = user(&format!("alice-{case}"));
    let mut stands = Vec::new();
    for number in 0..CONVERSATIONS {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&case.to_be_bytes());
        id[15] = number.wrapping_mul(37);
        let id = ConversationId(id);
        let new = NewConversation {
            id,
            kind: ConversationKind::Group,
            members: vec![(alice.clone(), Role::Owner)],
            details: Details::default(),
            time_ms: NOW,
            founding: None,
        };
        store.create(&new).await.unwrap();
        stands.push(Stand { id, active: 0, pinned: None, moved: false });
        happen(store, case, &mut stands[usize::from(number)], Move::Say(number), 1_000).await;
    }
    stands.iter_mut().for_each(|stand| stand.moved = false);
    let (mut query, mut met, mut done) = (InboxQuery::default(), Vec::new(), Vec::new());
    let (mut after, mut place) = (None, 0);
    loop {
        let (limit, moves) = steps.get(place).map_or((3, &[][..]), |(limit, m)| (*limit, &m[..]));
        query.limit = limit;
        let page = store.inbox(&alice, &query).await.unwrap();
        let shown: Vec<_> = page.items.iter().map(|item| item.conversation).collect();
        stands.sort_by_key(|stand| Reverse(stand.key()));
        let expected: Vec<&Stand> = stands
            .iter()
            .filter(|stand| after.is_none_or(|after| stand.key() < after))
            .take(limit as usize)
            .collect();
        let ids: Vec<_> = expected.iter().map(|stand| stand.id).collect();
        assert_eq!(shown, ids, "page {place}");
        after = expected.last().map(|stand| stand.key()).or(after);
        met.extend(ids);
        if page.next.is_none() {
            break;
        }
        query.after = page.next;
        for (nth, (number, what)) in moves.iter().enumerate() {
            let mut id = stands[0].id;
            id.0[15] = (number % CONVERSATIONS).wrapping_mul(37);
            let stand = stands.iter_mut().find(|stand| stand.id == id).unwrap();
            done.push(happen(store, case, stand, *what, place * 100 + nth).await);
        }
        place += 1;
    }
    stands.iter().for_each(|stand| assert!(met.contains(&stand.id), "{stand:?} of {met:?}"));
    done
}

async fn happen(
    store: &dyn Store,
    case: u64,
    stand: &mut Stand,
    what: Move,
    key: usize,
) -> &'static str {
    let (name, key) = (format!("alice-{case}"), format!("k{key}"));
    let sender = format!("{name}:d");
    let mark = async |pinned: Option<u8>| {
        let pinned_ms = pinned.map(|at| NOW + u64::from(at));
        let change = MarksChange { pinned_ms: Some(pinned_ms), ..MarksChange::default() };
        store.change_marks(&user(&name), stand.id, &change).await.unwrap().unwrap();
    };
    match what {
        Move::Say(at) => {
            let time_ms = NOW + u64::from(at);
            place_of(store, Send { time_ms, ..send(stand.id, &sender, &key) }).await;
            (stand.active, stand.moved) = (at, true);
            "say"
        }
        Move::Pin(at) => {
            mark(Some(at)).await;
            stand.moved |= stand.pinned != Some(at);
            stand.pinned = Some(at);
            "pin"
        }
        Move::Unpin => {
            mark(None).await;
            stand.moved |= stand.pinned.is_some();
            stand.pinned = None;
            "unpin"
        }
        Move::React => {
            let act = Act::React { target: Seq(1) };
            place_of(store, about(stand.id, &sender, &key, act)).await;
            "react"
        }
    }
}

/// What gets a message or a pin between two pages is met once more, at the walk's end, by its id; the
/// others stay in the order of the walk's beginning.
pub async fn what_moves_during_a_walk_is_met_at_its_end(store: &dyn Store) {
    for (case, limit) in (1..).zip([1, 2, 3, 6]) {
        let moves = [(0, Move::Say(200)), (6, Move::Say(201)), (3, Move::Pin(202))];
        let more = [(0, Move::React), (2, Move::Say(203)), (6, Move::Unpin), (3, Move::Unpin)];
        walk(store, case, &[(limit, moves.to_vec()), (limit, more.to_vec())]).await;
    }
}

/// A message that was taken in before the walk began and was committed after its first page: its time
/// says nothing about when others could see it.
pub async fn what_was_taken_in_before_a_walk_is_met(store: &dyn Store) {
    for (case, limit) in (1..).zip([1, 2, 3, 6]) {
        let moves = [(0, Move::Say(5)), (1, Move::Say(0))];
        walk(store, case, &[(limit, moves.to_vec())]).await;
    }
}

/// Likewise a pin, and one that comes and goes.
pub async fn a_pin_of_before_a_walk_is_met(store: &dyn Store) {
    for (case, limit) in (1..).zip([1, 2, 3, 6]) {
        let steps =
            [(limit, vec![(0, Move::Pin(1)), (1, Move::Pin(2))]), (limit, vec![(1, Move::Unpin)])];
        walk(store, case, &steps).await;
    }
}

/// A cursor of a moment that this store has not reached yet (it was restored since) says nothing of what
/// has been met: all comes, by id.
pub async fn a_walk_of_before_a_restore_meets_all(store: &dyn Store) {
    for number in 1..=5 {
        group(store, cid(number), &["alice"]).await;
    }
    let first = InboxQuery { limit: 2, ..InboxQuery::default() };
    let mut next = store.inbox(&user("alice"), &first).await.unwrap().next.unwrap();
    next.moment.end += 1 << 40;
    let rest = InboxQuery { limit: 9, after: Some(next), ..InboxQuery::default() };
    let page = store.inbox(&user("alice"), &rest).await.unwrap();
    let met: Vec<_> = page.items.iter().map(|item| item.conversation).collect();
    assert_eq!(met, [5, 4, 3, 2, 1].map(cid));
}
