//! Which conversations are open on which screens, and so whose presence is told to whom. No I/O.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use godwit_core::ids::{ConversationId, UserId};
use godwit_core::presence::Epoch;

use crate::directory::Known;
use crate::limits;

/// One conversation that is open on at least one screen.
struct Room<V> {
    known: Arc<Known>,
    /// By the number of the connection; never empty.
    viewers: HashMap<Epoch, V>,
}

/// All open conversations. `V`: one device on screen.
pub(crate) struct Rooms<V> {
    rooms: HashMap<ConversationId, Room<V>>,
    /// The open conversations of each member.
    of: HashMap<UserId, Vec<ConversationId>>,
    /// Members and viewers of all rooms.
    size: usize,
}

/// No more is watched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<V: Clone> Rooms<V> {
    pub(crate) fn new() -> Self {
        Self { rooms: HashMap::new(), of: HashMap::new(), size: 0 }
    }

    /// A device has opened a conversation with these members.
    pub(crate) fn open(
        &mut self,
        conversation: ConversationId,
        known: &Arc<Known>,
        epoch: Epoch,
        viewer: V,
    ) -> Result<(), Full> {
        if let Some(room) = self.rooms.get_mut(&conversation) {
            let full = self.size >= limits::WATCHED_MAX;
            if let Entry::Vacant(place) = room.viewers.entry(epoch) {
                if full {
                    return Err(Full);
                }
                self.size += 1;
                place.insert(viewer);
            }
            return Ok(());
        }
        let size = 1 + known.members.len();
        if self.size + size > limits::WATCHED_MAX {
            return Err(Full);
        }
        self.size += size;
        self.enter(conversation, known);
        let viewers = HashMap::from([(epoch, viewer)]);
        self.rooms.insert(conversation, Room { known: Arc::clone(known), viewers });
        Ok(())
    }

    /// A device has closed a conversation.
    pub(crate) fn close(&mut self, conversation: ConversationId, epoch: Epoch) {
        let Some(room) = self.rooms.get_mut(&conversation) else { return };
        self.size -= usize::from(room.viewers.remove(&epoch).is_some());
        if room.viewers.is_empty() {
            self.clear(conversation);
        }
    }

    /// Nobody watches this conversation any more.
    pub(crate) fn clear(&mut self, conversation: ConversationId) {
        if let Some(room) = self.rooms.remove(&conversation) {
            self.size -= room.viewers.len() + room.known.members.len();
            self.leave(conversation, &room.known);
        }
    }

    /// The members have changed: those who are none any more look no longer. Answers who is new.
    pub(crate) fn refresh(
        &mut self,
        conversation: ConversationId,
        fresh: &Arc<Known>,
        user_of: impl Fn(&V) -> UserId,
    ) -> Vec<UserId> {
        let Some(room) = self.rooms.get_mut(&conversation) else { return Vec::new() };
        if room.known.group_version >= fresh.group_version {
            return Vec::new();
        }
        let viewers = room.viewers.len();
        room.viewers.retain(|_, viewer| fresh.member(&user_of(viewer)).is_some());
        let before = std::mem::replace(&mut room.known, Arc::clone(fresh));
        self.size -= viewers - room.viewers.len();
        self.size = self.size - before.members.len() + fresh.members.len();
        let empty = room.viewers.is_empty();
        self.leave(conversation, &before);
        self.enter(conversation, fresh);
        if empty {
            self.clear(conversation);
            return Vec::new();
        }
        let new = fresh.members.iter().filter(|member| before.member(&member.user).is_none());
        new.map(|member| member.user.clone()).collect()
    }

    /// Whether anyone looks at the user.
    pub(crate) fn is_watched(&self, user: &UserId) -> bool {
        self.of.contains_key(user)
    }

    /// The members of an open conversation.
    pub(crate) fn known(&self, conversation: ConversationId) -> Option<Arc<Known>> {
        self.rooms.get(&conversation).map(|room| Arc::clone(&room.known))
    }

    /// Whether the user is a member of this open conversation.
    pub(crate) fn is_member(&self, user: &UserId, conversation: ConversationId) -> bool {
        self.of.get(user).is_some_and(|ids| ids.contains(&conversation))
    }

    /// Whether this conversation is open on this screen.
    pub(crate) fn is_open(&self, conversation: ConversationId, epoch: Epoch) -> bool {
        self.rooms.get(&conversation).is_some_and(|room| room.viewers.contains_key(&epoch))
    }

    /// Who looks at the user, each once, by which conversations.
    pub(crate) fn viewers_of(&self, user: &UserId) -> Vec<(V, Vec<ConversationId>)> {
        let mut found: HashMap<Epoch, (V, Vec<ConversationId>)> = HashMap::new();
        for id in self.of.get(user).into_iter().flatten() {
            for (epoch, viewer) in self.rooms.get(id).into_iter().flat_map(|room| &room.viewers) {
                let (_, by) = found.entry(*epoch).or_insert_with(|| (viewer.clone(), Vec::new()));
                by.push(*id);
            }
        }
        found.into_values().collect()
    }

    fn enter(&mut self, conversation: ConversationId, known: &Known) {
        for member in &known.members {
            self.of.entry(member.user.clone()).or_default().push(conversation);
        }
    }

    fn leave(&mut self, conversation: ConversationId, known: &Known) {
        for member in &known.members {
            if let Some(ids) = self.of.get_mut(&member.user) {
                ids.retain(|id| *id != conversation);
                if ids.is_empty() {
                    self.of.remove(&member.user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Present;
    use godwit_core::ids::Seq;
    use godwit_core::membership::{ConversationKind, Role};

    const A: ConversationId = ConversationId([1; 16]);
    const B: ConversationId = ConversationId([2; 16]);

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn known(group_version: u64, names: &[&str]) -> Arc<Known> {
        let members = names.iter().zip(1..).map(|(name, tag)| Present {
            user: user(name),
            joined: Seq::ZERO,
            visible: Seq::ZERO,
            tag,
            role: Role::Member,
        });
        let kind = ConversationKind::Group;
        Arc::new(Known { group_version, kind, large: false, members: members.collect() })
    }

    fn viewers(rooms: &Rooms<u8>, name: &str) -> Vec<u8> {
        let mut viewers: Vec<_> = rooms.viewers_of(&user(name)).into_iter().map(|v| v.0).collect();
        viewers.sort_unstable();
        viewers
    }

    #[test]
    fn who_looks_at_whom() {
        let mut rooms = Rooms::new();
        rooms.open(A, &known(1, &["alice", "bob"]), Epoch(1), 1).unwrap();
        rooms.open(A, &known(1, &["alice", "bob"]), Epoch(1), 1).unwrap();
        rooms.open(A, &known(1, &["alice", "bob"]), Epoch(2), 2).unwrap();
        rooms.open(B, &known(1, &["bob", "carol"]), Epoch(1), 1).unwrap();
        assert_eq!(viewers(&rooms, "bob"), [1, 2]);
        assert_eq!(viewers(&rooms, "carol"), [1]);
        assert!(rooms.viewers_of(&user("bob")).contains(&(1, vec![A, B])));
        rooms.close(A, Epoch(1));
        rooms.close(A, Epoch(1));
        assert_eq!(viewers(&rooms, "alice"), [2]);
        assert_eq!(viewers(&rooms, "bob"), [1, 2]);
        assert!(rooms.is_open(A, Epoch(2)) && !rooms.is_open(A, Epoch(1)));
        assert!(rooms.is_member(&user("bob"), A) && !rooms.is_member(&user("carol"), A));
        assert_eq!(rooms.known(B).unwrap().members.len(), 2);
        rooms.close(B, Epoch(1));
        rooms.close(A, Epoch(2));
        assert!(!rooms.is_watched(&user("bob")));
        assert_eq!((rooms.size, rooms.of.len(), rooms.rooms.len()), (0, 0, 0));
    }

    #[test]
    fn newcomers_are_looked_at_and_leavers_not() {
        let user_of = |viewer: &u8| user(if *viewer == 1 { "bob" } else { "alice" });
        let mut rooms = Rooms::new();
        rooms.open(A, &known(3, &["alice", "bob"]), Epoch(1), 1).unwrap();
        rooms.open(A, &known(3, &["alice", "bob"]), Epoch(2), 2).unwrap();
        assert_eq!(rooms.refresh(A, &known(2, &["eve"]), user_of), []);
        assert_eq!(rooms.refresh(B, &known(9, &["eve"]), user_of), []);
        assert_eq!(rooms.refresh(A, &known(4, &["bob", "carol"]), user_of), [user("carol")]);
        assert!(!rooms.is_watched(&user("alice")));
        assert_eq!(viewers(&rooms, "carol"), [1], "alice looks no more");
        // The last one who looked is gone as well.
        assert_eq!(rooms.refresh(A, &known(5, &["carol", "dave"]), user_of), []);
        assert_eq!((rooms.size, rooms.of.len(), rooms.rooms.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_watched_is_bounded() {
        let mut rooms = Rooms::new();
        let names: Vec<_> = (0..100).map(|i| format!("u{i:03}")).collect();
        let known = known(1, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let open = |rooms: &mut Rooms<u8>, i: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&i.to_be_bytes());
            rooms.open(ConversationId(id), &known, Epoch(1), 1)
        };
        let fit = u32::try_from(limits::WATCHED_MAX / 101).unwrap();
        assert!((0..fit).all(|i| open(&mut rooms, i).is_ok()));
        assert_eq!(open(&mut rooms, fit), Err(Full));
        assert_eq!(open(&mut rooms, 0), Ok(()));
    }
}
