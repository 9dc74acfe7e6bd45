//! A change as the text that stands in the log's body: the chain covers it, so it never changes.
//!
//! Members: `added 3:7 alice bob` (group version 3, first tag 7), `added 3:7:4 carol` (role 4),
//! `removed 4 bob`, `roles 5 alice=2 bob=1`. The first version wrote no tag: `added 3 alice`.
//! The creation, `created 2 3 alice=1 bob=3 carol=3` (a group, 3 members, those named with their
//! roles), has what was set of the details in the lines below it.
//! Details, a field a line: `title Our trip`, `description ...`, `history 2`, `expiry 3600`,
//! `replaces 12`, `concurrent`. In texts `\n` and `\\` stand for a line's end and a backslash.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{Change, DetailsChange};
use crate::entry::Entry;
use crate::ids::{Seq, UserId};
use crate::membership::{ConversationKind, History, Role};

impl Entry {
    /// The change of members or details that this entry holds, if it is one.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        if self.kind.is_change() { Change::from_body(&self.body) } else { None }
    }
}

impl Change {
    /// The body of the log's entry.
    #[must_use]
    pub fn to_body(&self) -> Bytes {
        let mut text = String::new();
        match self {
            Self::Created { kind, count, members, details } => {
                let _ = write!(text, "created {} {count}", kind.code());
                for (user, role) in members {
                    let _ = write!(text, " {user}={}", role.code());
                }
                if *details != DetailsChange::default() {
                    text.push('\n');
                    push_details(&mut text, details);
                }
            }
            Self::Added { group_version, users, role, first_tag } => {
                let _ = write!(text, "added {group_version}");
                if *first_tag > 0 {
                    let _ = write!(text, ":{first_tag}");
                }
                if *role != Role::Member {
                    let _ = write!(text, ":{}", role.code());
                }
                push_users(&mut text, users);
            }
            Self::Removed { group_version, users } => {
                let _ = write!(text, "removed {group_version}");
                push_users(&mut text, users);
            }
            Self::Roles { group_version, roles } => {
                let _ = write!(text, "roles {group_version}");
                for (user, role) in roles {
                    let _ = write!(text, " {user}={}", role.code());
                }
            }
            Self::Details(details) => push_details(&mut text, details),
        }
        Bytes::from(text)
    }

    /// Reads [`Change::to_body`]; `None` when it is not one.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut words = text.split(' ');
        match words.next()? {
            "created" => created(text),
            "added" => {
                let mut numbers = words.next()?.split(':');
                let group_version = numbers.next()?.parse().ok()?;
                let first_tag = numbers.next().map_or(Ok(0), str::parse).ok()?;
                let role = match numbers.next() {
                    None => Role::Member,
                    Some(code) => Role::from_code(code.parse().ok()?)?,
                };
                Some(Self::Added { group_version, users: users(words)?, role, first_tag })
            }
            "removed" => {
                let group_version = words.next()?.parse().ok()?;
                Some(Self::Removed { group_version, users: users(words)? })
            }
            "roles" => {
                let group_version = words.next()?.parse().ok()?;
                Some(Self::Roles { group_version, roles: words.map(role).collect::<Option<_>>()? })
            }
            _ => text.lines().try_fold(DetailsChange::default(), take_line).and_then(|details| {
                (details != DetailsChange::default()).then_some(Self::Details(details))
            }),
        }
    }
}

fn created(text: &str) -> Option<Change> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let mut words = first.split(' ').skip(1);
    let kind = ConversationKind::from_code(words.next()?.parse().ok()?)?;
    let count = words.next()?.parse().ok()?;
    let members = words.map(role).collect::<Option<_>>()?;
    let details = rest.lines().try_fold(DetailsChange::default(), take_line)?;
    Some(Change::Created { kind, count, members, details })
}

/// Reads `alice=2`.
fn role(word: &str) -> Option<(UserId, Role)> {
    let (user, code) = word.split_once('=')?;
    Some((UserId::new(user).ok()?, Role::from_code(code.parse().ok()?)?))
}

fn push_users(text: &mut String, users: &[UserId]) {
    for user in users {
        text.push(' ');
        text.push_str(user.as_str());
    }
}

fn users<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<UserId>> {
    words.map(|word| UserId::new(word).ok()).collect()
}

fn push_details(text: &mut String, details: &DetailsChange) {
    let mut lines = Vec::new();
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('\n', "\\n");
    lines.extend(details.title.as_deref().map(|t| format!("title {}", escaped(t))));
    lines.extend(details.description.as_deref().map(|t| format!("description {}", escaped(t))));
    lines.extend(details.history.map(|history| format!("history {}", history.code())));
    lines.extend(details.expiry_s.map(|s| format!("expiry {s}")));
    lines.extend(details.replaces.iter().map(|seq| format!("replaces {seq}")));
    if details.concurrent {
        lines.push("concurrent".to_owned());
    }
    text.push_str(&lines.join("\n"));
}

fn take_line(mut details: DetailsChange, line: &str) -> Option<DetailsChange> {
    let (field, value) = line.split_once(' ').unwrap_or((line, ""));
    match field {
        "title" => details.title = Some(unescaped(value)?),
        "description" => details.description = Some(unescaped(value)?),
        "history" => details.history = Some(History::from_code(value.parse().ok()?)?),
        "expiry" => details.expiry_s = Some(value.parse().ok()?),
        "replaces" => details.replaces.push(Seq(value.parse().ok()?)),
        "concurrent" => details.concurrent = true,
        _ => return None,
    }
    Some(details)
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                '\\' => '\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}
