//! DESIGN.md, "The house": imports run in one direction only.

use std::collections::{BTreeSet, HashMap, HashSet};

use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};

use super::metadata;

/// What each member may import of the others by a normal or build dependency. `None`: all.
const ALLOWED: &[(&str, Option<&[&str]>)] = &[
    ("godwit-proto", Some(&[])),
    ("godwit-core", Some(&[])),
    ("godwit-heap", Some(&[])),
    ("godwit-store-sqlite", Some(&["godwit-core", "godwit-proto"])),
    ("godwit-store-postgres", Some(&["godwit-core", "godwit-proto"])),
    ("godwit-bus", Some(&["godwit-core", "godwit-proto"])),
    ("godwit-broker", Some(&["godwit-core", "godwit-proto"])),
    ("godwit-bridge", Some(&["godwit-core", "godwit-proto"])),
    ("godwit-storage-worker", Some(&["godwit-core", "godwit-proto"])),
    // The one place that chooses adapters, and the tools around it.
    ("godwit-server", None),
    ("godwit-bench", None),
    ("godwit-testkit", None),
];

/// What a member may import for its tests beyond [`ALLOWED`]: real stores under a role, and the
/// testkit's private Postgres. Never a role under a role.
const ALLOWED_IN_TESTS: &[&str] = &[
    "godwit-testkit",
    "godwit-store-sqlite",
    "godwit-store-postgres",
    "godwit-bus",
    "godwit-core",
    "godwit-proto",
];

/// Pure members, and what must never reach them.
const PURE: &[&str] = &["godwit-proto", "godwit-core"];
const IMPURE: &[&str] = &["tokio", "sqlx", "sqlx-core", "redis"];

fn members(metadata: &Metadata) -> Vec<&Package> {
    metadata.workspace_packages()
}

#[test]
fn every_member_is_known_here() {
    let metadata = metadata();
    let found: BTreeSet<_> = members(&metadata).iter().map(|p| p.name.to_string()).collect();
    let known: BTreeSet<_> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, known, "a new member needs its line in ALLOWED and in DESIGN's list");
}

#[test]
fn members_import_downwards_only() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in members(&metadata) {
        let allowed = ALLOWED.iter().find(|(name, _)| *name == package.name.as_str());
        let Some((_, Some(allowed))) = allowed else { continue };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            if !name.starts_with("godwit-") {
                continue;
            }
            let for_tests = dependency.kind == DependencyKind::Development;
            let fine = allowed.contains(&name) || (for_tests && ALLOWED_IN_TESTS.contains(&name));
            // A pure member's tests stay pure too; naming itself switches on its own features.
            let pure = PURE.contains(&package.name.as_str()) && name != package.name.as_str();
            if !fine || (pure && for_tests) {
                wrong.push(format!("{} imports {name}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_stores_name_sqlx_and_only_the_bus_names_redis() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in members(&metadata) {
        for dependency in &package.dependencies {
            let owner = match dependency.name.as_str() {
                name if name.starts_with("sqlx") => "godwit-store-",
                name if name.starts_with("redis") => "godwit-bus",
                _ => continue,
            };
            if !package.name.starts_with(owner) {
                wrong.push(format!("{} names {}", package.name, dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_impure_reaches_the_pure_members() {
    let metadata = metadata();
    for pure in PURE {
        let reached = reach(&metadata, pure);
        assert!(reached.contains("bytes"), "the walk from {pure} sees dependencies at all");
        for impure in IMPURE {
            assert!(!reached.contains(*impure), "{impure} reaches {pure}");
        }
    }
    // The walk can see what it must not find.
    let server = reach(&metadata, "godwit-server");
    assert!(server.contains("tokio") && server.contains("sqlx"));
}

/// Names of all packages reachable from a member by normal dependencies.
fn reach(metadata: &Metadata, member: &str) -> HashSet<String> {
    let resolve = metadata.resolve.as_ref().expect("metadata was asked for the graph");
    let nodes: HashMap<&PackageId, _> = resolve.nodes.iter().map(|n| (&n.id, n)).collect();
    let start = members(metadata).into_iter().find(|p| p.name.as_str() == member);
    let mut open = vec![&start.expect("a member").id];
    let mut seen = HashSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in &nodes[id].deps {
            if dependency.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}
