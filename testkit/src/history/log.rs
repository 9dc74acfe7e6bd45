//! An entry as the checker compares it, from the wire and from REST.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use godwit_proto::conversation::v1::{self as wire, EntryType, Role, membership};
use serde_json::Value;

use crate::server::Godwit;

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: u64,
    /// Its id, as text.
    pub mid: String,
    /// The chain up to it, in hexadecimal digits.
    pub chain: String,
    /// What it is.
    pub kind: EntryType,
    /// Who wrote it, as `user:device`.
    pub from: String,
    /// The body; empty for changes of members and details.
    pub body: Vec<u8>,
    /// The body was removed.
    pub gone: bool,
    /// The place that it answers; 0: none.
    pub reply_to: u64,
    /// The place of the message that it is about; 0: none.
    pub target: u64,
    /// Whom it names.
    pub mentions: Vec<String>,
    /// Messages up to and with it.
    pub number: u64,
    /// What it changes.
    pub change: Change,
}

/// What an entry changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The conversation was created.
    Created,
    /// These joined, and the group version is this one now.
    Added(Vec<String>, Role, u64),
    /// These left.
    Removed(Vec<String>, u64),
    /// These have another role.
    Roles(Vec<(String, Role)>, u64),
    /// The title (if it was set), what it replaced, and whether its writer did not know of that.
    Details(Option<String>, Vec<u64>, bool),
}

impl Change {
    /// The group version after it, if it changes one.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        match self {
            Self::Added(.., version) | Self::Removed(_, version) | Self::Roles(_, version) => {
                Some(*version)
            }
            Self::None | Self::Created | Self::Details(..) => None,
        }
    }
}

impl Entry {
    /// The user who wrote it.
    #[must_use]
    pub fn user(&self) -> &str {
        self.from.split(':').next().unwrap_or_default()
    }

    /// An app's own entry: not one that the server writes.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.change == Change::None
    }
}

impl fmt::Display for Entry {
    /// One line for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} of {}", self.seq, self.kind, self.from)?;
        match (self.change == Change::None, self.gone) {
            (true, false) => write!(f, " {:?}", String::from_utf8_lossy(&self.body))?,
            (true, true) => write!(f, " (gone)")?,
            (false, _) => write!(f, " {:?}", self.change)?,
        }
        if self.reply_to + self.target > 0 {
            write!(f, ", answers {}, about {}", self.reply_to, self.target)?;
        }
        Ok(())
    }
}

impl From<&wire::Entry> for Entry {
    fn from(entry: &wire::Entry) -> Self {
        let change = match (&entry.membership, &entry.details) {
            (Some(membership), _) => of_wire(membership),
            (None, Some(details)) => {
                Change::Details(details.title.clone(), details.replaces.clone(), details.concurrent)
            }
            (None, None) => Change::None,
        };
        let own = change == Change::None;
        Self {
            seq: entry.seq,
            mid: URL_SAFE_NO_PAD.encode(&entry.message_id),
            chain: hex(&entry.chain),
            kind: entry.r#type(),
            from: format!("{}:{}", entry.sender, entry.device),
            body: if own { entry.body.to_vec() } else { Vec::new() },
            gone: entry.body_gone,
            reply_to: entry.reply_to,
            target: entry.target,
            mentions: entry.mentions.clone(),
            number: entry.number,
            change,
        }
    }
}

fn of_wire(membership: &wire::Membership) -> Change {
    let (users, version) = (membership.users.clone(), membership.group_version);
    match membership.change() {
        membership::Change::Added => Change::Added(users, membership.role(), version),
        membership::Change::Removed => Change::Removed(users, version),
        membership::Change::Roles => {
            let roles = membership.roles.iter().map(|role| (role.user.clone(), role.role()));
            Change::Roles(roles.collect(), version)
        }
        // The members are those that it was created with: nothing changes.
        membership::Change::Created => Change::Created,
        membership::Change::Unspecified => panic!("a change of no kind: {membership:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The whole log of a conversation by REST, as the admin, page by page.
pub async fn read_log(server: &Godwit, cid: &str) -> Vec<Entry> {
    let mut log: Vec<Entry> = Vec::new();
    loop {
        let after = log.last().map_or(0, |entry| entry.seq);
        let path = format!("/v1/conversations/{cid}/messages?after={after}&limit=100");
        let reply = server.ask("GET", &path, server.admin(), None).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let page = reply.json();
        let entries = page["messages"].as_array().expect("a list of messages");
        if entries.is_empty() {
            return log;
        }
        log.extend(entries.iter().map(of_json));
    }
}

fn of_json(json: &Value) -> Entry {
    let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("no {name}: {json}"));
    let number = |name: &str| json[name].as_u64().unwrap_or_default();
    Entry {
        seq: number("seq"),
        mid: text("mid").to_owned(),
        chain: text("chain").to_owned(),
        kind: kind(text("kind")),
        from: format!("{}:{}", text("from"), text("device")),
        body: STANDARD.decode(text("body")).expect("base64"),
        gone: json["body_gone"].as_bool().expect("a flag"),
        reply_to: number("reply_to"),
        target: number("target"),
        mentions: texts(&json["mentions"]),
        number: number("number"),
        change: change_of_json(json),
    }
}

fn change_of_json(json: &Value) -> Change {
    let (membership, details) = (&json["membership"], &json["details"]);
    if membership["change"] == "created" {
        return Change::Created;
    }
    if details.is_object() {
        let replaces = details["replaces"].as_array().expect("a list");
        return Change::Details(
            details["title"].as_str().map(str::to_owned),
            replaces.iter().filter_map(Value::as_u64).collect(),
            details["concurrent"].as_bool().expect("a flag"),
        );
    }
    let Some(change) = membership["change"].as_str() else { return Change::None };
    let (users, version) = (texts(&membership["users"]), membership["group_version"].as_u64());
    let version = version.expect("a version");
    match change {
        "added" => Change::Added(users, role(&membership["role"]), version),
        "removed" => Change::Removed(users, version),
        "roles" => {
            let roles = membership["roles"].as_array().expect("a list");
            let one = |one: &Value| {
                (one["user"].as_str().expect("a user").to_owned(), role(&one["role"]))
            };
            Change::Roles(roles.iter().map(one).collect(), version)
        }
        other => panic!("a change of no kind: {other}"),
    }
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn role(name: &Value) -> Role {
    match name.as_str() {
        Some("owner") => Role::Owner,
        Some("admin") => Role::Admin,
        Some("member") => Role::Member,
        Some("read-only") => Role::ReadOnly,
        other => panic!("a role of no kind: {other:?}"),
    }
}

fn kind(name: &str) -> EntryType {
    match name {
        "message" => EntryType::Message,
        "membership" => EntryType::Membership,
        "edit" => EntryType::Edit,
        "deletion" => EntryType::Deletion,
        "reaction" => EntryType::Reaction,
        "details" => EntryType::Details,
        "pin" => EntryType::Pin,
        "unpin" => EntryType::Unpin,
        other => panic!("an entry of no kind: {other}"),
    }
}
