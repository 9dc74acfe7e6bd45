//! The operators' tokens for REST: who holds one, and what it is good for.
//!
//! The file has a line for each: the token alone, which may do all, or NAME SCOPES TOKEN. The name
//! stands in the audit trail. Read again on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use godwit_core::ids::DeviceId;
use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};

use super::keyring::place;
use crate::clock;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::files;
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
            Self::Conversations => ["/v1/conversations", "/v1/inbox"].into_iter().any(below),
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

/// All tokens. Clones are the same ones: what [`AdminToken::reload`] reads is in force for all who
/// hold one.
#[derive(Debug, Clone)]
pub(crate) struct AdminToken(Arc<RwLock<Vec<(Operator, Secret)>>>);

impl AdminToken {
    /// Reads them from the configured place, or makes one there: 32 random bytes as base64url.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        let path = path(config);
        Self::read(&path, &files::private(&path, random)?)
    }

    /// Reads them from the configured place; `None`: there are none, and none are made.
    pub(crate) fn existing(config: &Config) -> Result<Option<Self>> {
        let path = path(config);
        files::secret(&path)?.map(|text| Self::read(&path, &text)).transpose()
    }

    /// Reads them again. When they cannot be read, they stay as they were.
    pub(crate) fn reload(&self, config: &Config) -> Result<()> {
        let Some(read) = Self::existing(config)? else { return Err(missing(&path(config))) };
        let tokens = read.0.read().clone();
        *self.0.write() = tokens;
        Ok(())
    }

    fn read(path: &Path, text: &str) -> Result<Self> {
        parse(text).map(|tokens| Self(Arc::new(RwLock::new(tokens)))).map_err(|what| {
            Failure::new(
                format!("{} holds no tokens: {what}", path.display()),
                "A line is a token of 20 or more random characters, or NAME SCOPES TOKEN. Or remove \
                 the file: a new one is made.",
            )
        })
    }

    /// One token that may do all.
    #[cfg(test)]
    pub(crate) fn new(text: &str) -> Option<Self> {
        parse(text).ok().map(|tokens| Self(Arc::new(RwLock::new(tokens))))
    }

    /// Who shows this token; `None`: it is none of these. Digests are compared, all of them, so the
    /// time taken says nothing about how much of it was right.
    pub(crate) fn operator(&self, shown: &[u8]) -> Option<Operator> {
        let shown = Sha256::digest(shown);
        let mut found = None;
        for (operator, token) in &*self.0.read() {
            if Sha256::digest(token.expose()) == shown {
                found = Some(operator.clone());
            }
        }
        found
    }

    /// For `dev.json`: the first that may do all.
    pub(crate) fn secret(&self) -> Secret {
        let tokens = self.0.read();
        let all = tokens.iter().find(|(operator, _)| operator.scopes.contains(&Scope::All));
        all.map(|(_, token)| token.clone()).unwrap_or_default()
    }

    /// Names and scopes, as they are written.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        let written = |scope: &Scope| {
            Scope::NAMES.iter().find(|(_, known)| known == scope).map_or("", |(name, _)| *name)
        };
        let tokens = self.0.read();
        tokens
            .iter()
            .map(|(operator, _)| {
                let scopes: Vec<_> = operator.scopes.iter().map(written).collect();
                (operator.name.clone(), scopes.join(","))
            })
            .collect()
    }

    /// Adds a token of that name to the file, which is made if it is not there; answers the token.
    pub(crate) fn add(config: &Config, name: &DeviceId, scopes: &str) -> Result<Secret> {
        let (path, token) = (path(config), random()?);
        let before = files::secret(&path)?.unwrap_or_default();
        let text = format!("{}\n{name} {scopes} {token}\n", before.trim_end());
        Self::read(&path, text.trim_start())?;
        files::replace(&path, text.trim_start())?;
        Ok(Secret::new(token))
    }

    /// Takes the token of that name out of the file. The last one stays.
    pub(crate) fn remove(config: &Config, name: &str) -> Result<()> {
        let path = path(config);
        let Some(text) = files::secret(&path)? else { return Err(missing(&path)) };
        let known = Self::read(&path, &text)?.list();
        if !known.iter().any(|(known, _)| known == name) {
            return Err(Failure::new(
                format!("{} has no token of {name}", path.display()),
                "`godwit admin list` shows whose it has.",
            ));
        }
        if known.len() == 1 {
            return Err(Failure::new(
                "it is the only token: a new one would be made in its place",
                "Add another first: godwit admin add NAME.",
            ));
        }
        let is_his = |line: &&str| matches!(token(line), Ok(Some((o, _))) if o.name == name);
        let left: Vec<_> = text.lines().filter(|line| !is_his(line)).collect();
        files::replace(&path, &(left.join("\n") + "\n"))
    }
}

/// Where the operators' tokens are.
pub(crate) fn path(config: &Config) -> PathBuf {
    place(config, &config.auth.admin_token_file, "admin.token")
}

fn random() -> Result<String> {
    Ok(format!("gdwa_{}", URL_SAFE_NO_PAD.encode(clock::random::<32>()?)))
}

fn missing(path: &Path) -> Failure {
    Failure::new(
        format!("there is no file {}", path.display()),
        "Name the server's own data directory or configuration: --data DIR, --config FILE.",
    )
}

/// Reads the lines of a file. Errors: what is wrong.
fn parse(text: &str) -> std::result::Result<Vec<(Operator, Secret)>, String> {
    let mut tokens: Vec<(Operator, Secret)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some(read) = token(line).map_err(|what| format!("line {}: {what}", number + 1))? else {
            continue;
        };
        if tokens.iter().any(|(known, _)| known.name == read.0.name) {
            return Err(format!("line {} has the name of another token", number + 1));
        }
        tokens.push(read);
    }
    match tokens.len() {
        0 => Err("there is none in it".to_owned()),
        1..=ADMIN_TOKENS_MAX => Ok(tokens),
        many => Err(format!("there are {many}; at most {ADMIN_TOKENS_MAX} are taken")),
    }
}

/// Reads a line; `None`: it is empty, or a comment.
fn token(line: &str) -> std::result::Result<Option<(Operator, Secret)>, String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (name, scopes, token) = match words.as_slice() {
        [] => return Ok(None),
        [word, ..] if word.starts_with('#') => return Ok(None),
        [token] => (NAMELESS.to_owned(), vec![Scope::All], token),
        [name, granted, token] => {
            let name = DeviceId::new(name).map_err(|error| format!("the name {error}"))?;
            (name.to_string(), scopes(granted)?, token)
        }
        _ => return Err("it must be TOKEN, or NAME SCOPES TOKEN".to_owned()),
    };
    if token.len() < TOKEN_BYTES_MIN {
        return Err(format!("a token must have {TOKEN_BYTES_MIN} characters or more"));
    }
    Ok(Some((Operator { name, scopes }, Secret::new(*token))))
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
