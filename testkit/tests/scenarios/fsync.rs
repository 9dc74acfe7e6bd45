//! The order of system calls on SQLite: the log is on disk before the PUBACK is on the wire.

use godwit_testkit::server::Options;
use godwit_testkit::wire::Version;

use super::world::World;

/// One finished system call of a trace by `strace -f -yy`.
#[derive(Debug)]
struct Call {
    name: String,
    /// Everything after the name: file, data, result.
    rest: String,
}

/// Reads a trace in the order in which writes and sends **began**, and syncs and reads **ended**: a
/// sync counts when it has returned, a send when it was entered, which is the strict reading.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: std::collections::HashMap<&str, String> = std::collections::HashMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            if ends_late(begun) {
                open.insert(pid, begun.to_owned());
            } else if let Some(call) = parse(begun) {
                found.push(call);
            }
        } else if rest.starts_with("<...") {
            let result = rest.split_once("resumed>").map_or("", |(_, result)| result);
            if let Some(begun) = open.remove(pid) {
                found.extend(parse(&format!("{begun}{result}")));
            }
        } else {
            found.extend(parse(rest));
        }
    }
    found
}

fn is_sync(text: &str) -> bool {
    text.starts_with("fsync(") || text.starts_with("fdatasync(")
}

/// Calls that count when they have returned.
fn ends_late(text: &str) -> bool {
    is_sync(text) || text.starts_with("read(") || text.starts_with("recvfrom(")
}

fn parse(text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    Some(Call { name: name.to_owned(), rest: rest.to_owned() })
}

#[test]
fn unfinished_calls_are_put_together() {
    let trace = "7 fdatasync(9</d/x-wal> <unfinished ...>\n8 write(4<TCP:[a]>, \"@\\2\", 4) = 4\n\
                 7 <... fdatasync resumed>) = 0\n8 recvfrom(4<TCP:[a]>, <unfinished ...>\n\
                 8 <... recvfrom resumed>\"data\", 8192, 0, NULL, NULL) = 4\n";
    let calls = calls(trace);
    let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["write", "fdatasync", "recvfrom"]);
    assert!(calls[1].rest.ends_with("= 0"));
    assert!(calls[2].rest.contains("data"));
}

#[tokio::test]
async fn the_wal_is_synced_before_the_puback_is_sent() {
    let scratch = godwit_testkit::scratch::Scratch::new("trace");
    let file = scratch.path().join("calls");
    let what = "trace=fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg,read,recvfrom";
    let mut wrapper: Vec<String> =
        ["strace", "-f", "-yy", "-s", "200", "-e", what, "-o"].map(str::to_owned).to_vec();
    wrapper.push(file.display().to_string());
    let mut world = World::with(Options { wrapper, ..Options::default() }).await;
    let mut alice = world.probe(Version::V5, "alice", "phone").await;
    for n in 0..5 {
        let answer = alice.publish(&world.keyed(&format!("traced-{n}")), b"traced body").await;
        assert_eq!(answer.code, 0);
    }
    world.server.stop().await;
    let calls = calls(&std::fs::read_to_string(&file).expect("a trace"));
    for n in 0..5 {
        let topic = format!("traced-{n}");
        let received = calls.iter().position(|call| {
            matches!(call.name.as_str(), "read" | "recvfrom") && call.rest.contains(&topic)
        });
        let received = received.unwrap_or_else(|| panic!("{topic} was not seen to come in"));
        let after = &calls[received..];
        let is_puback = |call: &Call| {
            matches!(call.name.as_str(), "write" | "writev" | "sendto" | "sendmsg")
                && call.rest.contains("TCP")
                && call.rest.contains("\"@")
        };
        let puback = after.iter().position(is_puback).expect("a PUBACK");
        let until_puback = &after[..puback];
        let written = until_puback.iter().position(|call| {
            matches!(call.name.as_str(), "pwrite64" | "pwritev" | "write")
                && call.rest.contains("-wal>")
        });
        let written = written.unwrap_or_else(|| panic!("{topic}: no write to the WAL"));
        let synced = until_puback[written..].iter().any(|call| {
            is_sync(&format!("{}(", call.name))
                && call.rest.contains("-wal>")
                && call.rest.trim_end().ends_with("= 0")
        });
        assert!(synced, "{topic}: acknowledged before its sync: {until_puback:#?}");
    }
}
