//! The rules of the house, checked on the tree itself: who may import whom, sizes, names, links,
//! licences and bans. Cheap, so ./test runs them before anything that starts a server.

mod asyncapi;
mod bounds;
mod circles;
mod deny;
mod imports;
mod links;
mod metrics;
mod shape;
mod spdx;
mod tasks;

use std::path::{Path, PathBuf};

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("testkit has a parent").to_path_buf()
}

/// What cargo knows of the workspace and everything below it, for every platform.
fn metadata() -> cargo_metadata::Metadata {
    cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .expect("cargo metadata answers")
}

/// Every file of the tree whose name ends with `suffix`, without what is built or fetched.
fn files(suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory of the tree") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().expect("a type").is_dir() {
                let built = matches!(name.as_str(), "target" | "node_modules" | "data");
                if !built && (!name.starts_with('.') || name == ".config") {
                    open.push(entry.path());
                }
            } else if name.ends_with(suffix) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no file ends with {suffix}");
    found
}

/// `path` as people write it: from the root.
fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
