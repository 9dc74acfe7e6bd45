//! Postgres goes away in all the ways that it has, and comes back: whatever a sender was told was
//! stored is stored, in either version, and nothing is refused that a later try stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use godwit_testkit::postgres::{Database, PostgresServer};
use godwit_testkit::probe::Probe;
use godwit_testkit::proxy::Proxy;
use godwit_testkit::rows::Place;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{Connect, Properties, Received, Version};
use godwit_testkit::{until, within};

use super::world::{BOTH, World};

/// A world on a Postgres of its own, behind a proxy, with a role that is no superuser.
struct Outage {
    world: World,
    proxy: Proxy,
    /// The role that may do everything, on another database.
    admin: Place,
    name: String,
    _postgres: Arc<PostgresServer>,
}

impl Outage {
    async fn new(options: Options) -> Self {
        let postgres = Arc::new(PostgresServer::start());
        let admin = Place::Postgres(postgres.url());
        let database: Database = postgres.empty();
        let name = database.url().rsplit('/').next().expect("a name").to_owned();
        let _ = admin.ask("CREATE ROLE app LOGIN");
        let _ = admin.ask(&format!("ALTER DATABASE {name} OWNER TO app"));
        let proxy = Proxy::start(&database.url().replace("godwit@", "app@"));
        let world = World::through(&proxy, database, options).await;
        Self { world, proxy, admin, name, _postgres: postgres }
    }

    /// A statement of the superuser, in the server's database.
    fn inside(&self, statement: &str) -> Vec<String> {
        self.world.database().ask(statement).lines().map(str::to_owned).collect()
    }

    /// Ends the server's sessions, and starts none.
    fn terminate(&self) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
        let _ = self.admin.ask(end);
    }

    async fn readiness(&self) -> (u16, serde_json::Value) {
        let reply = self.world.server.ask("GET", "/readyz", "", None).await;
        (reply.status, reply.json())
    }

    async fn until_ready(&self, ready: bool) {
        let what = if ready { "/readyz says 200" } else { "/readyz says 503" };
        until(what, async || {
            (self.readiness().await.0 == if ready { 200 } else { 503 }).then_some(())
        })
        .await;
    }
}

/// What all senders share.
#[derive(Default)]
struct Sending {
    stop: AtomicBool,
    acknowledged: AtomicU64,
}

/// Sends one after the other and connects again when it is cut; the keys that were acknowledged.
async fn send_until_stopped(
    address: String,
    hello: Connect,
    cid: String,
    sending: Arc<Sending>,
) -> Vec<String> {
    let (mut acknowledged, mut count) = (Vec::new(), 0);
    while !sending.stop.load(Ordering::Relaxed) {
        let (mut probe, welcome) = Probe::try_connect(&address, &hello).await;
        assert_eq!(welcome.code, 0, "a clean session opens whatever the store does");
        loop {
            if sending.stop.load(Ordering::Relaxed) {
                break;
            }
            count += 1;
            let key = format!("{:?}-{count}", hello.version);
            let topic = format!("c/{cid}/{key}");
            probe.start_publish(&topic, key.as_bytes(), Properties::none()).await;
            let cut = loop {
                match probe.next().await {
                    Received::PubAck { code, .. } => {
                        assert_eq!(code, 0, "{key} was refused, which a later try would store");
                        acknowledged.push(key);
                        sending.acknowledged.fetch_add(1, Ordering::Relaxed);
                        break false;
                    }
                    Received::Closed => break true,
                    Received::Disconnect { .. } => {}
                    other => panic!("{other:?}"),
                }
            };
            if cut {
                break;
            }
        }
    }
    acknowledged
}

/// Loads the server from both versions, breaks and mends its store, and compares.
async fn nothing_acknowledged_is_lost(
    outage: &Outage,
    break_it: impl AsyncFn(&Outage),
    mend_it: impl AsyncFn(&Outage),
) {
    let (world, sending) = (&outage.world, Arc::new(Sending::default()));
    let mut senders = Vec::new();
    for (version, device) in [(Version::V3, "phone"), (Version::V5, "laptop")] {
        let hello = world.hello(version, "alice", device).await;
        let (address, cid) = (world.mqtt(), world.cid.clone());
        senders.push(tokio::spawn(send_until_stopped(address, hello, cid, Arc::clone(&sending))));
    }
    let more = async |count: u64| {
        let wanted = sending.acknowledged.load(Ordering::Relaxed) + count;
        let enough = || sending.acknowledged.load(Ordering::Relaxed) >= wanted;
        until("acknowledgements", async || enough().then_some(())).await;
    };
    more(20).await;
    break_it(outage).await;
    outage.until_ready(false).await;
    let (_, told) = outage.readiness().await;
    assert_eq!(told["state"], "down", "{told}");
    assert!(told["lost"].as_array().expect("a list").contains(&"store".into()), "{told}");
    // Longer than sends are held: they come again, more than once.
    let during = Instant::now();
    until("some time away", async || (during.elapsed() > Duration::from_secs(3)).then_some(()))
        .await;
    mend_it(outage).await;
    more(20).await;
    outage.until_ready(true).await;
    assert_eq!(outage.readiness().await.1["state"], "ready");
    sending.stop.store(true, Ordering::Relaxed);
    let stored: std::collections::HashMap<String, u32> = outage
        .inside("SELECT cmid FROM messages")
        .into_iter()
        .fold(Default::default(), |mut keys, key| {
            *keys.entry(key).or_default() += 1;
            keys
        });
    for sender in senders {
        let acknowledged = within("a sender's end", sender).await.expect("a sender");
        assert!(acknowledged.len() > 10, "it was under load: {}", acknowledged.len());
        let lost: Vec<_> = acknowledged.iter().filter(|key| stored.get(*key) != Some(&1)).collect();
        // The last ones may have been stored after the look.
        let lost: Vec<_> = lost
            .into_iter()
            .filter(|key| {
                let one = format!("SELECT count(*) FROM messages WHERE cmid = '{key}'");
                outage.inside(&one) != ["1"]
            })
            .collect();
        assert!(lost.is_empty(), "acknowledged and not stored once: {lost:?}");
    }
    let back = || world.server.log().contains("the store is back");
    until("a line that it is back", async || back().then_some(())).await;
}

fn held_for_a_second() -> Options {
    Options::default()
        .with("GODWIT__COMMIT__HOLD_MAX", "1s")
        .with("GODWIT__STORE__POSTGRES_TIMEOUT", "2s")
        .with("GODWIT__LIMITS__CONNECTS_PER_S_PER_ADDRESS", "0")
}

#[tokio::test]
async fn a_balancer_that_accepts_and_closes_loses_nothing() {
    let outage = Outage::new(held_for_a_second()).await;
    nothing_acknowledged_is_lost(
        &outage,
        async |outage| outage.proxy.refuse(),
        async |outage| outage.proxy.pass(),
    )
    .await;
}

#[tokio::test]
async fn a_frozen_network_loses_nothing() {
    let outage = Outage::new(held_for_a_second()).await;
    nothing_acknowledged_is_lost(
        &outage,
        async |outage| outage.proxy.freeze(),
        async |outage| outage.proxy.pass(),
    )
    .await;
}

#[tokio::test]
async fn a_database_that_allows_no_connections_loses_nothing() {
    let outage = Outage::new(held_for_a_second()).await;
    let allow = async |outage: &Outage, on: bool| {
        let _ = outage.admin.ask(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS {on}", outage.name));
        outage.terminate();
    };
    nothing_acknowledged_is_lost(
        &outage,
        async |outage| allow(outage, false).await,
        async |outage| allow(outage, true).await,
    )
    .await;
}

#[tokio::test]
async fn a_role_that_may_not_log_in_loses_nothing() {
    let outage = Outage::new(held_for_a_second()).await;
    nothing_acknowledged_is_lost(
        &outage,
        async |outage| {
            let _ = outage.admin.ask("ALTER ROLE app NOLOGIN");
            outage.terminate();
        },
        async |outage| {
            let _ = outage.admin.ask("ALTER ROLE app LOGIN");
        },
    )
    .await;
}

#[tokio::test]
async fn a_revoked_right_loses_nothing() {
    let outage = Outage::new(held_for_a_second()).await;
    nothing_acknowledged_is_lost(
        &outage,
        async |outage| {
            outage.inside("REVOKE INSERT ON messages FROM app");
        },
        async |outage| {
            outage.inside("GRANT INSERT ON messages TO app");
        },
    )
    .await;
}

#[tokio::test]
async fn a_renamed_database_loses_nothing() {
    let outage = Outage::new(held_for_a_second()).await;
    let rename = async |outage: &Outage, from: &str, to: &str| {
        let _ = outage.admin.ask(&format!("ALTER DATABASE {from} ALLOW_CONNECTIONS false"));
        outage.terminate();
        let others = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{from}'");
        until("nobody is connected", async || (outage.admin.ask(&others) == ["0"]).then_some(()))
            .await;
        let _ = outage.admin.ask(&format!("ALTER DATABASE {from} RENAME TO {to}"));
        let _ = outage.admin.ask(&format!("ALTER DATABASE {to} ALLOW_CONNECTIONS true"));
    };
    let other = format!("{}_elsewhere", outage.name);
    nothing_acknowledged_is_lost(
        &outage,
        async |outage| rename(outage, &outage.name, &other).await,
        async |outage| rename(outage, &other, &outage.name).await,
    )
    .await;
}

/// `docs/store-errors.md`, row by row: Postgres raises the code while it stores a send; what the
/// sender of each version sees.
#[tokio::test]
async fn every_error_of_the_table_is_seen_as_it_says() {
    let page = include_str!("../../../docs/store-errors.md");
    let (_, table) = page.split_once("## Postgres").expect("its table");
    let (table, _) = table.split_once("## SQLite").expect("the next");
    let options = Options::default().with("GODWIT__COMMIT__HOLD_MAX", "1s");
    let outage = Outage::new(options).await;
    outage.inside(
        "CREATE TABLE fault (code text); INSERT INTO fault VALUES ('');
         CREATE FUNCTION fail() RETURNS trigger AS $$ BEGIN
             IF NEW.body <> '' THEN
                 RAISE EXCEPTION 'on purpose' USING ERRCODE = (SELECT code FROM fault);
             END IF;
             RETURN NEW;
         END $$ LANGUAGE plpgsql SECURITY DEFINER;
         CREATE TRIGGER fail BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION fail()",
    );
    let mut rows = 0;
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (code, means) = (format!("{:0<5}", cells[1]), cells[3]);
        outage.inside(&format!("UPDATE fault SET code = '{code}'"));
        for (version, device) in [(Version::V3, "phone"), (Version::V5, "laptop")] {
            let mut probe = outage.world.probe(version, "alice", device).await;
            probe.subscribe("a").await;
            let topic = outage.world.keyed(&format!("{code}-{version:?}"));
            let packet = probe.start_publish(&topic, b"body", Properties::none()).await;
            if means == "rejected" {
                let answer = probe.answer(packet).await;
                let expected = if version == Version::V3 { 0 } else { 0x99 };
                assert_eq!(answer.code, expected, "{code} {version:?}");
                continue;
            }
            let mut cut_with = None;
            loop {
                match probe.next().await {
                    Received::Closed => break,
                    Received::Disconnect { code, .. } => cut_with = Some(code),
                    other => panic!("{code} ({means}) {version:?}: {other:?}"),
                }
            }
            let expected = (version == Version::V5).then_some(0x89);
            assert_eq!(cut_with, expected, "{code} {version:?}");
        }
        rows += 1;
    }
    assert!(rows > 20, "{rows}");
    assert_eq!(outage.inside("SELECT count(*) FROM messages"), ["0"]);
    // And what was withheld can be stored afterwards.
    outage.inside("DROP TRIGGER fail ON messages");
    for version in BOTH {
        let mut probe = outage.world.probe(version, "alice", "tablet").await;
        let topic = outage.world.keyed(&format!("XX000-{version:?}"));
        assert_eq!(probe.publish(&topic, b"body").await.code, 0);
    }
}

/// Sends that are held are counted as long as they wait, and a sender hears by `hold_max`.
#[tokio::test]
async fn held_sends_are_counted_and_let_go_in_time() {
    let options = Options::default()
        .with("GODWIT__COMMIT__HOLD_MAX", "2s")
        .with("GODWIT__STORE__POSTGRES_TIMEOUT", "30s");
    let outage = Outage::new(options).await;
    let mut probes = Vec::new();
    for (version, device) in [(Version::V3, "phone"), (Version::V5, "laptop")] {
        let mut probe = outage.world.probe(version, "alice", device).await;
        assert_eq!(probe.publish(&outage.world.keyed(device), b"before").await.code, 0);
        probes.push(probe);
    }
    outage.proxy.freeze();
    let begun = Instant::now();
    for (n, probe) in probes.iter_mut().enumerate() {
        let topic = outage.world.keyed(&format!("held-{n}"));
        probe.start_publish(&topic, b"held", Properties::none()).await;
    }
    let caller = outage.world.server.caller("");
    until("two held sends", async || {
        let metrics = caller.ask("GET", "/metrics", &[], None).await;
        metrics.text.contains("godwit_commit_queue_sends 2").then_some(())
    })
    .await;
    for mut probe in probes {
        while !matches!(probe.next().await, Received::Closed) {}
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "closed after {took:?}");
    outage.until_ready(false).await;
    outage.proxy.pass();
    outage.until_ready(true).await;
}
