//! The files of a crate stand in layers: none imports, over however many steps, a file that imports it.
//!
//! What is read are the `use` lines and the paths in the code, through what modules hand on
//! (`pub use`). Tests are left out: they may know everything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{files, read, short};

/// A path's parts, from the crate's root.
type Parts = Vec<String>;

/// A file as a module.
struct Module {
    file: String,
    /// What it imports: the name here, and the path.
    names: BTreeMap<String, Parts>,
    /// Those of them that others see.
    handed_on: BTreeSet<String>,
    /// Paths that it names, in imports and in the code.
    named: Vec<Parts>,
}

/// A crate's modules by their place in it.
type Modules = BTreeMap<Parts, Module>;

/// Crates that have a circle still: docs/plan.md says how it is to be cut.
const OPEN: [&str; 3] = ["bridge", "store/postgres", "store/sqlite"];

#[test]
fn no_file_imports_what_imports_it() {
    let mut wrong = Vec::new();
    for (member, modules) in crates() {
        let circles = circles(&edges(&modules));
        match OPEN.contains(&member.as_str()) {
            true if circles.len() == 1 => {}
            true => wrong.push(format!("{member} has {} circles, not one", circles.len())),
            false => wrong.extend(circles.iter().map(|circle| format!("{member}: {circle:#?}"))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All crates, by the folder of their source.
fn crates() -> BTreeMap<String, Modules> {
    let mut found: BTreeMap<String, Modules> = BTreeMap::new();
    for path in files(".rs") {
        let name = short(&path);
        let Some((member, inside)) = name.split_once("/src/") else { continue };
        let is_test = |part: &str| matches!(part, "tests" | "tests.rs");
        if inside.starts_with("bin/") || inside.split('/').any(is_test) {
            continue;
        }
        let place = place(inside);
        found
            .entry(member.to_owned())
            .or_default()
            .insert(place.clone(), module(&name, &place, &code(&read(&path))));
    }
    assert!(found.len() > 8, "the crates have moved: {:?}", found.keys());
    found
}

/// Where a file below `src/` stands in its crate.
fn place(inside: &str) -> Parts {
    let parts = inside.trim_end_matches(".rs").split('/').map(str::to_owned);
    let mut parts: Parts = parts.collect();
    let own = Path::new(inside).file_name().is_some_and(|name| name == "mod.rs");
    if own || matches!(inside, "lib.rs" | "main.rs") {
        parts.pop();
    }
    parts
}

/// The text without tests, comments and what stands in quotes.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else if first == '"' {
            quoted(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        rest = &rest[skipped..];
    }
    code
}

/// The length of the string literal at the start.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn module(file: &str, place: &Parts, code: &str) -> Module {
    let mut module = Module {
        file: file.to_owned(),
        names: BTreeMap::new(),
        handed_on: BTreeSet::new(),
        named: Vec::new(),
    };
    let children: BTreeSet<String> = declared(code);
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let begin = statement.rfind("\nuse ").map(|at| (at + 1, at + 5));
        let public = statement.rfind("\npub use ").map(|at| (at + 1, at + 9));
        let within = statement.rfind("\npub(").and_then(|at| {
            let end = statement[at..].find(") use ")? + at;
            statement[at + 5..end].chars().all(|c| c.is_alphanumeric() || c == ' ').then_some(())?;
            Some((at + 1, end + 6))
        });
        let is_public = begin.is_none();
        let Some((line, tree)) = begin.or(public).or(within) else {
            rest.push_str(statement);
            continue;
        };
        rest.push_str(&statement[..line]);
        for path in unfold(&statement[tree..statement.len() - 1]) {
            let (path, name) = match path.split_once(" as ") {
                Some((path, name)) => (path.to_owned(), name.to_owned()),
                None => (path.clone(), path.rsplit("::").next().unwrap_or_default().to_owned()),
            };
            let parts: Vec<&str> = path.split("::").collect();
            if let Some(parts) = absolute(place, &children, &BTreeMap::new(), &parts) {
                if is_public {
                    module.handed_on.insert(name.clone());
                }
                module.names.insert(name, parts);
            }
        }
    }
    for path in paths(&rest) {
        if let Some(parts) = absolute(place, &children, &module.names, &path) {
            module.named.push(parts);
        }
    }
    // What is only handed on is not used here.
    let lines = rest.lines().filter(|line| !line.contains("mod "));
    let words: BTreeSet<&str> = lines.flat_map(words).collect();
    let used = module
        .names
        .iter()
        .filter(|(name, _)| !module.handed_on.contains(*name) || words.contains(name.as_str()));
    module.named.extend(used.map(|(_, path)| path.clone()).collect::<Vec<_>>());
    module
}

/// The modules that a file declares.
fn declared(code: &str) -> BTreeSet<String> {
    let lines = code.lines().filter_map(|line| line.strip_suffix(';'));
    let names = lines.filter_map(|line| line.rsplit_once("mod ")).filter(|(before, _)| {
        before.is_empty() || (before.starts_with("pub") && before.ends_with(' '))
    });
    names.map(|(_, name)| name.to_owned()).collect()
}

/// The paths of a `use` tree, with ` as ` where one has another name.
fn unfold(tree: &str) -> Vec<String> {
    let tree = tree.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some(open) = tree.find('{') else {
        return vec![tree.trim().trim_end_matches("::self").to_owned()];
    };
    let before = tree[..open].trim();
    let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[begin..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| unfold(&format!("{before}{part}"))).collect()
}

/// The words of a line, but for names of methods and fields.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let begins = line.char_indices().filter(|(at, letter)| {
        is_word(*letter) && !line[..*at].ends_with(|before| is_word(before) || before == '.')
    });
    begins.map(|(at, _)| line[at..].split(|letter| !is_word(letter)).next().unwrap_or_default())
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The paths of two parts or more in the code.
fn paths(code: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    for text in code.split(|letter: char| !is_word(letter) && letter != ':') {
        let parts: Vec<&str> = text.split("::").filter(|part| !part.is_empty()).collect();
        if parts.len() > 1 && !text.starts_with(':') {
            found.push(parts);
        }
    }
    found
}

/// A path as the crate's root sees it; `None`: it leads out of the crate.
fn absolute(
    place: &Parts,
    children: &BTreeSet<String>,
    names: &BTreeMap<String, Parts>,
    path: &[&str],
) -> Option<Parts> {
    let (first, rest) = path.split_first()?;
    let mut parts = match *first {
        "crate" => Parts::new(),
        "self" => place.clone(),
        "super" => place[..place.len().checked_sub(1)?].to_vec(),
        name if children.contains(name) => [place.as_slice(), &[name.to_owned()]].concat(),
        name => names.get(name)?.clone(),
    };
    for part in rest {
        match *part {
            "super" => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    Some(parts)
}

/// The module that a path leads to, and whether anything of it is named.
fn target(modules: &Modules, path: &Parts) -> Option<(Parts, bool)> {
    let mut path = path.clone();
    // What a module hands on may be handed on there again.
    for _ in 0..8 {
        let len = (0..=path.len()).rev().find(|len| modules.contains_key(&path[..*len]))?;
        let place = path[..len].to_vec();
        let Some(item) = path.get(len) else { return Some((place, false)) };
        let module = &modules[&place];
        match module.names.get(item).filter(|_| module.handed_on.contains(item)) {
            Some(other) => path = [other.as_slice(), &path[len + 1..]].concat(),
            None => return Some((place, true)),
        }
    }
    None
}

/// Which file imports which.
fn edges(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in modules.values() {
        let from = edges.entry(module.file.clone()).or_default();
        for path in &module.named {
            // A module that is imported is no more than a name; what is taken from it counts.
            if let Some((place, true)) = target(modules, path) {
                from.insert(modules[&place].file.clone());
            }
        }
        from.remove(&module.file);
    }
    edges
}

/// The files that import each other, each circle with what ties it.
fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            for next in edges.get(file).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        edges.keys().map(|file| (file, reached(file))).collect();
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for (file, seen) in &reach {
        if !seen.contains(file) || told.contains(file) {
            continue;
        }
        let circle: BTreeSet<&String> =
            seen.iter().copied().filter(|other| reach[other].contains(file)).collect();
        told.extend(circle.iter().copied());
        let ties = circle.iter().flat_map(|from| {
            let inside = edges[*from].iter().filter(|to| circle.contains(to));
            inside.map(move |to| format!("{from} -> {to}"))
        });
        found.push(ties.collect());
    }
    found
}

#[test]
fn a_circle_is_seen() {
    let file = |place: &[&str], text: &str| {
        let place: Parts = place.iter().map(|&part| part.to_owned()).collect();
        let name = format!("{}.rs", place.join("/"));
        (place.clone(), module(&name, &place, &code(&format!("\n{text}"))))
    };
    let circles_of = |files: Vec<(Parts, Module)>| circles(&edges(&files.into_iter().collect()));
    let lower = || file(&["lower"], "pub struct Lower;");
    let upper = || file(&["upper"], "use crate::lower::{self, Lower};\nfn f() { lower::g() }");
    assert_eq!(circles_of(vec![lower(), upper()]), Vec::<Vec<String>>::new());
    let back = [
        "use super::upper::f;",
        "use crate::{other, upper::{a, f as g}};",
        "fn g() { crate::upper::f() }",
        "use crate::upper;\nfn g() { upper::f() }",
    ];
    for text in back {
        let circle = circles_of(vec![file(&["lower"], text), upper()]);
        assert_eq!(circle, [["lower.rs -> upper.rs", "upper.rs -> lower.rs"]], "{text}");
    }
    for text in ["// crate::upper::f\n", "const A: &str = \"crate::upper::f\";", "use upper::f;"] {
        assert_eq!(circles_of(vec![file(&["lower"], text), upper()]).len(), 0, "{text}");
    }
    // Through a module that hands it on; and between a module and its child.
    let root = || file(&["a"], "mod b;\nmod c;\npub(crate) use b::B;\npub(crate) use c::C;");
    let (b, c) =
        (file(&["a", "b"], "pub struct B;"), file(&["a", "c"], "use super::B;\nstruct C;"));
    assert_eq!(circles_of(vec![root(), b, c]).len(), 0);
    let (b, c) = (file(&["a", "b"], "use super::C;"), file(&["a", "c"], "use super::B;"));
    assert_eq!(circles_of(vec![root(), b, c]), [["a/b.rs -> a/c.rs", "a/c.rs -> a/b.rs"]]);
    let (parent, child) =
        (file(&["p"], "mod q;\nfn f() { q::g() }"), file(&["p", "q"], "use super::f;"));
    assert_eq!(circles_of(vec![parent, child]).len(), 1);
}
