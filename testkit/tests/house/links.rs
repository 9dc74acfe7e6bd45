//! What the documents name is there.

use std::path::Path;

use super::{files, read, root, short};

/// The relative targets of Markdown links: `](target)`, without the part after `#`.
fn targets(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default().to_owned())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in files(".md") {
        for target in targets(&read(&path)) {
            if !path.parent().unwrap_or(Path::new("/")).join(&target).exists() {
                wrong.push(format!("{} names {target}", short(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_architecture_links_its_files() {
    let links = targets(&read(&root().join("ARCHITECTURE.md")));
    let sources = links.iter().filter(|target| target.ends_with(".rs")).count();
    assert!(sources >= 9, "one message's way has nine stages, but {sources} links to sources");
}

#[test]
fn every_decision_is_in_the_index() {
    let adr = root().join("docs/adr");
    let index = targets(&read(&adr.join("README.md")));
    for path in files(".md").iter().filter(|p| p.parent() == Some(adr.as_path())) {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        assert!(name == "README.md" || index.contains(&name), "docs/adr/README.md lacks {name}");
    }
}
