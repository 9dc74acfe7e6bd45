//! Every metric has a help line: its name is described in the crate that counts it.

use super::{files, read, short};

/// The constants of a source file that are a metric's name: constant and name.
fn names(text: &str) -> Vec<(String, String)> {
    let constant = |line: &str| {
        let (head, name) = line.split_once(": &str = \"")?;
        let constant = head.rsplit(' ').next()?;
        let name = name.strip_suffix("\";")?;
        let own = name.starts_with("godwit_") || name.starts_with("process_");
        own.then(|| (constant.to_owned(), name.to_owned()))
    };
    text.lines().filter_map(|line| constant(line.trim())).collect()
}

#[test]
fn every_metric_has_a_help_line() {
    let sources: Vec<_> = files(".rs")
        .into_iter()
        .map(|path| (short(&path), path))
        .filter(|(name, _)| name.contains("/src/") && !name.starts_with("testkit"))
        .map(|(name, path)| (name, read(&path)))
        .collect();
    let described = |folder: &str, constant: &str| {
        let own = sources.iter().filter(|(name, _)| name.starts_with(folder));
        own.into_iter().any(|(_, text)| {
            text.split("describe_").skip(1).any(|part| {
                let (_, rest) = part.split_once("!(").unwrap_or_default();
                rest.trim_start().strip_prefix(constant).is_some_and(|r| r.starts_with(','))
            })
        })
    };
    let (mut found, mut wrong) = (0, Vec::new());
    for (file, text) in &sources {
        let folder = file.split("/src/").next().unwrap_or_default();
        for (constant, name) in names(text) {
            found += 1;
            if !described(folder, &constant) {
                wrong.push(format!("{name} ({constant} in {file})"));
            }
        }
    }
    assert!(found > 30, "only {found} metrics were found");
    assert!(wrong.is_empty(), "no help (describe_...! in its crate's metrics.rs): {wrong:#?}");
}
