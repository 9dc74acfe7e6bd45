//! `testkit-postgres COMMAND...` runs a command with a private Postgres for all its tests: it sets
//! `GODWIT_TEST_POSTGRES_URL`, and stops the server when the command has ended.

#![allow(clippy::expect_used, clippy::print_stderr, reason = "a tool of the tests")]

use std::process::ExitCode;

use godwit_testkit::postgres::{PostgresServer, SERVER_VARIABLE};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: testkit-postgres COMMAND [ARGUMENT...]");
        return ExitCode::from(2);
    };
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    let mut interrupt = signal(SignalKind::interrupt()).expect("a signal handler");
    let server = PostgresServer::start();
    let mut command = Command::new(program);
    command.args(words).env(SERVER_VARIABLE, server.url()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("testkit-postgres: the command does not start: {error}");
            return ExitCode::from(127);
        }
    };
    let code = tokio::select! {
        status = child.wait() => status.ok().and_then(|status| status.code()).unwrap_or(1),
        _ = terminate.recv() => 143,
        _ = interrupt.recv() => 130,
    };
    drop(server);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
