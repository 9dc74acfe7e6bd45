//! How fast both stores commit: `cargo run --release -p godwit-store-postgres --example
//! commit_rate [SECONDS]`.
//!
//! A private Postgres that flushes to the disk, a SQLite file beside it, bodies of 256 bytes, each
//! send of a batch to another of 1,000 conversations. Printed: batches' latency, rows a second,
//! Postgres' processor time a row, and a bare single-row commit to compare with.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, run by hand")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_core::commit::{Send as SendRequest, SendKey};
use godwit_core::conformance::support::{accepted, fresh_id, group, send};
use godwit_core::ids::ConversationId;
use godwit_core::policy::Policy;
use godwit_core::store::Store;
use godwit_store_postgres::{Options, PostgresStore};
use godwit_store_sqlite::SqliteStore;
use godwit_testkit::postgres::{self, PostgresServer};
use sqlx::Connection as _;

const CONVERSATIONS: u64 = 1_000;

fn id(number: u64) -> ConversationId {
    let mut bytes = [0x42; 16];
    // Spread as random ids are.
    bytes[..8].copy_from_slice(&(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
    ConversationId(bytes)
}

fn batch(start: u64, size: u64) -> Vec<SendRequest> {
    (0..size)
        .map(|i| SendRequest {
            key: SendKey::Server(fresh_id()),
            body: vec![7; 256].into(),
            ..send(id((start + i) % CONVERSATIONS), "alice:phone", "x")
        })
        .collect()
}

/// Commits for so long with so many writers; prints a line.
async fn measure(
    name: &str,
    store: Arc<dyn Store>,
    size: u64,
    writers: u64,
    time: Duration,
    pid: Option<u32>,
) {
    let before = pid.map(processor_time);
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let (mut latencies, policy) = (Vec::new(), Policy::default());
            // Writers stay apart, as batches of one process' conversations mostly do.
            let mut at = writer * CONVERSATIONS / writers;
            while begin.elapsed() < time {
                let sends = batch(at, size);
                at += size;
                let start = Instant::now();
                let committed = store.commit(&sends, &policy).await.unwrap();
                latencies.push(start.elapsed());
                assert!(committed.fates.iter().all(|fate| !accepted(*fate).2));
            }
            latencies
        });
    }
    let mut latencies = tasks.join_all().await.concat();
    let seconds = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: usize| latencies[latencies.len() * share / 100].as_secs_f64() * 1e3;
    let rows = latencies.len() as u64 * size;
    let cpu = match (pid, before) {
        (Some(pid), Some(before)) => {
            let spent = (processor_time(pid) - before).as_secs_f64() * 1e6 / rows as f64;
            format!("{spent:7.1} us of Postgres a row")
        }
        _ => String::new(),
    };
    println!(
        "{name:9} batch {size:3}, {writers} writers: p50 {:7.3} ms, p99 {:7.3} ms, {:8.0} rows/s {cpu}",
        at(50),
        at(99),
        rows as f64 / seconds,
    );
}

/// Processor time of a process' children, in steps of a hundredth of a second.
fn processor_time(parent: u32) -> Duration {
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in brackets may hold spaces; the fields after it do not.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        if fields.get(1).and_then(|ppid| ppid.parse().ok()) == Some(parent) {
            ticks += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        }
    }
    Duration::from_millis(ticks * 10)
}

/// One row, one statement, one connection: what any commit costs here.
async fn bare(url: &str, time: Duration) {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE bare (id bigserial PRIMARY KEY, body bytea)")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut latencies = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < time {
        let start = Instant::now();
        sqlx::query("INSERT INTO bare (body) VALUES ($1)")
            .bind(vec![7u8; 256])
            .execute(&mut connection)
            .await
            .unwrap();
        latencies.push(start.elapsed());
    }
    latencies.sort_unstable();
    let p50 = latencies[latencies.len() / 2].as_secs_f64() * 1e3;
    println!("bare      single row, 1 connection: p50 {p50:7.3} ms");
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3);
    let time = Duration::from_secs(seconds);
    let server = Arc::new(PostgresServer::start_with(postgres::Options { fsync: true }));
    let database = server.empty();
    let postgres = PostgresStore::connect(database.url(), Options::default()).await.unwrap();
    postgres.migrate_up().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(&directory.path().join("godwit.db")).await.unwrap();
    sqlite.migrate_up().await.unwrap();
    bare(database.url(), time).await;
    let stores: [(&str, Arc<dyn Store>, Option<u32>); 2] =
        [("postgres", Arc::new(postgres), Some(server.pid())), ("sqlite", Arc::new(sqlite), None)];
    for (name, store, pid) in stores {
        for number in 0..CONVERSATIONS {
            group(&*store, id(number), &["alice", "bob"]).await;
        }
        for size in [1, 10, 100] {
            for writers in [1, 2, 4] {
                measure(name, Arc::clone(&store), size, writers, time, pid).await;
            }
        }
    }
}
