//! The configuration in force, as TOML, each value with its origin and without secrets.

use std::fmt::Write as _;

use super::keys::{KEYS, Kind};
use super::layers::Layers;
use crate::secret::REDACTED;

/// All values, in the order of `config/default.toml`.
pub(crate) fn print(layers: &Layers) -> String {
    let mut out = String::new();
    let mut section = "";
    for key in KEYS {
        let Some(((in_section, name), (value, origin))) =
            key.path.split_once('.').zip(layers.values.get(key.path))
        else {
            continue;
        };
        if in_section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}[{in_section}]");
            section = in_section;
        }
        let secret = matches!(key.kind, Kind::Secret) && value.as_str() != Some("");
        let shown = if secret { format!("{REDACTED:?}") } else { value.to_string() };
        let _ = writeln!(out, "{:<60} # {origin}", format!("{name} = {shown}"));
    }
    out
}
