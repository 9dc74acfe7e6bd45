//! "Everything is bounded" with proof: docs/bounds.md has a row for each constant of each `limits.rs`
//! and for each option that bounds something, and the row names the test that shows it.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, read, root, short};

/// Sections of the configuration whose every key is a bound.
const SECTIONS: [&str; 3] = ["limits", "commit", "audit"];

/// Constants of all `limits.rs`, as `crate/NAME`.
fn constants() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files("limits.rs") {
        let name = short(&path);
        let Some(folder) = name.strip_suffix("/src/limits.rs") else { continue };
        // The measuring client is no part of the server.
        if folder == "bench" {
            continue;
        }
        for line in read(&path).lines() {
            let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            let constant = line.strip_prefix("const ").filter(|rest| !rest.starts_with("fn "));
            if let Some((constant, _)) = constant.and_then(|rest| rest.split_once(':')) {
                found.insert(format!("{folder}/{constant}"));
            }
        }
    }
    found
}

/// Options that bound something, as `section.key`.
fn options() -> BTreeSet<String> {
    let text = read(&root().join("config/default.toml"));
    let table: toml::Table = text.parse().expect("TOML");
    let mut found = BTreeSet::new();
    for (section, keys) in &table {
        for key in keys.as_table().expect("a section").keys() {
            let bounds = key.ends_with("_max") || key.ends_with("_per_s");
            if bounds || SECTIONS.contains(&section.as_str()) {
                found.insert(format!("{section}.{key}"));
            }
        }
    }
    found
}

/// The rows of docs/bounds.md: name and what shows it.
fn rows() -> BTreeMap<String, String> {
    let page = read(&root().join("docs/bounds.md"));
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, shown] = cells.as_slice() else { panic!("not two cells: {line}") };
        let name = name.trim_matches('`').to_owned();
        assert!(rows.insert(name.clone(), (*shown).to_owned()).is_none(), "{name} stands twice");
    }
    rows
}

/// Every function of every test, and of the conformance suites that both stores pass.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files(".rs") {
        let (name, text) = (short(&path), read(&path));
        let whole = name.contains("/tests/")
            || name.contains("/conformance/")
            || name.ends_with("tests.rs");
        let from = if whole { Some(0) } else { text.find("#[cfg(test)]\nmod ") };
        let Some(from) = from else { continue };
        for part in text[from..].split("fn ").skip(1) {
            let end = part.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(part.len());
            found.insert(part[..end].to_owned());
        }
    }
    found
}

#[test]
fn each_bound_names_the_test_that_shows_it() {
    let (rows, tests) = (rows(), tests());
    let wanted: BTreeSet<_> = constants().union(&options()).cloned().collect();
    assert!(wanted.len() > 150, "only {} bounds were found", wanted.len());
    let mut wrong: Vec<_> = wanted
        .iter()
        .filter(|name| !rows.contains_key(*name))
        .map(|name| format!("{name} has no row"))
        .chain(
            rows.keys()
                .filter(|name| !wanted.contains(*name))
                .map(|name| format!("{name} has a row and is not there")),
        )
        .collect();
    for (name, shown) in &rows {
        match shown.split_once(": ") {
            // It holds nothing that a client could fill: the size of a step, a pace, a time.
            Some(("step", why)) if why.len() > 10 => {}
            _ => {
                let named: Vec<_> = shown.split(", ").map(|test| test.trim_matches('`')).collect();
                if named.iter().any(|test| !tests.contains(*test)) {
                    wrong.push(format!("{name}: there is no test {shown}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "docs/bounds.md: {wrong:#?}");
}
