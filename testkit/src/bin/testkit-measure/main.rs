//! `testkit-measure`: what a server's senders feel while something else goes on, at the size that a
//! report named. For figures (docs/benchmarks.md); the tests show the same kind at a small size.
//!
//! The server is the `godwit` beside this executable, or `GODWIT_BIN`; it and its Postgres are private and
//! vanish. Read on in [`talk`] (who sends, and how long it took), [`retention`], [`flush`].

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of the tests, run by hand"
)]

mod flush;
mod retention;
mod talk;

use std::process::ExitCode;

use godwit_testkit::postgres::{Database, Options, PostgresServer};

const USAGE: &str = "\
usage: testkit-measure retention (sqlite|postgres) [SESSIONS [CONVERSATIONS]]
       testkit-measure flush [MILLISECONDS [SENDS_PER_SECOND [SECONDS]]]

retention: a store with so many expired sessions of one user in so many conversations (400, 10000), and
           what the sends beside its upkeep take until all are gone
flush:     SQLite on a disk whose flushes take so long (200), sends (150 a second for 20 s) beside kept
           sessions that come and go, their receipts and cursors; needs strace";

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let numbers: Option<Vec<u32>> = words.iter().skip(1).map(|word| word.parse().ok()).collect();
    match (words.as_slice(), numbers) {
        (["retention", store @ ("sqlite" | "postgres"), sizes @ ..], _) => {
            let sizes: Option<Vec<u32>> = sizes.iter().map(|word| word.parse().ok()).collect();
            let Some(sizes) = sizes else { return usage() };
            // It flushes, as one that serves does.
            let database = (*store == "postgres").then(private_database);
            let at = |n: usize, default| sizes.get(n).copied().unwrap_or(default);
            retention::measure(database, at(0, 400), at(1, 10_000)).await;
        }
        (["flush", ..], Some(numbers)) => {
            let at = |n: usize, default| numbers.get(n).copied().unwrap_or(default);
            flush::measure(at(0, 200), at(1, 150), at(2, 20)).await;
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn private_database() -> Database {
    std::sync::Arc::new(PostgresServer::start_with(Options { fsync: true })).empty()
}
