//! A PUBACK means COMMIT, whatever happens to the server right after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use godwit_testkit::history::{History, Place};
use godwit_testkit::postgres::{self, PostgresServer};
use godwit_testkit::probe::{Answer, Probe};
use godwit_testkit::server::Options;
use godwit_testkit::wire::{Properties, Received, Version};
use godwit_testkit::{until, wire, within};

use super::payload;
use super::world::{Backend, World};

/// Kills in one run.
const ROUNDS: u64 = 10;
/// Sends of one device that wait for their PUBACK at a time.
const WINDOW: usize = 16;
/// The devices that send, of both members.
const SENDERS: [(&str, &str); 4] =
    [("alice", "phone"), ("alice", "laptop"), ("bob", "phone"), ("bob", "tablet")];

/// A send under way: packet id and key, which is the body too.
type Open = Vec<(u16, String)>;

/// One device's part of a round.
struct Outcome {
    acknowledged: Vec<(String, Answer)>,
    unknown: Vec<String>,
}

fn committed(answer: &Answer) -> (u64, String) {
    assert_eq!(answer.code, 0, "{answer:?}");
    let property = |name| answer.properties.user(name).expect("an accepting PUBACK");
    (property("seq").parse().expect("a number"), property("mid").to_owned())
}

/// Sends what is left of before, then new messages until the connection ends or `most` are done.
async fn send_until_cut(
    mut probe: Probe,
    cid: String,
    name: String,
    resend: Vec<String>,
    progress: Arc<AtomicU64>,
    most: Option<usize>,
) -> Outcome {
    let mut outcome = Outcome { acknowledged: Vec::new(), unknown: Vec::new() };
    let mut due = resend.into_iter();
    let mut open: Open = Vec::new();
    let mut count = 0;
    loop {
        while open.len() < WINDOW && most.is_none_or(|most| count < most) {
            let key = due.next().unwrap_or_else(|| {
                count += 1;
                format!("{name}-{count}")
            });
            let topic = format!("c/{cid}/{key}");
            let packet = probe.start_publish(&topic, key.as_bytes(), Properties::none()).await;
            open.push((packet, key));
        }
        if open.is_empty() {
            return outcome;
        }
        match probe.next().await {
            Received::PubAck { packet_id, code, properties } => {
                let at = open.iter().position(|(id, _)| *id == packet_id).expect("one of ours");
                let answer = Answer { code, properties };
                outcome.acknowledged.push((open.remove(at).1, answer));
                progress.fetch_add(1, Ordering::Relaxed);
            }
            // A server whose store is away ends connections with a code.
            Received::Disconnect { .. } => {}
            Received::Closed => break,
            other => panic!("{other:?}"),
        }
    }
    // What was never sent is as unknown as what was: the resend makes it known.
    let unsent = (count + 1..=most.unwrap_or(count)).map(|n| format!("{name}-{n}"));
    outcome.unknown = open.into_iter().map(|(_, key)| key).chain(due).chain(unsent).collect();
    outcome
}

/// Reads everything that comes until the connection ends, or the head is reached.
async fn listen(probe: &mut Probe, history: &mut History, head: Option<u64>) {
    while head.is_none_or(|head| history.seen("bob:reader") < head) {
        match probe.next().await {
            Received::Publish(publish) => {
                let entry = payload::entry(&publish.payload);
                let mid = payload::mid(&entry.message_id);
                let place = Place { seq: entry.seq, mid, body: entry.body.to_vec() };
                history.arrived("bob:reader", place);
                probe.write(&wire::puback(publish.packet_id)).await;
            }
            Received::Closed => return,
            other => panic!("{other:?}"),
        }
    }
}

/// One round: load from all devices, and a kill in the middle of it. Gives what is to be resent.
async fn round(
    world: &mut World,
    n: u64,
    history: &mut History,
    mut resend: Vec<Vec<String>>,
) -> Vec<Vec<String>> {
    let (mut reader, present) = world.kept(Version::V5, "bob", "reader").await;
    assert_eq!(present, n > 0, "the session outlives the kill");
    if n == 0 {
        reader.subscribe("m/#").await;
    }
    let progress = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for (at, (user, device)) in SENDERS.iter().enumerate() {
        let probe = world.probe(Version::V5, user, device).await;
        let name = format!("{user}-{device}-{n}");
        let due = std::mem::take(&mut resend[at]);
        tasks.push(tokio::spawn(send_until_cut(
            probe,
            world.cid.clone(),
            name,
            due,
            Arc::clone(&progress),
            None,
        )));
    }
    // Another moment of the load in every round.
    let moment = 50 + n * 37;
    let kill = async {
        until("the load", async || (progress.load(Ordering::Relaxed) >= moment).then_some(()))
            .await;
        world.server.kill9().await;
    };
    tokio::join!(kill, listen(&mut reader, history, None));
    let mut left = Vec::new();
    for task in tasks {
        let outcome = task.await.expect("a sender");
        for (key, answer) in outcome.acknowledged {
            let (seq, mid) = committed(&answer);
            history.acknowledged(key.as_bytes(), seq, &mid);
        }
        for key in &outcome.unknown {
            history.unknown(key.as_bytes());
        }
        left.push(outcome.unknown);
    }
    left
}

async fn nothing_acknowledged_is_lost(backend: Backend) {
    let options = Options::default().with("GODWIT__LIMITS__PUBLISHES_PER_S", "0");
    let mut world = World::on_with(backend, options).await;
    let mut history = History::default();
    let mut left = vec![Vec::new(); SENDERS.len()];
    for n in 0..ROUNDS {
        left = round(&mut world, n, &mut history, left).await;
        world.server.restart().await;
    }
    let acknowledged_before = history.count();
    assert!(acknowledged_before > 1000, "only {acknowledged_before} acknowledged: no load");
    // What is still unknown is sent once more with its key: now all of it is known.
    for ((user, device), keys) in SENDERS.iter().zip(left) {
        let mut probe = world.probe(Version::V5, user, device).await;
        for key in keys {
            let answer = probe.publish(&world.keyed(&key), key.as_bytes()).await;
            let (seq, mid) = committed(&answer);
            history.acknowledged(key.as_bytes(), seq, &mid);
        }
    }
    let head = history.count() as u64;
    let (mut reader, present) = world.kept(Version::V5, "bob", "reader").await;
    assert!(present);
    listen(&mut reader, &mut history, Some(head)).await;
    let log = history.verdict(&world.server, &world.cid).await;
    assert_eq!(log.len() as u64, head, "every send was resent, so the log is what is acknowledged");
    let rows = world.server.store().count("messages");
    assert_eq!(rows, head, "rows of the table against acknowledgements");
}

/// Postgres itself dies under load (its own crash, not an orderly stop) and comes back: the server
/// stays, and what it acknowledged was flushed.
#[tokio::test]
async fn a_crash_of_postgres_loses_nothing_acknowledged() {
    let postgres = Arc::new(PostgresServer::start_with(postgres::Options { fsync: true }));
    let options = Options::default().with("GODWIT__LIMITS__PUBLISHES_PER_S", "0");
    let world = World::on_database(postgres.empty(), options).await;
    let mut history = History::default();
    let progress = Arc::new(AtomicU64::new(0));
    let probe = world.probe(Version::V5, "alice", "phone").await;
    let cid = world.cid.clone();
    let sending = tokio::spawn(send_until_cut(
        probe,
        cid,
        "n".to_owned(),
        Vec::new(),
        Arc::clone(&progress),
        Some(600),
    ));
    let count = || progress.load(Ordering::Relaxed);
    until("the load", async || (count() >= 200).then_some(())).await;
    let stopping = Arc::clone(&postgres);
    tokio::task::spawn_blocking(move || {
        stopping.crash();
        stopping.launch();
    })
    .await
    .expect("Postgres comes back");
    let outcome = within("the senders' end", sending).await.expect("a sender");
    for (key, answer) in outcome.acknowledged {
        let (seq, mid) = committed(&answer);
        history.acknowledged(key.as_bytes(), seq, &mid);
    }
    // The server may have given up a connection; the client sends again, as clients do.
    let mut probe = world.probe(Version::V5, "alice", "phone").await;
    for key in outcome.unknown {
        history.unknown(key.as_bytes());
        let answer = probe.publish(&world.keyed(&key), key.as_bytes()).await;
        let (seq, mid) = committed(&answer);
        history.acknowledged(key.as_bytes(), seq, &mid);
    }
    assert_eq!(history.count(), 600);
    history.verdict(&world.server, &world.cid).await;
    assert_eq!(world.server.store().count("messages"), 600);
}

mod kill_9_ten_times_under_load {
    use super::{Backend, nothing_acknowledged_is_lost};

    #[tokio::test]
    async fn sqlite() {
        nothing_acknowledged_is_lost(Backend::Sqlite).await;
    }

    #[tokio::test]
    async fn postgres() {
        nothing_acknowledged_is_lost(Backend::Postgres).await;
    }
}
