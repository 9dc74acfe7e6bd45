//! What docs/guide says, done: its programs and commands run as they stand, against a server.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use godwit_testkit::scratch::Scratch;
use godwit_testkit::server;
use godwit_testkit::wire::{Properties, Version};
use serde_json::Value;
use tokio::process::Command;

use super::world::World;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("testkit has a parent")
}

fn guide(name: &str) -> PathBuf {
    root().join("docs/guide").join(name)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A reader's directory: `data` is the server's, and `node_modules` those of the tests.
fn desk(world: &World) -> Scratch {
    let scratch = Scratch::new("guide");
    let link = |to: &Path, name: &str| {
        std::os::unix::fs::symlink(to, scratch.path().join(name)).expect("a link");
    };
    link(world.server.data(), "data");
    link(&root().join("testkit/interop/js/node_modules"), "node_modules");
    scratch
}

/// Runs a program at the desk; what it said on standard output.
async fn run(desk: &Scratch, program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(desk.path())
        .env("PATH", path_with_godwit())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The executable under test is the `godwit` of the guides.
fn path_with_godwit() -> std::ffi::OsString {
    let executable = server::executable();
    let own = executable.parent().expect("a directory").to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(own).chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("a PATH")
}

fn assert_first_message(said: &str) {
    for expected in ["alice's message is committed", "hello, bob", "from alice, number "] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}");
    }
}

async fn first_message_in_python(desk: &Scratch) {
    let python = root().join("target/interop/venv/bin/python");
    let program = guide("examples/first_message.py");
    let program = program.to_str().expect("UTF-8");
    assert_first_message(&run(desk, &python, &[program, "data/dev.json"]).await);
}

async fn first_message_in_javascript(desk: &Scratch) {
    std::fs::copy(guide("examples/first_message.mjs"), desk.path().join("first_message.mjs"))
        .expect("a copy");
    let said = run(desk, Path::new("node"), &["first_message.mjs", "data/dev.json"]).await;
    assert_first_message(&said);
}

async fn first_message_in_rust(desk: &Scratch) {
    let built = server::executable().with_file_name("examples").join("first_message");
    assert!(built.exists(), "cargo build -p godwit-testkit --examples ({})", built.display());
    assert_first_message(&run(desk, &built, &["data/dev.json"]).await);
}

async fn tour(desk: &Scratch) {
    std::fs::copy(guide("examples/tour.mjs"), desk.path().join("tour.mjs")).expect("a copy");
    let proto = root().join("proto/proto");
    let proto = proto.to_str().expect("UTF-8");
    let said = run(desk, Path::new("node"), &["tour.mjs", "data/dev.json", proto]).await;
    let seen = said.lines().filter(|line| line.starts_with("ok: ")).count();
    let asked = text(&guide("examples/tour.mjs")).matches("\ncheck(").count();
    assert_eq!(seen, asked, "{said}");
}

#[tokio::test]
async fn the_first_message_in_python() {
    first_message_in_python(&desk(&World::new().await)).await;
}

#[tokio::test]
async fn the_first_message_in_javascript() {
    first_message_in_javascript(&desk(&World::new().await)).await;
}

#[tokio::test]
async fn the_first_message_in_rust() {
    first_message_in_rust(&desk(&World::new().await)).await;
}

#[tokio::test]
async fn the_tour_sees_all_that_the_guide_promises() {
    tour(&desk(&World::new().await)).await;
}

/// A reader has one server and one directory, and follows whatever guide comes next, some twice.
#[tokio::test]
async fn all_guides_in_a_row_on_one_server() {
    let world = World::new().await;
    let desk = desk(&world);
    for round in 1..=2 {
        eprintln!("round {round}");
        follow("rest.md", &desk).await;
        first_message_in_python(&desk).await;
        tour(&desk).await;
        follow("plain-devices.md", &desk).await;
        first_message_in_javascript(&desk).await;
        first_message_in_rust(&desk).await;
    }
}

/// Fenced blocks: their language and content, in order.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, content)), None) => {
                content.push_str(line);
                content.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block without an end");
    found
}

/// Runs every `sh` block in order, in one shell as a reader would; a `text` block is what the one
/// before it prints.
async fn follow(page: &str, desk: &Scratch) {
    const NEXT: &str = "--- next block ---\n";
    let blocks = blocks(&text(&guide(page)));
    let mut script = String::new();
    let mut expected = Vec::new();
    for (language, content) in &blocks {
        match language.as_str() {
            "sh" => {
                script.push_str(content);
                script.push_str("echo '");
                script.push_str(NEXT.trim_end());
                script.push_str("'\n");
                expected.push((content, None));
            }
            "text" => expected.last_mut().expect("a block before").1 = Some(content),
            other => panic!("{page}: nobody runs a block in {other:?}"),
        }
    }
    assert!(
        expected.iter().filter(|(_, text)| text.is_some()).count() > 1,
        "{page} prints nothing"
    );
    let said = run(desk, Path::new("bash"), &["-euo", "pipefail", "-c", &script]).await;
    let parts: Vec<&str> = said.split(NEXT).collect();
    assert_eq!(parts.len(), expected.len() + 1, "{said}");
    for (said, (block, expected)) in parts.iter().zip(expected) {
        if let Some(expected) = expected {
            assert_eq!(said, expected, "{block}");
        }
    }
}

#[tokio::test]
async fn a_plain_device_can_follow_its_guide() {
    follow("plain-devices.md", &desk(&World::new().await)).await;
}

#[tokio::test]
async fn a_script_can_follow_the_guide_to_rest() {
    follow("rest.md", &desk(&World::new().await)).await;
}

/// What the guide quotes is what runs.
#[test]
fn quotes_are_from_the_programs() {
    let tour = text(&guide("examples/tour.mjs"));
    let page = text(&guide("app-developers.md"));
    let quotes: Vec<_> =
        blocks(&page).into_iter().filter(|(language, _)| language == "js").collect();
    assert!(quotes.len() > 10, "{} quotes", quotes.len());
    for (_, quote) in quotes {
        assert!(tour.contains(&quote), "tour.mjs does not have:\n{quote}");
    }
}

/// Whoever follows the guide gets the libraries that are tested.
#[test]
fn the_guide_names_the_versions_that_are_tested() {
    let page = text(&guide("app-developers.md"));
    let interop = root().join("testkit/interop");
    let mut named: Vec<String> =
        text(&interop.join("python/requirements.txt")).lines().map(str::to_owned).collect();
    let package: Value =
        serde_json::from_str(&text(&interop.join("js/package.json"))).expect("JSON");
    let of = |(name, version): (&String, &Value)| {
        format!("{name}@{}", version.as_str().expect("a version"))
    };
    named.extend(package["dependencies"].as_object().expect("dependencies").iter().map(of));
    assert!(named.len() >= 3, "{named:?}");
    for library in named {
        assert!(page.contains(&library), "app-developers.md does not name {library}");
    }
}

/// Addresses of docs/asyncapi.json's operations with this action.
fn addresses(action: &str) -> Vec<String> {
    let document: Value =
        serde_json::from_str(&text(&root().join("docs/asyncapi.json"))).expect("JSON");
    let operations = document["operations"].as_object().expect("operations");
    let acting = operations.values().filter(|operation| operation["action"] == action);
    let address = |operation: &Value| {
        let channel = operation["channel"]["$ref"].as_str().expect("a channel");
        let channel = document.pointer(channel.trim_start_matches('#')).expect("a channel");
        channel["address"].as_str().expect("an address").to_owned()
    };
    acting.map(address).collect()
}

/// Whether a topic is one of these addresses with its parameters filled in.
fn is_described(topic: &str, addresses: &[String]) -> bool {
    let fits = |level: &str, of: &str| match of {
        "{cid}" => level.len() == 22,
        "{user}" | "{cmid}" => !level.is_empty(),
        _ => level == of,
    };
    addresses.iter().any(|address| {
        let (levels, of): (Vec<_>, Vec<_>) =
            (topic.split('/').collect(), address.split('/').collect());
        levels.len() == of.len() && levels.iter().zip(&of).all(|(level, of)| fits(level, of))
    })
}

/// Topics of every first letter in every shape that there is: a device may use those that
/// docs/asyncapi.json describes, and no other.
#[tokio::test]
async fn a_device_may_use_the_topics_of_the_document_and_no_other() {
    let world = World::new().await;
    let mut alice = world.probe(Version::V5, "alice", "laptop").await;
    let (up, down) = (addresses("send"), addresses("receive"));
    assert!(up.len() > 8 && down.len() > 8, "{up:?} {down:?}");
    let shapes = ["", "/{cid}", "/{cid}/k-1", "/sync", "/history", "/inbox", "/groups", "/bob"];
    let mut seen = (0, 0);
    for head in 'a'..='z' {
        for shape in shapes {
            let topic = format!("{head}{}", shape.replace("{cid}", &world.cid));
            let granted = alice.subscribe_with(&[(&topic, 1)]).await[0] < 0x80;
            // Any name is a user's: one with whom alice shares a conversation, or a stranger's.
            let stranger = head == 'p' && shape != "/bob";
            let allowed = is_described(&topic, &down) && !stranger;
            assert_eq!(granted, allowed, "SUBSCRIBE {topic}");
            seen.0 += usize::from(granted);
            // Elsewhere it is a name that is wrong, not the topic: then the code is another.
            if head != 'q' && (shape.is_empty() || shape.starts_with("/{cid}")) {
                let id = alice.start_publish(&topic, b"\xff", Properties::none()).await;
                let allowed = alice.answer(id).await.code != 0x87;
                assert_eq!(allowed, is_described(&topic, &up), "PUBLISH {topic}");
                seen.1 += usize::from(allowed);
            }
        }
    }
    // m, c, r, t, n of the conversation, p of bob, a, x, o, four methods; s, c twice, r, t, p.
    assert_eq!(seen, (13, 6));
}
