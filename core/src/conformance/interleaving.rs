//! Commands of several people in whatever order, run against a store and recomputed.
//!
//! A store's property test makes lists of [`Command`]s, shuffles and repeats them, and asks: does
//! what the store keeps beside the log equal what its log gives ([`World::matches`]); does the same
//! log, carried out anew in another store, give the same ([`World::replay_onto`]); and do repeated
//! requests change nothing ([`World::repeat`])?

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::model::Model;
use super::support::{NOW, accepted, checked_log, fresh_id};
use crate::change::{Ask, ChangeRequest, DetailsChange};
use crate::commit::{Act, Fate, Send, SendKey};
use crate::entry::Entry;
use crate::ids::{ClientMessageId, ConversationId, DeviceId, Identity, MessageId, Seq, UserId};
use crate::inbox::MarksChange;
use crate::membership::{ConversationKind, Details, Founding, History, NewConversation, Role};
use crate::policy::{Policy, Strangers};
use crate::receipt::{Place, Report};
use crate::store::{Prune, Store};

mod run;
mod verify;

/// Who takes part: numbers below this. 0 owns the group, and is one of the two of the direct
/// conversation; 1 is the other.
pub const PEOPLE: u8 = 5;

/// How long a message may be edited here: so many commands' time passes quickly.
const POLICY: Policy = Policy {
    edit_window_ms: 40_000,
    delete_window_ms: 60_000,
    strangers: Strangers {
        contacts_only: false,
        by_invitation: false,
        per_day: 0,
        group_members_max: usize::MAX,
    },
};

/// What somebody does. Numbers of people and places are taken as they are: many are wrong.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each line above names the fields in their order")]
pub enum What {
    /// A message: what it answers, whom it names, which group version, whether it disappears, whether
    /// it marks its conversation read.
    Say { reply: Option<u8>, names: Vec<u8>, version: Option<u8>, expires: bool, reads: bool },
    /// Something about the message at this place; whom an edit names.
    About { kind: About, target: u8, names: Vec<u8> },
    /// These join with a role.
    Add { users: Vec<u8>, role: Role },
    /// These leave, or are removed.
    Remove { users: Vec<u8> },
    /// A member gets another role.
    Role { user: u8, role: Role },
    /// The ownership goes over.
    Transfer { to: u8 },
    /// Title, history, expiry; the title's writer knows so much of the log.
    Details { title: Option<u8>, history: Option<bool>, expiry: Option<bool>, knows: Option<u8> },
    /// How far somebody has got.
    Report { delivered: u8, read: u8 },
    /// Somebody's own marks.
    Mark(MarksChange),
    /// Blocks or unblocks.
    Block { other: u8, on: bool },
    /// What has expired is removed.
    Prune,
}

/// What a send is about a message.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "they are named as acts are")]
pub enum About {
    Edit,
    Delete,
    React,
    Unreact,
    Pin,
    Unpin,
}

/// Who does it, with which device, and in which of the two conversations.
#[derive(Debug, Clone)]
pub struct Command {
    /// A number below [`PEOPLE`].
    pub actor: u8,
    /// One of two devices.
    pub phone: bool,
    /// In the direct conversation, not the group.
    pub direct: bool,
    /// What.
    pub what: What,
}

/// A command that was carried out, as it would be carried out again.
#[derive(Debug, Clone)]
enum Done {
    Sent(Send, Seq),
    Changed(Box<(ChangeRequest, Entry)>),
    Reported(UserId, Place),
    Marked(UserId, ConversationId, MarksChange),
    Blocked(UserId, UserId, bool),
    Pruned(u64),
}

/// A command as a request of the store.
enum Request {
    Send(Send),
    Change(ChangeRequest),
    Report(UserId, Place),
    Mark(UserId, ConversationId, MarksChange),
    Block(UserId, UserId, bool),
    Prune(u64),
}

/// Two conversations, what was done in them, and what their logs say.
pub struct World {
    case: u64,
    news: [NewConversation; 2],
    models: BTreeMap<ConversationId, Model>,
    done: Vec<Done>,
    /// What each key was answered first.
    told: HashMap<(ConversationId, Identity, String), (MessageId, Seq)>,
    now_ms: u64,
}

impl World {
    /// Two new conversations that no other case has, of people whom no other case has.
    pub async fn begin(store: &dyn Store, case: u64) -> Self {
        let id = |last: u8| {
            let mut bytes = [last; 16];
            bytes[..8].copy_from_slice(&case.to_be_bytes());
            ConversationId(bytes)
        };
        let new = |id, kind, count: u8| NewConversation {
            id,
            kind,
            members: (0..count)
                .map(|n| (person(case, n), if n == 0 { Role::Owner } else { Role::Member }))
                .collect(),
            details: Details::default(),
            time_ms: NOW,
            // Logs of before begin empty.
            founding: (case.is_multiple_of(2)).then(|| {
                let device = DeviceId::new("d").unwrap();
                let by = Identity { user: person(case, 0), device };
                Founding { by, message_id: fresh_id() }
            }),
        };
        let news =
            [new(id(1), ConversationKind::Group, 3), new(id(2), ConversationKind::Direct, 2)];
        let mut models = BTreeMap::new();
        for new in &news {
            let mut model = Model::new(new);
            let made = store.create(new).await.unwrap();
            for entry in checked_log(store, new.id).await {
                model.take(&entry);
            }
            assert_eq!(made, *model.conversation());
            models.insert(new.id, model);
        }
        Self { case, news, models, done: Vec::new(), told: HashMap::new(), now_ms: NOW }
    }

    /// What was carried out, each by its name: a test that saw none of a kind has shown nothing of
    /// it.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for done in &self.done {
            let name = match done {
                Done::Sent(send, _) => format!("{:?}", send.act.kind()),
                Done::Changed(changed) => format!("{:?}", changed.1.kind),
                Done::Reported(..) => "receipt".to_owned(),
                Done::Marked(..) => "mark".to_owned(),
                Done::Blocked(..) => "block".to_owned(),
                Done::Pruned(_) => "prune".to_owned(),
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
    }

    /// The group's id.
    #[must_use]
    pub fn group(&self) -> ConversationId {
        self.news[0].id
    }

    /// The id of the person of a number.
    #[must_use]
    pub fn person(&self, number: u8) -> UserId {
        person(self.case, number)
    }

    fn model(&mut self, id: ConversationId) -> &mut Model {
        self.models.get_mut(&id).unwrap()
    }

    /// The request that a command stands for, made now; `number` names its key.
    fn request(&self, number: usize, command: &Command) -> Request {
        let id = self.news[usize::from(command.direct)].id;
        let person = |n: u8| self.person(n);
        let actor = person(command.actor);
        let device = if command.phone { "phone" } else { "laptop" };
        let from = Identity { user: actor.clone(), device: device.parse().unwrap() };
        let key = ClientMessageId::new(&format!("k{number}")).unwrap();
        let ask = match &command.what {
            What::Say { .. } | What::About { .. } => {
                return Request::Send(self.send(id, from, SendKey::Client(key), &command.what));
            }
            What::Report { delivered, read } => {
                let (delivered, read) = (Seq((*delivered).into()), Seq((*read).into()));
                return Request::Report(actor, Place { conversation: id, delivered, read });
            }
            What::Mark(change) => return Request::Mark(actor, id, *change),
            What::Block { other, on } => return Request::Block(actor, person(*other), *on),
            What::Prune => return Request::Prune(self.now_ms),
            What::Add { users, role } => {
                Ask::Add { users: users.iter().map(|n| person(*n)).collect(), role: *role }
            }
            What::Remove { users } => {
                Ask::Remove { users: users.iter().map(|n| person(*n)).collect() }
            }
            What::Role { user, role } => Ask::Roles { roles: vec![(person(*user), *role)] },
            What::Transfer { to } => Ask::Transfer { to: person(*to) },
            What::Details { title, history, expiry, knows } => Ask::Details {
                set: DetailsChange {
                    title: title.map(|n| format!("title {n}")),
                    history: history.map(|all| if all { History::All } else { History::FromJoin }),
                    expiry_s: expiry.map(|on| if on { 25 } else { 0 }),
                    ..DetailsChange::default()
                },
                based_on: knows.map(|seq| Seq(seq.into())),
            },
        };
        Request::Change(ChangeRequest {
            conversation: id,
            actor: Some(from),
            ask,
            stamp: None,
            adding: None,
            key: SendKey::Change(key),
            message_id: fresh_id(),
            time_ms: self.now_ms,
        })
    }

    fn send(&self, id: ConversationId, from: Identity, key: SendKey, what: &What) -> Send {
        let (mut version, mut expires, mut marks) = (None, false, false);
        let people = |names: &[u8]| names.iter().map(|n| person(self.case, *n)).collect();
        let act = match what {
            What::Say { reply, names, version: named, expires: disappears, reads } => {
                (version, expires, marks) = (named.map(u64::from), *disappears, *reads);
                Act::Message { reply_to: reply.map(|seq| Seq(seq.into())), mentions: people(names) }
            }
            What::About { kind, target, names } => {
                let target = Seq((*target).into());
                match kind {
                    About::Edit => Act::Edit { target, mentions: people(names) },
                    About::Delete => Act::Delete { target },
                    About::React | About::Unreact => Act::React { target },
                    About::Pin => Act::Pin { target },
                    About::Unpin => Act::Unpin { target },
                }
            }
            other => unreachable!("{other:?} is no send"),
        };
        let body = match (&act, what) {
            (Act::React { .. }, What::About { kind: About::Unreact, .. })
            | (Act::Delete { .. } | Act::Pin { .. } | Act::Unpin { .. }, _) => Bytes::new(),
            _ => Bytes::from(format!("{} of {from}", key.to_stored())),
        };
        Send {
            conversation: id,
            from,
            key,
            message_id: fresh_id(),
            act,
            body,
            group_version: version,
            previous_chain: None,
            expires_ms: expires.then_some(self.now_ms + 17_000),
            time_ms: self.now_ms,
            reads: marks,
        }
    }
}

/// The name of a person of a case.
fn person(case: u64, number: u8) -> UserId {
    UserId::new(&format!("p{number}-{case}")).unwrap()
}
