//! Sends on SQLite while each flush of the disk takes its time.

use std::time::Duration;

use godwit_proto::conversation::v1::Entry;
use godwit_proto::receipt::v1::{Receipt, Receipts};
use godwit_testkit::chat::cid_bytes;
use godwit_testkit::probe::{self, Probe};
use godwit_testkit::scratch::Scratch;
use godwit_testkit::server::{Godwit, Options};
use godwit_testkit::wire::{Connect, Properties, Received, Version};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::talk::{Figures, Stop, talk};

/// Conversations of one who sends and one who listens and reads.
const PAIRS: u32 = 15;

/// Kept sessions that come, subscribe and go meanwhile, one after the other each.
const GUESTS: u32 = 5;

pub(crate) async fn measure(flush_ms: u32, rate: u32, seconds: u32) {
    let scratch = Scratch::new("flush");
    let trace = scratch.path().join("calls");
    let inject = format!("inject=fsync,fdatasync:delay_enter={}", u64::from(flush_ms) * 1000);
    let mut wrapper: Vec<String> = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        &inject,
        "-o",
    ]
    .map(str::to_owned)
    .to_vec();
    wrapper.push(trace.display().to_string());
    let mut server = Godwit::start_with(Options { wrapper, ..Options::default() }).await;
    let (stop, mqtt) = (Stop::default(), server.mqtt());
    let (mut talks, mut others) = (JoinSet::new(), JoinSet::new());
    let pace = Duration::from_secs(1) * PAIRS / rate;
    let mut speakers = Vec::new();
    for n in 0..PAIRS {
        let (one, other) = (format!("speaker{n}"), format!("listener{n}"));
        let cid = server.create("direct", &[&one, &other]).await;
        let (listener, _) = Probe::connect(&mqtt, &hello(&server, &other).await.kept()).await;
        others.spawn(listen(listener, cid.clone()));
        let (speaker, _) = Probe::connect(&mqtt, &hello(&server, &one).await).await;
        speakers.push((speaker, cid));
    }
    let mut guests = JoinSet::new();
    for n in 0..GUESTS {
        let hello = hello(&server, &format!("guest{n}")).await.kept();
        guests.spawn(come_and_go(mqtt.clone(), hello, stop.clone()));
    }
    let (before, begun) = (flushes(&trace), Instant::now());
    for (n, (speaker, cid)) in (0..).zip(speakers) {
        let stop = stop.clone();
        talks.spawn(async move {
            // Not all at once.
            tokio::time::sleep(pace * n / PAIRS).await;
            talk(speaker, format!("c/{cid}"), pace, stop).await
        });
    }
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    stop.now();
    let talks = talks.join_all().await;
    let (span, flushed) = (begun.elapsed().as_secs_f64(), flushes(&trace) - before);
    println!("{rate} sends a second for {seconds} s, flushes of {flush_ms} ms");
    let took = talks.iter().flat_map(|talk| &talk.took).map(|(_, took)| *took);
    println!("PUBACKs, {}", Figures::of(took));
    println!("refused {}", talks.iter().map(|talk| talk.refused).sum::<usize>());
    println!("{flushed} flushes in {span:.1} s");
    let visits = guests.join_all().await;
    let opened = visits.iter().flat_map(|visits| &visits.opened);
    println!("CONNACKs of kept sessions, {}", Figures::of(opened.copied()));
    let subscribed = visits.iter().flat_map(|visits| &visits.subscribed);
    println!("SUBACKs of kept sessions, {}", Figures::of(subscribed.copied()));
    let refused: usize = visits.iter().map(|visits| visits.refused).sum();
    println!("CONNECTs and SUBSCRIBEs of kept sessions that were told to come again: {refused}");
    others.abort_all();
    server.verdict();
}

/// How many flushes the trace has.
fn flushes(trace: &std::path::Path) -> usize {
    let text = std::fs::read_to_string(trace).expect("strace writes");
    text.lines().filter(|line| !line.contains("resumed>") && line.contains("sync(")).count()
}

async fn hello(server: &Godwit, user: &str) -> Connect {
    let token = server.token(user, "phone", "1h").await;
    probe::connect(Version::V5, user, "phone", &token)
}

/// Acknowledges each message and says that it was read.
async fn listen(mut probe: Probe, cid: String) {
    probe.eager = true;
    probe.subscribe("m/#").await;
    loop {
        let Received::Publish(publish) = probe.next().await else { continue };
        let Ok(entry) = Entry::decode(publish.payload.as_slice()) else { continue };
        let read =
            Receipt { conversation_id: cid_bytes(&cid).into(), delivered: 0, read: entry.seq };
        let report = Receipts { receipts: vec![read] }.encode_to_vec();
        probe.start_publish("r", &report, Properties::none()).await;
    }
}

/// What a guest has seen.
#[derive(Default)]
struct Visits {
    opened: Vec<Duration>,
    subscribed: Vec<Duration>,
    refused: usize,
}

/// Connects with a kept session, subscribes, and leaves, again and again.
async fn come_and_go(mqtt: String, hello: Connect, stop: Stop) -> Visits {
    let mut visits = Visits::default();
    while !stop.is_set() {
        let begun = Instant::now();
        let (mut probe, welcome) = Probe::try_connect(&mqtt, &hello).await;
        if welcome.code != 0 {
            visits.refused += 1;
            continue;
        }
        let opened = begun.elapsed();
        visits.opened.push(opened);
        if probe.subscribe_with(&[("m/#", 1)]).await == [1] {
            visits.subscribed.push(begun.elapsed() - opened);
        } else {
            visits.refused += 1;
        }
        probe.disconnect(0).await;
    }
    visits
}
