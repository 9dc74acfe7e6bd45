//! No task of the server dies in silence: each is watched (`core/src/tasks.rs`), or its death is seen
//! by whoever waits for it, and then it stands below with the reason.

use super::{files, read, short};

/// Tasks that are spawned as they are: file, what is spawned, who sees that one died.
const SEEN: [(&str, &str, &str); 13] = [
    ("broker/src/broker.rs", "// Counted down also when", "a connection: the sweeper takes it out"),
    ("broker/src/broker.rs", "connect::refuse(", "one refusal: its socket is closed with it"),
    ("broker/src/inbound.rs", "gate.authenticate(", "the connection waits for it, and ends"),
    ("broker/src/inbound.rs", "session.subscribe(", "the connection waits for it, and ends"),
    ("broker/src/inbound.rs", "session.unsubscribe(", "the connection waits for it, and ends"),
    ("broker/src/listen/mod.rs", "let since = Instant::now()", "a handshake: its socket is closed"),
    ("broker/src/opening.rs", "tell.send(work.await)", "the CONNECT waits for it, and is refused"),
    ("broker/src/rights.rs", "session.unsubscribe(", "the connection waits for it, and ends"),
    ("server/src/api/accounts.rs", "spawn_blocking(", "the request waits for it"),
    ("server/src/api/change.rs", "spawn(change)", "the request waits for it, and is told"),
    ("server/src/api/serve.rs", "attend::run(", "a connection: its socket is closed with it"),
    (
        "server/src/process.rs",
        "spawn_blocking(sample)",
        "a look at the process: the next one is a second later",
    ),
    ("server/src/lease.rs", "beat(self", "`Kept::lost` sees it, and the process ends"),
];

/// Likewise, of the stores and of threads.
const SEEN_ELSEWHERE: [(&str, &str, &str); 5] = [
    ("server/src/audit.rs", "writer.run()", "the thread goes on with the next line"),
    (
        "server/src/logging/lines.rs",
        "shared.run(output",
        "the queue fills, and each line is counted",
    ),
    (
        "store/sqlite/src/connect.rs",
        "heal(store",
        "the next write finds the log gone, and heals anew",
    ),
    (
        "store/sqlite/src/connect.rs",
        "heal(store",
        "the next write finds the log unsound, and heals anew",
    ),
    ("store/sqlite/src/flush.rs", "spawn_blocking(flush)", "who waits for it is told, and heals"),
];

const CRATES: [&str; 7] =
    ["broker/", "bridge/", "bus/", "core/", "server/", "storage-worker/", "store/"];

/// What follows each spawn of a source file, tests left out.
fn spawned(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("///")).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for call in ["spawn(", "spawn_blocking("] {
        for (at, _) in code.match_indices(call) {
            // `fn spawn(` is none, and neither is a word that ends so.
            if code[..at].ends_with([':', '.']) {
                let words = code[at..].split_whitespace().collect::<Vec<_>>().join(" ");
                found.push(words.chars().take(160).collect());
            }
        }
    }
    found
}

#[test]
fn no_task_dies_in_silence() {
    let (mut watched, mut wrong) = (0, Vec::new());
    let mut seen: Vec<_> = SEEN.iter().chain(&SEEN_ELSEWHERE).map(|row| (row, false)).collect();
    for path in files(".rs") {
        let name = short(&path);
        let ours = CRATES.iter().any(|folder| name.starts_with(folder)) && name.contains("/src/");
        if !ours || name.contains("/tests") {
            continue;
        }
        for words in spawned(&read(&path)) {
            let argument: String = words.chars().take(70).collect();
            if [".watch(", ".watch_part(", "contain("].iter().any(|way| argument.contains(way)) {
                watched += 1;
                continue;
            }
            let row = seen
                .iter_mut()
                .find(|((file, what, _), met)| !met && *file == name && words.contains(what));
            match row {
                Some((_, met)) => *met = true,
                None => wrong.push(format!("{name}: {words}")),
            }
        }
    }
    assert!(watched >= 20, "only {watched} watched tasks were found");
    assert!(
        wrong.is_empty(),
        "spawn what `Supervisor::watch`, `watch_part` or `tasks::contain` gives: {wrong:#?}"
    );
    let left: Vec<_> = seen.iter().filter(|(_, met)| !met).map(|(row, _)| row).collect();
    assert!(left.is_empty(), "nothing spawns these any more: {left:#?}");
}
