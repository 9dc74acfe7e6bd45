//! Sends beside the upkeep of a store with many expired sessions of one user in many conversations.

use std::time::Duration;

use godwit_testkit::postgres::Database;
use godwit_testkit::probe::{self, Probe};
use godwit_testkit::rows::Place;
use godwit_testkit::server::{Godwit, Options};
use godwit_testkit::wire::Version;
use tokio::time::Instant;

use crate::talk::{Figures, Stop, talk};

/// Between two sends.
const PACE: Duration = Duration::from_millis(10);

/// Sends alone before the upkeep begins.
const BEFORE: Duration = Duration::from_secs(5);

/// The longest that the whole may take.
const PATIENCE: Duration = Duration::from_mins(30);

pub(crate) async fn measure(database: Option<Database>, sessions: u32, conversations: u32) {
    let options = Options {
        postgres_url: database.as_ref().map(|database| database.url().to_owned()),
        ..Options::default()
    };
    let mut server = Godwit::start_with(options.with("GODWIT__RETENTION__INTERVAL", "1s")).await;
    let store = server.store();
    // The server is away meanwhile: one transaction of this size holds SQLite's only writer.
    server.stop().await;
    let begun = Instant::now();
    fill(&store, sessions, conversations);
    let cursors = store.count("cursors where user_id = 'hoarder'");
    println!(
        "{sessions} sessions in {conversations} conversations, {cursors} cursors, made in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    server.restart().await;
    println!("the server was ready after {:.1} s", begun.elapsed().as_secs_f64());
    let (stop, mqtt) = (Stop::default(), server.mqtt());
    let listener = connect(&server, &mqtt, "bob", "phone", true).await;
    let listening = tokio::spawn(listen(listener));
    let speaker = connect(&server, &mqtt, "alice", "phone", false).await;
    let topic = format!("c/{}", server.conversation());
    let talking = tokio::spawn(talk(speaker, topic, PACE, stop.clone()));
    tokio::time::sleep(BEFORE).await;
    let from = Instant::now();
    expire(&store, sessions);
    let mut left = sessions.into();
    while left > 0 {
        assert!(from.elapsed() < PATIENCE, "{left} sessions are left after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        left = store.count("sessions where user_id = 'hoarder'");
    }
    let took = from.elapsed();
    stop.now();
    let talk = talking.await.expect("the sender goes on");
    listening.abort();
    let during = |due: Instant| due >= from && due < from + took;
    let alone = talk.took.iter().filter(|(due, _)| *due < from).map(|(_, took)| *took);
    println!("sends before, {}", Figures::of(alone));
    let beside = talk.took.iter().filter(|(due, _)| during(*due)).map(|(_, took)| *took);
    println!("sends beside, {}", Figures::of(beside));
    println!("refused {}", talk.refused);
    let cursors = store.count("cursors where user_id = 'hoarder'");
    println!("all sessions gone after {:.0} s, {cursors} cursors left", took.as_secs_f64());
    let warned = server.log().lines().filter(|line| line.contains("retention waits")).count();
    println!("{warned} lines in the log that retention waits");
    assert_eq!(cursors, 0, "cursors of sessions that are gone");
    server.verdict();
}

/// The user's conversations and cursors; sessions are still to come, so that nothing is due yet.
fn fill(store: &Place, sessions: u32, conversations: u32) {
    let (id, chain, blocked) = match store {
        Place::Postgres(_) => ("md5(n::text)::uuid", "'\\x00'::bytea", "false"),
        Place::Sqlite(_) => ("randomblob(16)", "zeroblob(16)", "0"),
    };
    let _ = store.ask(&format!(
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {conversations})
         INSERT INTO conversations (id, head_seq, group_version, created_ms, head_chain, kind,
             number, active_seq, active_ms, next_tag)
         SELECT {id}, 0, 1, 0, {chain}, 2, 0, 0, 0, 2 FROM r"
    ));
    let _ = store.ask(&format!(
        "INSERT INTO members (conversation_id, joined_seq, role, user_id, visible_seq, tag, blocked)
         SELECT id, 0, 1, 'hoarder', 0, 1, {blocked} FROM conversations WHERE head_seq = 0"
    ));
    let _ = store.ask(&format!(
        "WITH RECURSIVE d (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM d WHERE n < {sessions})
         INSERT INTO cursors (conversation_id, user_id, device_id, feed, seq)
         SELECT m.conversation_id, m.user_id, 'd' || d.n, 1, 0
         FROM members m, d WHERE m.user_id = 'hoarder' ORDER BY m.conversation_id"
    ));
}

/// The user's sessions, all of them due at once.
fn expire(store: &Place, sessions: u32) {
    let _ = store.ask(&format!(
        "WITH RECURSIVE d (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM d WHERE n < {sessions})
         INSERT INTO sessions (user_id, device_id, expiry_s, closed_ms)
         SELECT 'hoarder', 'd' || n, 1, 0 FROM d"
    ));
}

async fn connect(server: &Godwit, mqtt: &str, user: &str, device: &str, kept: bool) -> Probe {
    let hello = probe::connect(Version::V5, user, device, &server.dev_token(user, device));
    let hello = if kept { hello.kept() } else { hello };
    Probe::connect(mqtt, &hello).await.0
}

/// Acknowledges everything, as an app does.
async fn listen(mut probe: Probe) {
    probe.eager = true;
    probe.subscribe("m/#").await;
    loop {
        let _ = probe.next().await;
    }
}
