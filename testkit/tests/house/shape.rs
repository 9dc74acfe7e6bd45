//! STYLE.md where a machine can see it: sizes, names, lints, queries, no ignored test.

use super::{files, read, root, short};

/// STYLE.md: 500 lines need a reason, 800 fail.
const LINES_WARNED: usize = 500;
const LINES_MAX: usize = 800;

#[test]
fn files_stay_small() {
    let mut wrong = Vec::new();
    for path in files(".rs") {
        let lines = read(&path).lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{} has {lines} lines", short(&path)));
        } else if lines > LINES_WARNED {
            println!("a reason is needed: {} has {lines} lines", short(&path));
        }
    }
    assert!(wrong.is_empty(), "above {LINES_MAX} lines: {wrong:#?}");
}

#[test]
fn modules_are_named_by_what_they_hold() {
    let empty = ["util", "utils", "common", "helper", "helpers", "manager", "managers"];
    let wrong: Vec<_> = files(".rs")
        .iter()
        .map(|path| short(path))
        .filter(|path| path.split(['/', '.']).any(|part| empty.contains(&part)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The one member that may call what Rust cannot: docs/adr/0011-memory-after-a-crowd.md.
const UNSAFE: &str = "heap/Cargo.toml";

#[test]
fn every_member_has_the_workspace_lints() {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().expect("TOML");
    for member in manifest["workspace"]["members"].as_array().expect("members") {
        let path = root().join(member.as_str().expect("a path")).join("Cargo.toml");
        let member: toml::Table = read(&path).parse().expect("TOML");
        if path.ends_with(UNSAFE) {
            // The same ones, and it may say where a single call is not checked.
            let without = |lints: &toml::Value| {
                let mut lints = lints.as_table().expect("lints").clone();
                let rust = lints.get_mut("rust").and_then(toml::Value::as_table_mut);
                (rust.expect("lints of rust").remove("unsafe_code"), lints)
            };
            let (of_all, all) = without(&manifest["workspace"]["lints"]);
            let (own, others) = without(&member["lints"]);
            assert_eq!((of_all, own), (Some("forbid".into()), Some("deny".into())));
            assert_eq!(others, all, "{}", short(&path));
            continue;
        }
        let inherited = member.get("lints").and_then(|l| l.get("workspace"));
        assert_eq!(inherited, Some(&toml::Value::Boolean(true)), "{}", short(&path));
    }
}

#[test]
fn two_calls_are_not_checked_and_no_more() {
    let marks = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "(unsafe_code)"];
    let count = |path: &std::path::PathBuf| -> usize {
        let code = read(path);
        marks.iter().map(|mark| code.matches(mark).count()).sum()
    };
    let heap = root().join(UNSAFE).parent().expect("a folder").to_owned();
    let own: usize = files(".rs").iter().filter(|path| path.starts_with(&heap)).map(count).sum();
    assert_eq!(own, 4, "two blocks, and the lines that allow them");
}

#[test]
fn every_query_is_used() {
    let wrong: Vec<_> = files(".sql")
        .into_iter()
        .filter(|path| short(path).contains("/queries/"))
        .filter(|path| {
            let name = short(path);
            let (store, query) = name.split_once("/queries/").expect("filtered");
            let named = format!("queries/{query}");
            let source = root().join(store).join("src");
            !files(".rs")
                .iter()
                .any(|file| file.starts_with(&source) && read(file).contains(named.as_str()))
        })
        .map(|path| short(&path))
        .collect();
    assert!(wrong.is_empty(), "nobody asks these: {wrong:#?}");
}

#[test]
fn no_test_is_switched_off() {
    let mark = concat!("#[", "ignore");
    let wrong: Vec<_> =
        files(".rs").into_iter().filter(|p| read(p).contains(mark)).map(|p| short(&p)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
