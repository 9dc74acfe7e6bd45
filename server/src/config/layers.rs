//! The layers of the configuration, one over the other, with the origin of each value.
//!
//! Every mistake in every layer is found and told at once, each with its place: file and line, the
//! variable's name, or the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::keys::{self, ISSUER_KEYS, KEYS, Key, Kind};

/// The environment's prefix.
pub(crate) const PREFIX: &str = "GODWIT__";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `config/default.toml`.
    Default,
    /// What `godwit dev` sets.
    Dev,
    /// A file's line.
    File(PathBuf, usize),
    /// A variable.
    Variable(String),
    /// An argument.
    CommandLine,
}

impl Origin {
    /// Somebody asked for this value.
    pub(crate) fn is_chosen(&self) -> bool {
        !matches!(self, Self::Default | Self::Dev)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Dev => f.write_str("godwit dev"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::CommandLine => f.write_str("the command line"),
        }
    }
}

/// The values in force, each with its origin, by path; and what was wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// The values.
    pub(crate) values: BTreeMap<&'static str, (Value, Origin)>,
    /// One sentence a mistake, starting with its place.
    pub(crate) mistakes: Vec<String>,
}

impl Layers {
    /// Lays a file over what is there.
    pub(crate) fn file(&mut self, path: &Path, text: &str) {
        self.document(text, |line| Origin::File(path.to_owned(), line));
    }

    /// Lays the built-in defaults.
    pub(crate) fn defaults(&mut self, text: &str) {
        self.document(text, |_| Origin::Default);
    }

    /// Lays the environment over what is there. Variables without the prefix are others' own, but for
    /// those that are one of ours with too few underscores.
    pub(crate) fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                if let Some(path) = keys::misspelt(&name) {
                    let right = variable(path);
                    self.mistakes.push(format!("{name} is not read; did you mean {right}?"));
                }
                continue;
            };
            let path = rest.to_ascii_lowercase().replace("__", ".");
            match keys::find(&path) {
                Some(key) => self.text(key, &text, Origin::Variable(name)),
                None => {
                    let near = keys::nearest(&path, KEYS.iter().map(|key| key.path)).map(variable);
                    self.mistakes.push(format!("{name}: no such key{}", meant(near.as_deref())));
                }
            }
        }
    }

    /// Lays one value of the command line, or of `godwit dev`, over what is there.
    pub(crate) fn set(&mut self, path: &str, text: &str, origin: Origin) {
        match keys::find(path) {
            Some(key) => self.text(key, text, origin),
            None => {
                let near = keys::nearest(path, KEYS.iter().map(|key| key.path));
                self.mistakes.push(format!("{origin}: no such key: {path}{}", meant(near)));
            }
        }
    }

    fn text(&mut self, key: &'static Key, text: &str, origin: Origin) {
        match key.kind.read(text) {
            Some(value) => self.put(key, value, origin),
            None => self.refuse(key, &origin),
        }
    }

    fn put(&mut self, key: &'static Key, value: Value, origin: Origin) {
        if !key.kind.allows(&value) {
            self.refuse(key, &origin);
        } else if let (Kind::Issuers, Value::Array(issuers)) = (key.kind, &value) {
            let before = self.mistakes.len();
            for issuer in issuers.iter().filter_map(Value::as_table) {
                self.issuer(issuer, &origin);
            }
            if self.mistakes.len() == before {
                self.values.insert(key.path, (value, origin));
            }
        } else {
            self.values.insert(key.path, (value, origin));
        }
    }

    fn refuse(&mut self, key: &Key, origin: &Origin) {
        self.mistakes.push(format!("{origin}: {} must be {}", key.path, key.kind.allowed()));
    }

    fn issuer(&mut self, issuer: &toml::Table, origin: &Origin) {
        for (name, value) in issuer {
            match ISSUER_KEYS.iter().find(|key| key.path == name) {
                Some(key) if key.kind.allows(value) => {}
                Some(key) => self
                    .mistakes
                    .push(format!("{origin}: auth.issuers: {name} must be {}", key.kind.allowed())),
                None => {
                    let near = keys::nearest(name, ISSUER_KEYS.iter().map(|key| key.path));
                    self.mistakes.push(format!(
                        "{origin}: auth.issuers: no such key: {name}{}",
                        meant(near)
                    ));
                }
            }
        }
        for needed in ["name", "algorithm"] {
            if !issuer.contains_key(needed) {
                self.mistakes.push(format!("{origin}: auth.issuers: {needed} is missing"));
            }
        }
        if issuer.contains_key("key_file") == issuer.contains_key("jwks_file") {
            self.mistakes.push(format!(
                "{origin}: auth.issuers: exactly one of key_file and jwks_file is needed"
            ));
        }
    }

    /// Walks a TOML document: sections of keys, no deeper (but for issuers).
    fn document(&mut self, text: &str, origin: impl Fn(usize) -> Origin) {
        let place = |span: Range<usize>| origin(line_of(text, span.start));
        let document = match DeTable::parse(text) {
            Ok(document) => document.into_inner(),
            Err(error) => {
                let at = place(error.span().unwrap_or_default());
                self.mistakes.push(format!("{at}: not TOML: {}", error.message()));
                return;
            }
        };
        for (section, content) in &document {
            let name: &str = section.get_ref();
            let at = place(section.span());
            let known = KEYS.iter().filter_map(|key| key.path.split_once('.').map(|(s, _)| s));
            if !known.clone().any(|known| known == name) {
                let near = keys::nearest(name, known);
                let wanted = if content.get_ref().is_table() { "section" } else { "key" };
                self.mistakes.push(format!("{at}: no such {wanted}: {name}{}", meant(near)));
                continue;
            }
            let DeValue::Table(content) = content.get_ref() else {
                self.mistakes.push(format!("{at}: {name} is a section: write [{name}]"));
                continue;
            };
            self.section(name, content, &place);
        }
    }

    fn section(
        &mut self,
        section: &str,
        content: &DeTable<'_>,
        place: &impl Fn(Range<usize>) -> Origin,
    ) {
        for (name, value) in content {
            let path = format!("{section}.{}", name.get_ref());
            let Some(key) = keys::find(&path) else {
                let at = place(name.span());
                let near = keys::nearest(&path, KEYS.iter().map(|key| key.path));
                self.mistakes.push(format!("{at}: no such key: {path}{}", meant(near)));
                continue;
            };
            // A mistake within an issuer is told with the issuer's own line.
            let span = match (key.kind, value.get_ref()) {
                (Kind::Issuers, DeValue::Array(items)) => {
                    items.iter().next().map_or_else(|| value.span(), Spanned::span)
                }
                _ => name.span(),
            };
            match owned(value) {
                Some(value) => self.put(key, value, place(span)),
                None => self.refuse(key, &place(span)),
            }
        }
    }
}

/// The value without its spans. `None`: a number that TOML allows but 64 bits do not hold.
fn owned(value: &Spanned<DeValue<'_>>) -> Option<Value> {
    let deserializer = toml::de::ValueDeserializer::from(value.clone());
    serde::Deserialize::deserialize(deserializer).ok()
}

/// The variable of a path.
fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}

fn meant(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// The line, from 1, of a byte.
fn line_of(text: &str, byte: usize) -> usize {
    let upto = &text.as_bytes()[..byte.min(text.len())];
    1 + upto.iter().filter(|b| **b == b'\n').count()
}
