//! A PUBACK means COMMIT, whatever happens to the server right after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use godwit_testkit::history::{self, Attempt, Entry, History};
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

/// An attempt whose key is its body, as its PUBACK told of it.
fn committed((user, device): (&str, &str), key: &str, answer: &Answer) -> Attempt {
    assert_eq!(answer.code, 0, "{answer:?}");
    let property = |name| answer.properties.user(name);
    let seq = property("seq").and_then(|seq| seq.parse().ok()).expect("a number");
    let (mid, duplicate) = (property("mid").map(str::to_owned), property("dup") == Some("1"));
    let outcome = history::Outcome::Accepted(seq, mid, duplicate);
    Attempt::message(&format!("{user}:{device}"), key, outcome)
}

fn unknown((user, device): (&str, &str), key: &str) -> Attempt {
    Attempt::message(&format!("{user}:{device}"), key, history::Outcome::Unknown)
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
                let entry = Entry::from(&payload::entry(&publish.payload));
                history.arrived("bob:reader", entry);
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
        history.watches("bob:reader", 0);
    }
    history.connected("bob:reader");
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
    for (task, who) in tasks.into_iter().zip(SENDERS) {
        let outcome = task.await.expect("a sender");
        for (key, answer) in outcome.acknowledged {
            history.attempt(committed(who, &key, &answer));
        }
        for key in &outcome.unknown {
            history.attempt(unknown(who, key));
        }
        left.push(outcome.unknown);
    }
    left
}

/// Nothing slows the senders down but the commits.
fn unbounded() -> Options {
    Options::default()
        .with("GODWIT__LIMITS__PUBLISHES_PER_S", "0")
        .with("GODWIT__LIMITS__USER_SENDS_PER_S", "0")
        .with("GODWIT__LIMITS__CONVERSATION_SENDS_PER_S", "0")
}

async fn nothing_acknowledged_is_lost(backend: Backend) {
    let options = unbounded();
    let mut world = World::on_with(backend, options).await;
    let mut history = History::of(&["alice", "bob"]);
    let mut left = vec![Vec::new(); SENDERS.len()];
    for n in 0..ROUNDS {
        left = round(&mut world, n, &mut history, left).await;
        world.server.restart().await;
    }
    let acknowledged_before = history.accepted();
    assert!(acknowledged_before > 1000, "only {acknowledged_before} acknowledged: no load");
    // What is still unknown is sent once more with its key: now all of it is known.
    for ((user, device), keys) in SENDERS.into_iter().zip(left) {
        let mut probe = world.probe(Version::V5, user, device).await;
        for key in keys {
            let answer = probe.publish(&world.keyed(&key), key.as_bytes()).await;
            history.attempt(committed((user, device), &key, &answer));
        }
    }
    let head = history.accepted() as u64;
    let (mut reader, present) = world.kept(Version::V5, "bob", "reader").await;
    assert!(present);
    history.connected("bob:reader");
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
    let options = unbounded();
    let world = World::on_database(postgres.empty(), options).await;
    let mut history = History::of(&["alice", "bob"]);
    let (who, progress) = (("alice", "phone"), Arc::new(AtomicU64::new(0)));
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
        history.attempt(committed(who, &key, &answer));
    }
    // The server may have given up a connection; the client sends again, as clients do.
    let mut probe = world.probe(Version::V5, "alice", "phone").await;
    for key in outcome.unknown {
        history.attempt(unknown(who, &key));
        let answer = probe.publish(&world.keyed(&key), key.as_bytes()).await;
        history.attempt(committed(who, &key, &answer));
    }
    assert_eq!(history.accepted(), 600);
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
