//! The order of system calls on SQLite: the log is on disk before the PUBACK is on the wire, and nobody
//! waits for the flushes of others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::Version;
use tokio::task::JoinSet;

use super::world::World;

/// One finished system call of a trace by `strace -f -yy`.
#[derive(Debug)]
struct Call {
    /// The thread.
    thread: String,
    name: String,
    /// Everything after the name: file, data, result.
    rest: String,
}

/// Reads a trace in the order in which writes and sends **began**, and syncs and reads **ended**: a
/// sync counts when it has returned, a send when it was entered, which is the strict reading.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: HashMap<&str, String> = HashMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            if ends_late(begun) {
                open.insert(pid, begun.to_owned());
            } else if let Some(call) = parse(pid, begun) {
                found.push(call);
            }
        } else if rest.starts_with("<...") {
            let result = rest.split_once("resumed>").map_or("", |(_, result)| result);
            if let Some(begun) = open.remove(pid) {
                found.extend(parse(pid, &format!("{begun}{result}")));
            }
        } else {
            found.extend(parse(pid, rest));
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

fn parse(thread: &str, text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    Some(Call { thread: thread.to_owned(), name: name.to_owned(), rest: rest.to_owned() })
}

impl Call {
    fn takes(&self, topic: &str) -> bool {
        matches!(self.name.as_str(), "read" | "recvfrom") && self.rest.contains(topic)
    }

    /// A PUBACK, alone or behind another packet that is as short.
    fn acknowledges(&self) -> bool {
        matches!(self.name.as_str(), "write" | "writev" | "sendto" | "sendmsg")
            && self.rest.contains("TCP")
            && self.rest.contains("\"@")
    }

    fn has_flushed(&self) -> bool {
        let result = self.rest.trim_end().trim_end_matches(" (DELAYED)");
        is_sync(&format!("{}(", self.name)) && result.ends_with("= 0")
    }
}

const CALLS: &str =
    "trace=fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg,read,recvfrom";

/// What runs a server so that its calls are written to `file`; further arguments of strace.
fn traced(file: &std::path::Path, more: &[&str]) -> Vec<String> {
    let mut words = vec!["strace", "-f", "-yy", "-s", "200", "-e", CALLS];
    words.extend(more);
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    words.extend(["-o".to_owned(), file.display().to_string()]);
    words
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
    let wrapper = traced(&file, &[]);
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
        let received = calls.iter().position(|call| call.takes(&topic));
        let received = received.unwrap_or_else(|| panic!("{topic} was not seen to come in"));
        let after = &calls[received..];
        let puback = after.iter().position(Call::acknowledges).expect("a PUBACK");
        let until_puback = &after[..puback];
        let written = until_puback.iter().position(|call| {
            matches!(call.name.as_str(), "pwrite64" | "pwritev" | "write")
                && call.rest.contains("-wal>")
        });
        let written = written.unwrap_or_else(|| panic!("{topic}: no write to the WAL"));
        let synced = until_puback[written..]
            .iter()
            .any(|call| call.has_flushed() && call.rest.contains("-wal>"));
        assert!(synced, "{topic}: acknowledged before its sync: {until_puback:#?}");
    }
}

/// Changes subscriptions, one after the other; how many.
async fn change_while(sending: Arc<AtomicBool>, mut probe: Probe) -> usize {
    let mut changes = 0;
    while sending.load(Ordering::Relaxed) {
        probe.subscribe("m/#").await;
        probe.unsubscribe("m/#").await;
        changes += 2;
    }
    changes
}

/// Each flush of the disk takes a while. Sends wait for the commit before theirs and for their own, and
/// not for the flushes of everything else that is stored meanwhile; and that waits for few flushes, too,
/// though many are stored.
#[tokio::test]
async fn on_a_slow_disk_nobody_waits_for_the_flushes_of_others() {
    const SENDERS: usize = 4;
    const SENDS: usize = 12;
    const KEPT: usize = 12;
    let scratch = godwit_testkit::scratch::Scratch::new("slow");
    let file = scratch.path().join("calls");
    let slow = ["-e", "inject=fsync,fdatasync:delay_enter=100000"];
    let wrapper = traced(&file, &slow);
    let mut world = World::with(Options { wrapper, ..Options::default() }).await;
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        let (user, other) = (format!("sender{n}"), format!("other{n}"));
        let cid = world.server.create("direct", &[&user, &other]).await;
        senders.push((world.probe(Version::V5, &user, "phone").await, cid));
    }
    // Whoever changes the subscriptions of a kept session has it stored, one change at a time.
    let mut kept = Vec::new();
    for n in 0..KEPT {
        let hello = world.hello(Version::V5, &format!("kept{n}"), "phone").await.kept();
        kept.push(Probe::connect(&world.mqtt(), &hello).await.0);
    }
    let sending = Arc::new(AtomicBool::new(true));
    let mut changing = JoinSet::new();
    for probe in kept {
        changing.spawn(change_while(Arc::clone(&sending), probe));
    }
    let flushes = || {
        let text = std::fs::read_to_string(&file).expect("a trace");
        calls(&text).iter().filter(|call| call.has_flushed()).count()
    };
    let before = flushes();
    let mut sends = JoinSet::new();
    for (n, (mut probe, cid)) in senders.into_iter().enumerate() {
        sends.spawn(async move {
            for k in 0..SENDS {
                let topic = format!("c/{cid}/slow-{n}-{k}-");
                assert_eq!(probe.publish(&topic, b"a body").await.code, 0);
            }
            probe
        });
    }
    let senders = sends.join_all().await;
    sending.store(false, Ordering::Relaxed);
    let changes: usize = changing.join_all().await.into_iter().sum();
    let flushed = flushes() - before;
    assert!(flushed > SENDS, "{flushed} flushes for {SENDERS} times {SENDS} sends");
    assert!(changes > flushed, "{changes} changes of subscriptions took {flushed} flushes");
    drop(senders);
    world.server.stop().await;
    let calls = calls(&std::fs::read_to_string(&file).expect("a trace"));
    let mut waits = Vec::new();
    for (n, k) in (0..SENDERS).flat_map(|n| (0..SENDS).map(move |k| (n, k))) {
        let topic = format!("slow-{n}-{k}-");
        let received = calls.iter().position(|call| call.takes(&topic)).expect("it came in");
        let socket = calls[received].rest.split(',').next().unwrap_or_default();
        let puback = |call: &Call| call.acknowledges() && call.rest.starts_with(socket);
        let after = &calls[received..];
        let until_puback = &after[..after.iter().position(puback).expect("its PUBACK")];
        // Of one thread: flushes of different threads are under way at the same time.
        let mut threads: HashMap<&str, usize> = HashMap::new();
        for call in until_puback.iter().filter(|call| call.has_flushed()) {
            *threads.entry(&call.thread).or_default() += 1;
        }
        waits.push(threads.into_values().max().unwrap_or(0));
    }
    // One that just misses a batch, for its thread had no processor, waits for one more.
    let more = waits.iter().filter(|flushes| **flushes > 2).count();
    assert!(more * 8 <= waits.len(), "flushes that the sends have waited for: {waits:?}");
}
