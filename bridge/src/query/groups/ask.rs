//! What is asked on `q/groups`, read and checked as far as it can be without the store.

use godwit_core::change::{Ask, DetailsChange};
use godwit_core::commit::SendKey;
use godwit_core::ids::{ConversationId, Identity, MessageId, Seq, UserId};
use godwit_core::limits::{CHANGE_USERS_MAX, MEMBERS_MAX};
use godwit_core::membership::{
    ConversationKind, Details, Founding, History, NewConversation, Role,
};
use godwit_proto::conversation::v1 as log_wire;
use godwit_proto::group::v1 as wire;
use sha2::{Digest as _, Sha256};

use super::super::refusal::Refusal;

/// What is asked.
#[derive(Debug)]
pub(super) enum Asked {
    Get(wire::Get),
    Create(Create),
    Change(Ask),
}

/// A conversation to be created.
#[derive(Debug)]
pub(super) struct Create {
    kind: ConversationKind,
    /// With or without the creator.
    others: Vec<UserId>,
    details: Details,
}

/// Reads a request.
pub(super) fn read(ask: wire::group_request::Ask) -> Result<Asked, Refusal> {
    use wire::group_request::Ask as Wire;
    Ok(match ask {
        Wire::Get(get) => Asked::Get(get),
        Wire::Create(create) => Asked::Create(read_create(create)?),
        Wire::Add(add) => Asked::Change(Ask::Add {
            users: users("users", &add.users, CHANGE_USERS_MAX)?,
            role: role("role", add.role)?.unwrap_or(Role::Member),
        }),
        Wire::Remove(remove) => {
            Asked::Change(Ask::Remove { users: users("users", &remove.users, CHANGE_USERS_MAX)? })
        }
        Wire::SetRoles(set) => Asked::Change(Ask::Roles { roles: roles(&set.roles)? }),
        Wire::Transfer(to) => Asked::Change(Ask::Transfer { to: user("transfer", &to)? }),
        Wire::SetDetails(set) => Asked::Change(Ask::Details {
            set: details(set.details.unwrap_or_default())?,
            based_on: set.based_on.map(Seq),
        }),
    })
}

fn read_create(create: wire::Create) -> Result<Create, Refusal> {
    let kind = if create.direct { ConversationKind::Direct } else { ConversationKind::Group };
    let set = details(create.details.unwrap_or_default())?;
    Ok(Create {
        kind,
        others: users("members", &create.members, MEMBERS_MAX)?,
        details: Details {
            title: set.title.unwrap_or_default(),
            description: set.description.unwrap_or_default(),
            history: set.history.unwrap_or_default(),
            expiry_s: set.expiry_s.filter(|s| *s > 0),
            ..Details::default()
        },
    })
}

impl Create {
    /// The conversation. Its id comes from the creator and the key, so that a repeated request
    /// finds the first one's.
    pub(super) fn into_new(
        self,
        creator: &Identity,
        key: &SendKey,
        message_id: MessageId,
        time_ms: u64,
    ) -> NewConversation {
        let (owner, other) = match self.kind {
            ConversationKind::Direct => (Role::Member, Role::Member),
            ConversationKind::Group => (Role::Owner, Role::Member),
        };
        let mut members = vec![(creator.user.clone(), owner)];
        let others = self.others.into_iter().filter(|user| *user != creator.user);
        members.extend(others.map(|user| (user, other)));
        let (kind, details) = (self.kind, self.details);
        let founding = Some(Founding { by: creator.clone(), message_id });
        NewConversation { id: derived(creator, key), kind, members, details, time_ms, founding }
    }

    /// What is asked, for the key under which it is.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update([self.kind.code(), self.details.history.code()]);
        hash.update(self.details.expiry_s.unwrap_or(0).to_be_bytes());
        for text in [&self.details.title, &self.details.description] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        for user in &self.others {
            // Names hold no NUL.
            hash.update(user.as_str());
            hash.update([0]);
        }
        hash.finalize().into()
    }
}

/// Names hold neither NUL nor `~`, so no two requests hash the same text.
fn derived(creator: &Identity, key: &SendKey) -> ConversationId {
    let text = format!("godwit.create\0{}\0{}\0{}", creator.user, creator.device, key.to_stored());
    let mut id = [0; 16];
    id.copy_from_slice(&Sha256::digest(text)[..16]);
    ConversationId(id)
}

pub(super) fn user(field: &str, name: &str) -> Result<UserId, Refusal> {
    UserId::new(name).map_err(|e| Refusal::malformed(format!("{field}: a user id {e}")))
}

fn users(field: &str, names: &[String], max: usize) -> Result<Vec<UserId>, Refusal> {
    bounded(field, names.len(), max)?;
    names.iter().map(|name| user(field, name)).collect()
}

/// Too long a list is refused before it is read.
fn bounded(field: &str, count: usize, max: usize) -> Result<(), Refusal> {
    if count <= max {
        return Ok(());
    }
    let reason = format!("{field}: {count} users are named, at most {max} go into one request");
    Err(Refusal::malformed(reason))
}

fn roles(roles: &[log_wire::MemberRole]) -> Result<Vec<(UserId, Role)>, Refusal> {
    bounded("roles", roles.len(), CHANGE_USERS_MAX)?;
    let read = |named: &log_wire::MemberRole| {
        let user = user("roles", &named.user)?;
        let role = role("roles", named.role)?;
        let missing = || Refusal::malformed(format!("roles: {user} is given no role"));
        Ok((user.clone(), role.ok_or_else(missing)?))
    };
    roles.iter().map(read).collect()
}

/// `None`: unspecified.
fn role(field: &str, role: i32) -> Result<Option<Role>, Refusal> {
    let known = log_wire::Role::try_from(role)
        .map_err(|_| Refusal::malformed(format!("{field}: role {role} is not known")))?;
    Ok(match known {
        log_wire::Role::Unspecified => None,
        log_wire::Role::Owner => Some(Role::Owner),
        log_wire::Role::Admin => Some(Role::Admin),
        log_wire::Role::Member => Some(Role::Member),
        log_wire::Role::ReadOnly => Some(Role::ReadOnly),
    })
}

/// What the server tells in an entry (`replaces`, `concurrent`) is not asked for.
fn details(details: log_wire::Details) -> Result<DetailsChange, Refusal> {
    let history = match log_wire::History::try_from(details.history) {
        Ok(log_wire::History::Unspecified) => None,
        Ok(log_wire::History::FromJoin) => Some(History::FromJoin),
        Ok(log_wire::History::All) => Some(History::All),
        Err(_) => {
            let reason = format!("details: history {} is not known", details.history);
            return Err(Refusal::malformed(reason));
        }
    };
    let (title, description) = (details.title, details.description);
    let expiry_s = details.expiry_s;
    Ok(DetailsChange { title, description, history, expiry_s, ..DetailsChange::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::ids::ClientMessageId;
    use wire::group_request::Ask as Wire;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn ask(wire: Wire) -> Ask {
        match read(wire).unwrap() {
            Asked::Change(ask) => ask,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_are_read() {
        let bob = UserId::new("bob").unwrap();
        let users = names(&["bob"]);
        assert_eq!(
            ask(Wire::Add(wire::Add { users: users.clone(), role: 0 })),
            Ask::Add { users: vec![bob.clone()], role: Role::Member }
        );
        assert_eq!(
            ask(Wire::Add(wire::Add { users: users.clone(), role: 4 })),
            Ask::Add { users: vec![bob.clone()], role: Role::ReadOnly }
        );
        assert_eq!(
            ask(Wire::Remove(wire::Remove { users })),
            Ask::Remove { users: vec![bob.clone()] }
        );
        assert_eq!(ask(Wire::Transfer("bob".into())), Ask::Transfer { to: bob.clone() });
        let roles = vec![log_wire::MemberRole { user: "bob".into(), role: 2 }];
        assert_eq!(
            ask(Wire::SetRoles(wire::SetRoles { roles })),
            Ask::Roles { roles: vec![(bob, Role::Admin)] }
        );
        let details = log_wire::Details {
            title: Some("us".into()),
            history: 2,
            expiry_s: Some(0),
            replaces: vec![7],
            concurrent: true,
            ..log_wire::Details::default()
        };
        let set = DetailsChange {
            title: Some("us".into()),
            history: Some(History::All),
            expiry_s: Some(0),
            ..DetailsChange::default()
        };
        assert_eq!(
            ask(Wire::SetDetails(wire::SetDetails { details: Some(details), based_on: Some(4) })),
            Ask::Details { set, based_on: Some(Seq(4)) }
        );
    }

    #[test]
    fn requests_that_cannot_be_are_refused() {
        let add = |users, role| Wire::Add(wire::Add { users, role });
        let role = |role| {
            let roles = vec![log_wire::MemberRole { user: "bob".into(), role }];
            Wire::SetRoles(wire::SetRoles { roles })
        };
        let create = |members| Wire::Create(wire::Create { members, ..wire::Create::default() });
        let details = Some(log_wire::Details { history: 9, ..log_wire::Details::default() });
        let many = vec!["bob".to_owned(); CHANGE_USERS_MAX + 1];
        let table = [
            (add(names(&["a/b"]), 0), "users: a user id"),
            (add(names(&["bob"]), 9), "role 9"),
            (add(many, 0), "at most 1000"),
            (role(0), "bob is given no role"),
            (role(-1), "role -1"),
            (Wire::Transfer(String::new()), "transfer: a user id"),
            (create(vec!["bob".to_owned(); 100_000]), "100000 users"),
            (Wire::SetDetails(wire::SetDetails { details, based_on: None }), "history 9"),
        ];
        for (wire, word) in table {
            let refusal = read(wire).unwrap_err();
            assert_eq!(refusal.code(), 0x99);
            assert!(refusal.reason.contains(word), "{}", refusal.reason);
        }
    }

    #[test]
    fn a_repeated_create_is_the_same_conversation() {
        let client = |key| SendKey::Change(ClientMessageId::new(key).unwrap());
        let create = |who: &str, key: &SendKey, direct| {
            let members = names(&["bob", "alice"]);
            let wire = wire::Create { direct, members, details: None };
            read_create(wire).unwrap().into_new(&who.parse().unwrap(), key, MessageId([3; 16]), 5)
        };
        let first = create("alice:phone", &client("k"), false);
        let member = |name: &str, role| (UserId::new(name).unwrap(), role);
        assert_eq!(first.members, [member("alice", Role::Owner), member("bob", Role::Member)]);
        let direct = create("alice:phone", &client("k"), true);
        assert_eq!(direct.members, [member("alice", Role::Member), member("bob", Role::Member)]);
        assert_eq!(first.id, create("alice:phone", &client("k"), false).id);
        let server = SendKey::Server(MessageId([1; 16]));
        let others = [
            create("alice:laptop", &client("k"), false),
            create("bob:phone", &client("k"), false),
            create("alice:phone", &client("k2"), false),
            create("alice:phone", &server, false),
        ];
        for (at, other) in others.iter().enumerate() {
            assert!(other.id != first.id && others[..at].iter().all(|o| o.id != other.id));
        }
    }
}
