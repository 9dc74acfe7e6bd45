//! What is acknowledged is heard by everybody who is there, at once and without another message,
//! whatever happens to Postgres and to the way there.
//!
//! Seven devices listen and four speak ([`ears`], [`mouths`]); the store fails under them. When the last
//! word is acknowledged, nothing more is said: everybody has to have all of it in [`AT_ONCE`], in the
//! log's order, each once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_testkit::postgres::{self, PostgresServer};
use godwit_testkit::probe::Probe;
use godwit_testkit::proxy::{Cut, Proxy};
use godwit_testkit::server::Options;
use godwit_testkit::wire::{Properties, Version};
use godwit_testkit::{until, within};

use super::payload;
use super::world::World;

mod ears;
mod mouths;

use ears::Ears;
use mouths::{Mouths, word};

/// How long after the last acknowledgement everybody has everything. A lost announcement is made good
/// for within half a second; a debug build on two cores that others use too takes its time.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Words of each speaker in one round.
const WORDS: usize = 60;

/// Rounds of each fault.
const ROUNDS: u32 = 3;

/// Nothing slows the speakers down but the store.
fn unbounded() -> Options {
    Options::default()
        .with("GODWIT__LIMITS__PUBLISHES_PER_S", "0")
        .with("GODWIT__LIMITS__USER_SENDS_PER_S", "0")
        .with("GODWIT__LIMITS__CONVERSATION_SENDS_PER_S", "0")
}

/// A world on a Postgres of its own behind a proxy, with a group of four.
struct Hall {
    world: World,
    cid: String,
    ears: Ears,
    proxy: Proxy,
    postgres: Arc<PostgresServer>,
}

impl Hall {
    async fn new(options: Options, fsync: bool) -> Self {
        let postgres = Arc::new(PostgresServer::start_with(postgres::Options { fsync }));
        let database = postgres.empty();
        let proxy = Proxy::start(database.url());
        let world = World::through(&proxy, database, options).await;
        let cid = world.server.create("group", &["alice", "bob", "carol", "dave"]).await;
        let ears = Ears::connect(&world).await;
        Self { world, cid, ears, proxy, postgres }
    }

    /// The bodies of all messages, in the log's order; as Postgres has them, for the server's own
    /// connections may just have been cut.
    fn log(&self) -> Vec<String> {
        let bodies = format!(
            "SELECT convert_from(body, 'UTF8') FROM messages
             WHERE conversation_id = '{}' AND cmid LIKE 'k-%' ORDER BY seq",
            self.id()
        );
        self.world.database().ask(&bodies).lines().map(str::to_owned).collect()
    }

    /// The conversation's id as Postgres writes it.
    fn id(&self) -> String {
        payload::cid_bytes(&self.cid).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// So many statements wait for a lock.
    async fn waiting(&self, count: u32) {
        let database = self.world.database();
        until("statements wait", async || {
            let waiting = database.ask("SELECT count(*) FROM pg_locks WHERE NOT granted");
            (waiting.parse::<u32>().expect("a number") >= count).then_some(())
        })
        .await;
    }

    /// Everybody hears all of the log, at once; it has so many messages.
    async fn heard(&mut self, said: usize, what: &str) {
        let acknowledged = Instant::now();
        let log = self.log();
        assert_eq!(log.len(), said, "each acknowledged message stands in the log once");
        self.ears.hear(&log).await;
        let took = acknowledged.elapsed();
        eprintln!("{what}: {took:?} after the last acknowledgement");
        assert!(took < AT_ONCE, "{what}: {took:?} after the last acknowledgement");
    }

    /// Rounds of speech; in the middle of each, another moment each time, the store fails and is
    /// mended.
    async fn hears_through(mut self, fault: impl AsyncFn(&Self)) {
        let mouths = Mouths::prepare(&self.world, &self.cid).await;
        let mut said = 0;
        for round in 0..ROUNDS {
            // Out of the hall for the time of the speech, so that the fault may look at the rest.
            let mut ears = std::mem::take(&mut self.ears);
            let talk = async {
                let trouble = async {
                    mouths.more(20 + 31 * round as usize).await;
                    fault(&self).await;
                };
                tokio::join!(mouths.speak(round, WORDS), trouble).0
            };
            said += ears.during(talk).await;
            self.ears = ears;
            self.heard(said, &format!("round {round}")).await;
        }
    }
}

/// Runs what blocks (psql, the start of a Postgres) beside the test's own tasks.
async fn aside(work: impl FnOnce() + Send + 'static) {
    within("a program's end", tokio::task::spawn_blocking(work)).await.expect("no panic");
}

/// Another connection holds the conversation's row; a send waits for it, the server is killed, another
/// one starts and everybody connects to it. Then the dead process's statement commits: nobody has
/// announced it, and the sender's repetition finds it.
#[tokio::test]
async fn what_a_dead_process_commits_is_heard() {
    // A slow start shall not end the statement that waits.
    let options = unbounded().with("GODWIT__STORE__POSTGRES_TIMEOUT", "60s");
    let mut hall = Hall::new(options, false).await;
    let mut said = 0;
    for (round, version) in [Version::V5, Version::V3, Version::V5].into_iter().enumerate() {
        let hello = hall.world.hello(version, "alice", "phone").await;
        let mut alice = hall.world.probe(version, "alice", "phone").await;
        if round == 2 {
            // Now the server remembers the head, and its commit is one statement.
            let (key, body) = word("warm", round);
            let topic = format!("c/{}/{key}", hall.cid);
            assert_eq!(alice.publish(&topic, body.as_bytes()).await.code, 0);
            said += 1;
            hall.heard(said, "before").await;
        }
        let mut held = hall.world.database().session();
        let row =
            format!("SELECT 1 FROM conversations WHERE id = '{}' FOR NO KEY UPDATE", hall.id());
        assert_eq!(held.ask(&format!("BEGIN; {row}")), "1");
        let since = Instant::now();
        let (key, body) = word("held", round);
        let topic = format!("c/{}/{key}", hall.cid);
        alice.start_publish(&topic, body.as_bytes(), Properties::none()).await;
        hall.waiting(1).await;
        hall.world.server.kill9().await;
        hall.world.server.restart().await;
        hall.ears.again(&hall.world, said).await;
        let (mut alice, _) = Probe::connect(&hall.world.mqtt(), &hello).await;
        let again = alice.start_publish(&topic, body.as_bytes(), Properties::none()).await;
        hall.waiting(2).await;
        let held_for = Duration::from_secs(4);
        until("4 s", async || (since.elapsed() >= held_for).then_some(())).await;
        assert_eq!(held.ask("COMMIT; SELECT 1"), "1");
        let answer = alice.answer(again).await;
        assert_eq!(answer.code, 0);
        if version == Version::V5 {
            assert_eq!(answer.properties.user("dup"), Some("1"), "{answer:?}");
        }
        said += 1;
        hall.heard(said, &format!("round {round}")).await;
    }
}

/// The first send after a clean restart commits, and the answer is lost with all connections.
#[tokio::test]
async fn the_first_commit_whose_answer_is_lost_is_heard() {
    let mut hall = Hall::new(unbounded(), false).await;
    for (said, version) in [Version::V5, Version::V3, Version::V5].into_iter().enumerate() {
        hall.world.server.stop().await;
        hall.world.server.restart().await;
        hall.ears.again(&hall.world, said).await;
        let mut alice = hall.world.probe(version, "alice", "phone").await;
        let (key, body) = word("first", said);
        let lost = hall.proxy.swallowed();
        hall.proxy.swallow(body.as_bytes(), Cut::All);
        let topic = format!("c/{}/{key}", hall.cid);
        assert_eq!(alice.publish(&topic, body.as_bytes()).await.code, 0);
        assert_eq!(hall.proxy.swallowed(), lost + 1);
        hall.heard(said + 1, &format!("round {said}")).await;
    }
}

#[tokio::test]
async fn commits_whose_answers_are_lost_with_all_connections_are_heard() {
    let hall = Hall::new(unbounded(), false).await;
    hall.hears_through(async |hall| {
        for _ in 0..5 {
            let lost = hall.proxy.swallowed();
            hall.proxy.swallow(b"word ", Cut::All);
            // The speech may end before the last one.
            let swallowed =
                until("an answer is lost", async || (hall.proxy.swallowed() > lost).then_some(()));
            let _ = tokio::time::timeout(Duration::from_secs(2), swallowed).await;
        }
        hall.proxy.swallow(b"nobody says this", Cut::One);
    })
    .await;
}

/// `pg_ctl stop -m immediate`, and a start that recovers.
#[tokio::test]
async fn a_crash_of_postgres_is_not_noticed_by_who_listens() {
    let hall = Hall::new(unbounded(), true).await;
    hall.hears_through(async |hall| {
        let postgres = Arc::clone(&hall.postgres);
        aside(move || {
            postgres.crash();
            postgres.launch();
        })
        .await;
    })
    .await;
}

/// Long enough for every statement under way to be given up.
const AWAY: Duration = Duration::from_secs(3);

fn impatient() -> Options {
    unbounded().with("GODWIT__STORE__POSTGRES_TIMEOUT", "2s")
}

async fn away() {
    let begun = Instant::now();
    until("the store is away for a while", async || (begun.elapsed() > AWAY).then_some(())).await;
}

#[tokio::test]
async fn a_balancer_that_accepts_and_closes_is_not_noticed_by_who_listens() {
    let hall = Hall::new(impatient(), false).await;
    hall.hears_through(async |hall| {
        hall.proxy.refuse();
        away().await;
        hall.proxy.pass();
    })
    .await;
}

#[tokio::test]
async fn a_frozen_way_is_not_noticed_by_who_listens() {
    let hall = Hall::new(impatient(), false).await;
    hall.hears_through(async |hall| {
        hall.proxy.freeze();
        away().await;
        hall.proxy.pass();
    })
    .await;
}

/// All of its processes stand still: what they were doing is done when they go on.
#[tokio::test]
async fn a_postgres_that_stands_still_is_not_noticed_by_who_listens() {
    let hall = Hall::new(impatient(), false).await;
    hall.hears_through(async |hall| {
        let postgres = Arc::clone(&hall.postgres);
        aside(move || postgres.freeze()).await;
        away().await;
        let postgres = Arc::clone(&hall.postgres);
        aside(move || postgres.thaw()).await;
    })
    .await;
}
