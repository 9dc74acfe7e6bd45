//! From the layers to a [`Config`], or to one failure that names every mistake.

use std::path::{Path, PathBuf};

use super::layers::{Layers, Origin};
use super::{Config, DEFAULT, relations};
use crate::failure::{Failure, Result};

/// What a command was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// What `godwit dev` sets below the file: (path, value).
    pub(crate) dev: Vec<(&'static str, String)>,
    /// `--set` and the arguments that stand for one: (path, value).
    pub(crate) arguments: Vec<(String, String)>,
}

/// The configuration with the origin of each value.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What is in force.
    pub(crate) config: Config,
    /// By path.
    pub(crate) layers: Layers,
}

impl Loaded {
    /// Where the value of `path` came from.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        self.layers.values.get(path).map_or(Origin::Default, |(_, origin)| origin.clone())
    }
}

/// Reads all layers. `variables` is the environment. Errors: one failure that names every mistake.
pub(crate) fn load(
    sources: &Sources,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Loaded> {
    let mut layers = Layers::default();
    layers.defaults(DEFAULT);
    for (path, value) in &sources.dev {
        layers.set(path, value, Origin::Dev);
    }
    if let Some(path) = &sources.file {
        layers.file(path, &read(path)?);
    }
    layers.environment(variables);
    for (path, value) in &sources.arguments {
        layers.set(path, value, Origin::CommandLine);
    }
    if !layers.mistakes.is_empty() {
        return Err(refused(&layers.mistakes));
    }
    let config = typed(&layers)?;
    let mistakes = relations::check(&config);
    if mistakes.is_empty() { Ok(Loaded { config, layers }) } else { Err(refused(&mistakes)) }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            format!("the configuration {} cannot be read: {error}", path.display()),
            "Name an existing file: --config FILE. `godwit config default > FILE` makes one.",
        )
    })
}

fn typed(layers: &Layers) -> Result<Config> {
    let mut table = toml::Table::new();
    for (path, (value, _)) in &layers.values {
        let Some((section, name)) = path.split_once('.') else { continue };
        let section =
            table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(section) = section {
            section.insert(name.to_owned(), value.clone());
        }
    }
    table.try_into().map_err(|error: toml::de::Error| {
        Failure::new(
            format!("the configuration is not understood: {}", error.message()),
            "This is a defect of Godwit: the table of keys and the configuration differ.",
        )
    })
}

fn refused(mistakes: &[String]) -> Failure {
    let what = match mistakes {
        [one] => format!("the configuration is refused\n  {one}"),
        many => format!("the configuration is refused\n  {}", many.join("\n  ")),
    };
    Failure::new(what, "`godwit config default` shows every key, its meaning and its default.")
}
