//! deny.toml without cargo-deny: licences, bans and sources of everything in Cargo.lock.

use std::collections::{BTreeSet, HashMap, HashSet};

use cargo_metadata::{DependencyKind, Metadata, PackageId};
use toml::{Table, Value};

use super::{metadata, read, root, spdx};

fn rules() -> Table {
    read(&root().join("deny.toml")).parse().expect("deny.toml is TOML")
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().expect("a list");
    list.iter().map(|v| v.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn licences_are_allowed_ones() {
    let rules = rules();
    let allowed = texts(&rules["licenses"]["allow"]);
    let mut wrong = Vec::new();
    for package in &metadata().packages {
        let Some(licence) = &package.license else {
            wrong.push(format!("{} has no licence", package.name));
            continue;
        };
        match spdx::satisfied(licence, &allowed) {
            Ok(true) => {}
            Ok(false) => wrong.push(format!("{} is under {licence}", package.name)),
            Err(error) => wrong.push(format!("{}: {error}", package.name)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn banned_crates_are_absent() {
    let rules = rules();
    let metadata = metadata();
    let parents = parents(&metadata);
    let mut wrong = Vec::new();
    for ban in rules["bans"]["deny"].as_array().expect("a list") {
        let name = ban["crate"].as_str().expect("a crate's name");
        let wrappers = ban.get("wrappers").map(texts).unwrap_or_default();
        for parent in parents.get(name).into_iter().flatten() {
            if !wrappers.contains(parent) {
                wrong.push(format!("{parent} brings {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(parents["libsqlite3-sys"].contains("sqlx-sqlite"), "the graph is seen at all");
}

/// Who depends on a crate of this name, for any platform and purpose.
fn parents(metadata: &Metadata) -> HashMap<String, BTreeSet<String>> {
    let mut parents: HashMap<String, BTreeSet<String>> = HashMap::new();
    for node in &metadata.resolve.as_ref().expect("the graph").nodes {
        for dependency in &node.dependencies {
            let child = metadata[dependency].name.to_string();
            parents.entry(child).or_default().insert(metadata[&node.id].name.to_string());
        }
    }
    parents
}

#[test]
fn everything_comes_from_the_allowed_registry() {
    let rules = rules();
    let allowed: Vec<String> = texts(&rules["sources"]["allow-registry"]);
    let wrong: Vec<String> = metadata()
        .packages
        .iter()
        .filter_map(|p| p.source.as_ref().map(|source| (p, source.repr.clone())))
        .filter(|(_, source)| !allowed.iter().any(|a| *source == format!("registry+{a}")))
        .map(|(p, source)| format!("{} from {source}", p.name))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Two TLS stacks in the executable would be two sets of bugs and of trusted roots.
#[test]
fn the_executable_has_one_rustls() {
    let metadata = metadata();
    let found: Vec<_> =
        built_in(&metadata, "godwit-server").into_iter().filter(|(n, _)| n == "rustls").collect();
    assert_eq!(found.len(), 1, "{found:?}");
}

/// Name and version of everything that is linked into a member, tests left out.
fn built_in(metadata: &Metadata, member: &str) -> BTreeSet<(String, String)> {
    let nodes: HashMap<&PackageId, _> =
        metadata.resolve.iter().flat_map(|r| &r.nodes).map(|n| (&n.id, n)).collect();
    let start = metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == member);
    let mut open = vec![&start.expect("a member").id];
    let mut seen = HashSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let normal = |k: &cargo_metadata::DepKindInfo| k.kind == DependencyKind::Normal;
            let deps = nodes[id].deps.iter().filter(|d| d.dep_kinds.iter().any(normal));
            open.extend(deps.map(|d| &d.pkg));
        }
    }
    seen.into_iter()
        .map(|id| (metadata[id].name.to_string(), metadata[id].version.to_string()))
        .collect()
}
