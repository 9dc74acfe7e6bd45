//! One server for one store, and a store that comes late.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_testkit::postgres::{self, PostgresServer};
use godwit_testkit::rows::Place;
use godwit_testkit::scratch::Scratch;
use godwit_testkit::server::{Options, executable};
use godwit_testkit::{rest, until, within};
use tokio::process::{Child, Command};

use super::world::{Backend, World};

/// `godwit serve` on this store, with a directory of its own and REST on `http`.
fn serve(directory: &Scratch, http: &str, store: &Place) -> Command {
    let mut command = Command::new(executable());
    command.args(["serve", "--data"]).arg(directory.path().join("data"));
    command.args(["--set", "listen.mqtt=127.0.0.1:0", "--set", "listen.ws="]);
    command.args(["--set", &format!("listen.http={http}")]);
    match store {
        Place::Sqlite(file) => {
            command.env("GODWIT__STORE__SQLITE_FILE", file);
        }
        Place::Postgres(url) => {
            command.env("GODWIT__STORE__KIND", "postgres").env("GODWIT__STORE__POSTGRES_URL", url);
            command.env("GODWIT__STORE__POSTGRES_ACCEPT_DATA_LOSS", "true");
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

async fn ready(http: &str) -> Option<()> {
    tokio::net::TcpStream::connect(http).await.ok()?;
    let reply = rest::ask(&format!("http://{http}"), "GET", "/readyz", "", None).await;
    (reply.status == 200).then_some(())
}

/// A second server on the same store is refused and told who holds it; after a crash of the first the
/// next one starts without a wait to speak of.
async fn one_server_for_one_store(backend: Backend) {
    let mut world = World::on(backend).await;
    let (directory, store) = (Scratch::new("second"), world.server.store());
    let out = serve(&directory, "", &store).output();
    let out = within("the second server's end", out).await.expect("the executable starts");
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{error}");
    let holder = format!("process {}", world.server.pid());
    assert!(error.contains("another godwit") && error.contains(&holder), "{error}");
    // The first goes on.
    let mut alice = world.probe(godwit_testkit::wire::Version::V5, "alice", "phone").await;
    assert_eq!(alice.publish(&world.keyed("a"), b"a").await.code, 0);
    world.server.kill9().await;
    let begun = Instant::now();
    world.server.restart().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn one_server_for_one_file() {
    one_server_for_one_store(Backend::Sqlite).await;
}

#[tokio::test]
async fn one_server_for_one_database() {
    one_server_for_one_store(Backend::Postgres).await;
}

/// The connection that holds the lease is cut: it is taken again. Somebody else took it: this server
/// ends and says so.
#[tokio::test]
async fn a_lost_lease_is_noticed() {
    let postgres = Arc::new(PostgresServer::start());
    let mut world = World::on_database(postgres.empty(), Options::default()).await;
    let database = world.database();
    let holders = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1735353463";
    let first = database.ask(holders);
    assert_ne!(first, "", "it is held");
    let _ = database.ask(&format!("SELECT pg_terminate_backend({first})"));
    let second = until("it is held again", async || {
        let holder = database.ask(holders);
        (!holder.is_empty() && holder != first).then_some(holder)
    })
    .await;
    assert!(!world.server.log().contains("has lost its store"));
    // Another process ends the holder's connection and takes its place.
    let thief = format!(
        "SELECT pg_terminate_backend({second});
         SELECT pg_advisory_lock(1735353463, 1);
         UPDATE leases SET owner = 'thief', name = 'process 1 on elsewhere';
         SELECT pg_sleep(60)"
    );
    let url = database.url().to_owned();
    // Each in a transaction of its own, so that the row is seen.
    let mut stealing = Command::new("psql");
    stealing.args(["-qtAX", &url]);
    for statement in thief.split(';') {
        stealing.args(["-c", statement]);
    }
    let _thief = stealing
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("psql starts");
    until("the server has ended and says why", async || {
        world.server.log().contains("has lost its store to process 1 on elsewhere").then_some(())
    })
    .await;
    // It ended by itself, which the verdict would not like otherwise.
    world.server.kill9().await;
}

/// A Postgres that starts later than the server is waited for; a wrong name is not.
#[tokio::test]
async fn a_postgres_that_comes_late_is_waited_for() {
    let postgres = Arc::new(PostgresServer::start());
    let database = postgres.empty();
    let (directory, store) = (Scratch::new("late"), Place::Postgres(database.url().to_owned()));
    let up = Command::new(executable())
        .args(["migrate", "up"])
        .env("GODWIT__STORE__KIND", "postgres")
        .env("GODWIT__STORE__POSTGRES_URL", database.url())
        .env("GODWIT__STORE__POSTGRES_ACCEPT_DATA_LOSS", "true")
        .output();
    let up = within("the migration", up).await.expect("the executable starts");
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    postgres.stop();
    let http = free_address();
    let log = directory.path().join("log");
    let file = std::fs::File::create(&log).expect("a log");
    let mut child: Child = serve(&directory, &http, &store).stderr(file).spawn().expect("a server");
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    until("it waits", async || said().contains("waiting for Postgres").then_some(())).await;
    assert_eq!(child.try_wait().expect("a child of ours"), None, "{}", said());
    let starting = Arc::clone(&postgres);
    tokio::task::spawn_blocking(move || starting.launch()).await.expect("Postgres starts");
    until("it is ready", async || ready(&http).await).await;
    child.kill().await.expect("a child of ours");
    let wrong = Place::Postgres(format!("{}_nobody_made_this", database.url()));
    let out = within("its end", serve(&directory, "", &wrong).output()).await.expect("an end");
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{error}");
    assert!(error.contains("store.postgres_url"), "{error}");
}

/// Commits that a crash of Postgres' machine loses are refused at the start, unless accepted.
#[tokio::test]
async fn a_postgres_that_forgets_is_refused() {
    let database = postgres::empty();
    let (directory, store) = (Scratch::new("forgets"), Place::Postgres(database.url().to_owned()));
    let mut command = serve(&directory, "", &store);
    command.env("GODWIT__STORE__POSTGRES_ACCEPT_DATA_LOSS", "false");
    let out = within("its end", command.output()).await.expect("the executable starts");
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{error}");
    assert!(error.contains("fsync = off"), "{error}");
    assert!(error.contains("store.postgres_accept_data_loss"), "{error}");
}
