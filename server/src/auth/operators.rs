//! The operators' tokens for REST: who holds one, and what it is good for.
//!
//! The file has a line for each: the token alone, which may do all, or NAME SCOPES TOKEN. The name
//! stands in the audit trail. Read again on SIGHUP.

use std::path::{Path, PathBuf};

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use godwit_core::ids::DeviceId;
use sha2::{Digest as _, Sha256};

use super::lines::{self, Line, Place, Secrets, Wrong};
use crate::clock;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::limits::ADMIN_TOKENS_MAX;
use crate::secret::Secret;

/// The name of a token that stands alone in its line.
const NAMELESS: &str = "operator";

/// Bytes of a token, at least.
const TOKEN_BYTES_MIN: usize = 20;

/// A part of REST that a token may be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of it.
    All,
    /// Looking at all of it.
    Read,
    /// Users, their devices, settings and blocks.
    Users,
    /// Conversations, and what a user sees of them.
    Conversations,
}

impl Scope {
    /// As they are written.
    const NAMES: [(&'static str, Self); 4] = [
        ("all", Self::All),
        ("read", Self::Read),
        ("users", Self::Users),
        ("conversations", Self::Conversations),
    ];

    fn allows(self, method: &Method, path: &str) -> bool {
        let below = |root: &str| {
            path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match self {
            Self::All => true,
            Self::Read => matches!(*method, Method::GET | Method::HEAD),
            Self::Users => {
                ["/v1/users", "/v1/devices", "/v1/settings", "/v1/blocks"].into_iter().any(below)
            }
            Self::Conversations => {
                ["/v1/conversations", "/v1/inbox", "/v1/invitations"].into_iter().any(below)
            }
        }
    }
}

/// Reads scopes as they are written: `read,users`. Errors: what is wrong, for people.
pub(crate) fn scopes(text: &str) -> std::result::Result<Vec<Scope>, String> {
    text.split(',')
        .map(|word| {
            let known = Scope::NAMES.iter().find(|(name, _)| *name == word.trim());
            known.map(|(_, scope)| *scope).ok_or_else(|| {
                format!("{word:?} is no scope; there are all, read, users and conversations")
            })
        })
        .collect()
}

/// Who holds a token, and what it is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operator {
    /// For the audit trail.
    pub(crate) name: String,
    scopes: Vec<Scope>,
}

impl Operator {
    /// Whether the token is good for a request.
    pub(crate) fn may(&self, method: &Method, path: &str) -> bool {
        self.scopes.iter().any(|scope| scope.allows(method, path))
    }
}

/// An operator with the token.
#[derive(Debug, Clone)]
struct Token(Operator, Secret);

impl Line for Token {
    const WHAT: &'static str = "token";
    const MAX: usize = ADMIN_TOKENS_MAX;
    const NONE: &'static str = "there is none in it";
    const BROKEN: &'static str = "A line is a token of 20 or more random characters, or NAME SCOPES \
                                  TOKEN. Or remove the file: a new one is made.";
    const MISSING: &'static str = "Name the server's own data directory or configuration: --data DIR, \
                                   --config FILE. `godwit admin add NAME` makes a token.";
    const LAST: (&'static str, &'static str) = (
        "it is the only token: a new one would be made in its place",
        "Add another first: godwit admin add NAME.",
    );
    const LOOK: &'static str = "`godwit admin list` shows whose it has.";

    fn read(line: &str) -> std::result::Result<Self, Wrong> {
        let words: Vec<_> = line.split_whitespace().collect();
        let (name, scopes, token) = match words.as_slice() {
            [token] => (NAMELESS.to_owned(), vec![Scope::All], token),
            [name, granted, token] => {
                let name =
                    DeviceId::new(name).map_err(|error| format!("has a name that {error}"))?;
                let granted = scopes(granted).map_err(|wrong| format!("names scopes: {wrong}"))?;
                (name.to_string(), granted, token)
            }
            _ => return Err("must be TOKEN, or NAME SCOPES TOKEN".to_owned()),
        };
        if token.len() < TOKEN_BYTES_MIN {
            return Err(format!("has a token of less than {TOKEN_BYTES_MIN} characters"));
        }
        Ok(Self(Operator { name, scopes }, Secret::new(*token)))
    }

    fn name(&self) -> Option<&str> {
        Some(&self.0.name)
    }
}

/// All tokens. Clones are the same ones: what [`AdminToken::reload`] reads is in force for all who
/// hold one.
#[derive(Debug, Clone)]
pub(crate) struct AdminToken(Secrets<Token>);

impl AdminToken {
    /// Reads them from the configured place, or makes one there: 32 random bytes as base64url.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        Secrets::load(&path(config), random).map(Self)
    }

    /// Reads them from the configured place; `None`: there are none, and none are made.
    pub(crate) fn existing(config: &Config) -> Result<Option<Self>> {
        Ok(Secrets::existing(&path(config))?.map(Self))
    }

    /// Reads them again. When they cannot be read, they stay as they were.
    pub(crate) fn reload(&self, config: &Config) -> Result<()> {
        self.0.reload(&path(config))
    }

    /// One token that may do all.
    #[cfg(test)]
    pub(crate) fn new(text: &str) -> Option<Self> {
        lines::parse(text).ok().map(|tokens| Self(Secrets::of(tokens)))
    }

    /// Who shows this token; `None`: it is none of these. Digests are compared, all of them, so the
    /// time taken says nothing about how much of it was right.
    pub(crate) fn operator(&self, shown: &[u8]) -> Option<Operator> {
        let shown = Sha256::digest(shown);
        let mut found = None;
        for Token(operator, token) in &*self.0.get() {
            if Sha256::digest(token.expose()) == shown {
                found = Some(operator.clone());
            }
        }
        found
    }

    /// For `dev.json`: the first that may do all.
    pub(crate) fn secret(&self) -> Secret {
        let tokens = self.0.get();
        let all = tokens.iter().find(|Token(operator, _)| operator.scopes.contains(&Scope::All));
        all.map(|Token(_, token)| token.clone()).unwrap_or_default()
    }

    /// Names and scopes, as they are written.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        let written = |scope: &Scope| {
            Scope::NAMES.iter().find(|(_, known)| known == scope).map_or("", |(name, _)| *name)
        };
        let tokens = self.0.get();
        tokens
            .iter()
            .map(|Token(operator, _)| {
                let scopes: Vec<_> = operator.scopes.iter().map(written).collect();
                (operator.name.clone(), scopes.join(","))
            })
            .collect()
    }

    /// Adds a token of that name to the file, which is made if it is not there; answers the token.
    pub(crate) fn add(config: &Config, name: &DeviceId, scopes: &str) -> Result<Secret> {
        let token = random()?;
        let line = format!("{name} {scopes} {token}");
        Secrets::<Token>::add(&path(config), &line, Place::Last)?;
        Ok(Secret::new(token))
    }

    /// Takes the token of that name out of the file. The last one stays.
    pub(crate) fn remove(config: &Config, name: &str) -> Result<()> {
        Secrets::<Token>::remove(&path(config), Some(name))
    }
}

/// Where the operators' tokens are.
pub(crate) fn path(config: &Config) -> PathBuf {
    lines::path(config, &config.auth.admin_token_file, "admin.token")
}

fn random() -> Result<String> {
    Ok(format!("gdwa_{}", URL_SAFE_NO_PAD.encode(clock::random::<32>()?)))
}

/// There is no file of tokens where one is needed.
pub(crate) fn missing(path: &Path) -> Failure {
    lines::missing::<Token>(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    fn config(dir: &Dir) -> Config {
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        config
    }

    #[test]
    fn a_token_is_known_and_never_printed() {
        let dir = Dir::new();
        let config = config(&dir);
        let admin = AdminToken::load(&config).unwrap();
        let text = admin.secret().expose().to_owned();
        let known = |tokens: &AdminToken, shown: &str| tokens.operator(shown.as_bytes());
        assert_eq!(known(&admin, &text).unwrap().name, "operator");
        assert!(known(&AdminToken::load(&config).unwrap(), &text).is_some());
        assert!(known(&admin, "").is_none() && known(&admin, &text[1..]).is_none());
        assert!(!format!("{admin:?}").contains(&text));
        for bad in ["", "short", "a b c d", "a all short", "a/b all a-token-of-some-length"] {
            std::fs::write(dir.path().join("admin.token"), bad).unwrap();
            assert!(AdminToken::load(&config).is_err(), "{bad}");
            assert!(admin.reload(&config).is_err(), "{bad}");
        }
        let many: Vec<_> = (0..=ADMIN_TOKENS_MAX)
            .map(|n| format!("n{n} all a-token-of-some-length-{n}"))
            .collect();
        let parse = lines::parse::<Token>;
        assert_eq!(parse(&many[1..].join("\n")).unwrap().len(), ADMIN_TOKENS_MAX);
        assert!(parse(&many.join("\n")).unwrap_err().contains("there are 65"));
        assert!(known(&admin, &text).is_some(), "what cannot be read changes nothing");
    }

    #[test]
    fn tokens_have_names_and_scopes_and_come_and_go() {
        let dir = Dir::new();
        let config = config(&dir);
        let serving = AdminToken::load(&config).unwrap();
        let support = AdminToken::add(&config, &DeviceId::new("support").unwrap(), "read,users");
        let support = support.unwrap().expose().to_owned();
        assert!(serving.operator(support.as_bytes()).is_none(), "not read yet");
        serving.reload(&config).unwrap();
        let known = serving.operator(support.as_bytes()).unwrap();
        assert_eq!(known.name, "support");
        for (method, path, may) in [
            (Method::GET, "/v1/conversations/x/messages", true),
            (Method::POST, "/v1/conversations", false),
            (Method::POST, "/v1/users", true),
            (Method::DELETE, "/v1/devices/phone", true),
            (Method::PATCH, "/v1/inbox/x", false),
            (Method::POST, "/v1/usersx", false),
        ] {
            assert_eq!(known.may(&method, path), may, "{method} {path}");
        }
        let list = serving.list();
        assert_eq!(list[1], ("support".to_owned(), "read,users".to_owned()));
        assert!(AdminToken::add(&config, &DeviceId::new("support").unwrap(), "all").is_err());
        AdminToken::remove(&config, "operator").unwrap();
        assert!(AdminToken::remove(&config, "support").unwrap_err().to_string().contains("only"));
        assert!(AdminToken::remove(&config, "nobody").is_err());
        serving.reload(&config).unwrap();
        assert_eq!(serving.list().len(), 1);
        assert!(scopes("read,write").unwrap_err().contains("conversations"));
    }
}
