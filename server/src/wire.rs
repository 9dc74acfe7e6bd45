//! The one place that chooses adapters and joins the roles.
//!
//! Start: store, bus, bridge, broker, worker, REST. Stop, the other way round: `/readyz` says no;
//! the broker tells its clients and lets held PUBACKs out; the bridge commits what waits and stores
//! cursors; the worker ends its step; REST answers what it has; the store closes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use godwit_bridge::{Bridge, Ports};
use godwit_broker::Broker;
use godwit_broker::listen::{Census, Share, Tls};
use godwit_bus::InProcess;
use godwit_core::bus::{Announce, Control, Cut, Listen, Stream};
use godwit_core::edge::{Gate, Upstream};
use godwit_core::ids::{DeviceId, UserId};
use godwit_core::policy::{Policy, Strangers};
use godwit_core::store::Store;
use godwit_core::tasks::{Death, Supervisor};
use godwit_storage_worker::Worker;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::serve::{Bounds, Entrance, serve};
use crate::api::{self, Accounts, Api, Rates};
use crate::audit::{Act, Audit};
use crate::auth::keyring::{AdminToken, EmbeddedKey};
use crate::auth::watch::Watch;
use crate::auth::{self, Doorkeeper};
use crate::config::{Adding, Config};
use crate::failure::{Failure, Result};
use crate::lease::Kept;
use crate::limits::OUTBOX_CLEARED_MAX;
use crate::listeners::Bound;
use crate::store::Opened;
use crate::{clock, descriptors, exposure};

/// What is needed to serve.
pub(crate) struct Parts {
    /// In force.
    pub(crate) config: Config,
    /// Bound and not yet served.
    pub(crate) bound: Bound,
    /// With a schema that fits.
    pub(crate) store: Opened,
    /// The embedded issuer's.
    pub(crate) key: EmbeddedKey,
    /// For REST.
    pub(crate) admin: AdminToken,
    /// What is done, written down.
    pub(crate) audit: Audit,
    /// For `/metrics`.
    pub(crate) metrics: PrometheusHandle,
    /// `godwit dev --open`.
    pub(crate) open: bool,
}

/// A server that serves.
pub(crate) struct Running {
    config: Config,
    key: EmbeddedKey,
    admin: AdminToken,
    audit: Audit,
    door: Arc<Doorkeeper>,
    tls: Option<Tls>,
    api: Arc<Api>,
    broker: Arc<Broker>,
    bridge: Arc<Bridge>,
    worker: Worker,
    bus: Arc<InProcess>,
    http: JoinHandle<()>,
    watching: JoinHandle<()>,
    stop: watch::Sender<bool>,
    store: Opened,
    died: watch::Receiver<Option<Death>>,
}

/// Ends at the broker what is kept there for a revoked device. The bridge cuts its conversations.
struct Cutter(Arc<Broker>);

impl Cut for Cutter {
    fn cut(&self, user: &UserId, device: Option<&DeviceId>) {
        match device {
            Some(device) => self.0.revoke(&format!("{user}:{device}")),
            // A user id has no colon.
            None => self.0.revoke_all(&format!("{user}:")),
        }
    }
}

/// Starts all roles. From its return on clients are served.
pub(crate) async fn start(parts: Parts) -> Result<Running> {
    let Parts { config, bound, store, key, admin, audit, metrics, open } = parts;
    let door = Arc::new(Doorkeeper::new(&config, &key, open)?.audited(audit.clone()));
    let open_files = descriptors::raise();
    let port = store.port();
    let bus = InProcess::new();
    let announce: Arc<dyn Announce> = Arc::clone(&bus) as _;
    let (supervisor, died) = supervise();
    let tidying = crate::process::keep_tidy(metrics.clone(), store.clone());
    tokio::spawn(supervisor.watch("upkeep of the metrics", tidying));
    let stream: Arc<dyn Stream> = Arc::clone(&bus) as _;
    // Nobody has joined the stream yet: what an earlier process left is nobody's to be told here.
    godwit_storage_worker::clear_outbox(Arc::clone(&port), Arc::clone(&stream), OUTBOX_CLEARED_MAX)
        .await;
    let ports = ports(Arc::clone(&port), &bus, &supervisor);
    let options = bridge_options(&config, store.lanes(config.commit.lanes));
    let bridge = Bridge::start(ports, options, u64::from_be_bytes(clock::random()?));
    bus.listen(Arc::clone(&bridge) as Arc<dyn Listen>);
    let broker = broker(&config, open_files, &store, &door, &bridge, &supervisor);
    let cuts: Vec<Arc<dyn Cut>> =
        vec![Arc::clone(&bridge) as _, Arc::new(Cutter(Arc::clone(&broker)))];
    let tokens_end = auth::tokens_end(&config);
    let revocations = Watch::new(Arc::clone(&port), Arc::clone(&door), cuts, tokens_end);
    let watching = watch_revocations(&revocations, &bus, &supervisor).await?;
    let worker = Worker::start(Arc::clone(&port), stream, &supervisor, worker_options(&config));
    for listener in bound.mqtt {
        broker.serve(listener);
    }
    let api = Arc::new(Api {
        store: port,
        control: Arc::clone(&bridge) as Arc<dyn Control>,
        announce,
        door: Arc::clone(&door),
        revocations,
        admin: admin.clone(),
        audit: audit.clone(),
        accounts: Accounts::new(&config, &key),
        rates: Rates::new(config.limits.requests_per_s),
        metrics,
        probe: Arc::default(),
        serving: AtomicBool::new(true),
    });
    let (stop, stopped) = watch::channel(false);
    let http_max = descriptors::http_connections(&config, open_files);
    let doors = (bound.http, bound.probes);
    let http = serve_http(&config, http_max, &api, doors, &supervisor, stopped);
    let tls = bound.tls;
    audit.act(&process("start", env!("CARGO_PKG_VERSION"), "ready"));
    Ok(Running {
        config,
        key,
        admin,
        audit,
        door,
        tls,
        api,
        broker,
        bridge,
        worker,
        bus,
        http,
        watching,
        stop,
        store,
        died,
    })
}

/// The broker, and whoever gives memory back when many have left it.
fn broker(
    config: &Config,
    open_files: usize,
    store: &Opened,
    door: &Arc<Doorkeeper>,
    bridge: &Arc<Bridge>,
    supervisor: &Arc<Supervisor>,
) -> Arc<Broker> {
    let census = census(config, open_files);
    let giving = crate::memory::after_crowds(Arc::clone(&census), store.clone());
    tokio::spawn(supervisor.watch("memory given back", giving));
    Broker::new(
        broker_options(config),
        census,
        Arc::clone(door) as Arc<dyn Gate>,
        Some(Arc::clone(bridge) as Arc<dyn Upstream>),
        Arc::clone(supervisor),
    )
}

/// Reads what was revoked, before anybody is let in, and from then on again and again.
async fn watch_revocations(
    revocations: &Arc<Watch>,
    bus: &InProcess,
    supervisor: &Arc<Supervisor>,
) -> Result<JoinHandle<()>> {
    let count = revocations.look().await.map_err(|error| {
        Failure::new(
            format!("the revoked devices cannot be read: {error}"),
            "Without them revoked devices would be let in; mend the store and start again.",
        )
    })?;
    if count > 0 {
        tracing::info!(count, "devices and users are revoked");
    }
    bus.listen(Arc::clone(revocations) as Arc<dyn Listen>);
    Ok(tokio::spawn(supervisor.watch_part("revocations", Arc::clone(revocations).run())))
}

/// What the bridge stands on: all of its bus is in this process.
fn ports(store: Arc<dyn Store>, bus: &Arc<InProcess>, supervisor: &Arc<Supervisor>) -> Ports {
    Ports {
        store,
        announce: Arc::clone(bus) as _,
        stream: Arc::clone(bus) as _,
        supervisor: Arc::clone(supervisor),
    }
}

/// Whoever watches the tasks of all roles, and what it says when one has died.
fn supervise() -> (Arc<Supervisor>, watch::Receiver<Option<Death>>) {
    let (dead, died) = watch::channel(None);
    let supervisor = Supervisor::new(move |death| {
        // The first one is why; the others follow from it.
        dead.send_if_modified(|known| known.is_none() && known.replace(death).is_none());
    });
    (supervisor, died)
}

impl Running {
    /// Reads certificates, issuers' keys and operators' tokens again; what cannot be read stays as it was.
    pub(crate) fn reload(&self) {
        if let Some(tls) = &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("the TLS certificate was read again"),
                Err(error) => {
                    tracing::error!(%error, "the TLS certificate stays as it was");
                }
            }
        }
        match self.door.reload(&self.config, &self.key) {
            Ok(()) => tracing::info!("the issuers' keys were read again"),
            Err(failure) => tracing::error!(%failure, "the issuers' keys stay as they were"),
        }
        let names = || self.admin.list().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        match self.admin.reload(&self.config) {
            Ok(()) => tracing::info!(names = ?names(), "the operators' tokens were read again"),
            Err(failure) => tracing::error!(%failure, "the operators' tokens stay as they were"),
        }
        for warning in exposure::warnings(&self.config) {
            tracing::warn!("{warning}");
        }
        let keys = self.key.names();
        self.audit.act(&process(
            "reload",
            &format!("keys {keys:?} operators {:?}", names()),
            "done",
        ));
    }

    /// Completes when a task has died that nothing works without.
    pub(crate) async fn died(&self) -> Death {
        let mut died = self.died.clone();
        let death = died.wait_for(Option::is_some).await.ok().and_then(|death| death.clone());
        match death {
            Some(death) => death,
            // All tasks have ended, so the roles are stopping.
            None => std::future::pending().await,
        }
    }

    /// Ends within `server.shutdown_timeout`.
    pub(crate) async fn stop(self, lease: Kept) {
        let deadline = Instant::now() + self.config.server.shutdown_timeout;
        let left = |share: f64| deadline.saturating_duration_since(Instant::now()).mul_f64(share);
        tracing::info!(connections = self.broker.connections(), "stopping");
        self.api.drain();
        // Each later step keeps a share of the time, whatever the steps before it took.
        self.bridge.drain();
        self.broker.shutdown(left(0.6)).await;
        self.bridge.shutdown(left(0.6)).await;
        in_time(left(0.4), "the storage worker", self.worker.shutdown()).await;
        self.stop.send_replace(true);
        let cut = self.http.abort_handle();
        in_time(left(0.4), "REST", async { drop(self.http.await) }).await;
        cut.abort();
        self.watching.abort();
        self.bus.close();
        // Nothing is committed from here on.
        lease.release().await;
        in_time(left(1.0), "the store", self.store.close()).await;
        tracing::info!("stopped");
    }
}

/// Something that the process itself did.
fn process<'a>(event: &'static str, what: &'a str, outcome: &'a str) -> Act<'a> {
    Act { event, peer: None, who: "godwit", what, outcome }
}

async fn in_time(limit: Duration, what: &str, step: impl Future<Output = ()>) {
    if tokio::time::timeout(limit, step).await.is_err() {
        tracing::warn!(what, "did not end in time");
    }
}

/// REST, and the probes on a listener of their own if there is one.
fn serve_http(
    config: &Config,
    connections_max: usize,
    api: &Arc<Api>,
    (http, probes): (Vec<Entrance>, Vec<Entrance>),
    supervisor: &Arc<Supervisor>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let share = |connections_max| Share { connections_max, connects_per_s: 0 };
    let local = share(config.limits.http_connections_per_address_max);
    let remote = local.with(share(config.limits.remote_http_connections_per_address_max));
    let bounds = Bounds { connections_max, local, remote };
    let mut router = api::router(Arc::clone(api), &config.http.cors_origins);
    if !probes.is_empty() {
        router = api::without_metrics(router);
    }
    let rest = serve(http, router, bounds, Arc::clone(supervisor), stop.clone());
    let router = api::probes(Arc::clone(api));
    let probes = serve(probes, router, Bounds::PROBES, Arc::clone(supervisor), stop);
    let both = async move {
        tokio::join!(rest, probes);
    };
    tokio::spawn(supervisor.watch_part("REST", both))
}

/// `descriptors`: how many this process may have open.
fn census(config: &Config, descriptors: usize) -> Arc<Census> {
    let limits = &config.limits;
    let local = Share {
        connections_max: limits.connections_per_address_max,
        connects_per_s: limits.connects_per_s_per_address,
    };
    let remote = Share {
        connections_max: limits.remote_connections_per_address_max,
        connects_per_s: limits.remote_connects_per_s_per_address,
    };
    Census::of_shares(descriptors::connections(config, descriptors), local, local.with(remote))
}

fn broker_options(config: &Config) -> godwit_broker::Options {
    let limits = &config.limits;
    godwit_broker::Options {
        receive_maximum: limits.receive_maximum,
        inflight_default: limits.inflight_default,
        inflight_max: limits.inflight_max,
        packet_bytes_max: limits.packet_bytes_max,
        topic_alias_max: limits.topic_alias_max,
        keep_alive_max: limits.keep_alive_max,
        session_expiry_max: limits.session_expiry_max,
        connect_timeout: limits.connect_timeout,
        queue_deliveries_max: limits.queue_deliveries_max,
        queue_bytes_max: limits.queue_bytes_max,
        offline_deliveries_max: limits.offline_deliveries_max,
        offline_bytes_max: limits.offline_bytes_max,
        offline_per_user_bytes_max: limits.offline_per_user_bytes_max,
        offline_all_bytes_max: limits.offline_all_bytes_max,
        devices_per_user_max: limits.devices_per_user_max,
        publishes_per_s: limits.publishes_per_s,
        publish_bytes_per_s: limits.publish_bytes_per_s,
        write_stall_max: limits.write_stall_max,
        retained_max: limits.retained_max,
        retained_bytes_max: limits.retained_bytes_max,
        retained_per_user_max: limits.retained_per_user_max,
        retained_per_user_bytes_max: limits.retained_per_user_bytes_max,
        subscriptions_max: limits.subscriptions_max,
    }
}

/// `lanes`: commits that the store takes at the same time.
fn bridge_options(config: &Config, lanes: usize) -> godwit_bridge::Options {
    let (limits, commit) = (&config.limits, &config.commit);
    godwit_bridge::Options {
        body_bytes_max: limits.body_bytes_max,
        commit_lanes: lanes,
        batch_sends_max: commit.batch_sends_max,
        batch_delay: commit.delay_max,
        queue_sends_max: commit.queue_sends_max,
        queue_bytes_max: commit.queue_bytes_max,
        hold_max: commit.hold_max,
        event_patience: godwit_bridge::Options::default().event_patience,
        cursor_delay: commit.cursor_delay,
        policy: Policy {
            edit_window_ms: millis(config.policy.edit_window),
            delete_window_ms: millis(config.policy.delete_window),
            strangers: Strangers {
                contacts_only: config.policy.add_to_groups == Adding::Contacts,
                by_invitation: config.policy.add_to_groups == Adding::Invitation,
                per_day: config.policy.strangers_per_day,
                group_members_max: config.policy.group_members_max,
            },
        },
        large_group_users: large_group_users(config),
        receipt_delay: config.receipts.delay,
        subscriptions_max: limits.subscriptions_max,
        user_sends_per_s: limits.user_sends_per_s,
        conversation_sends_per_s: limits.conversation_sends_per_s,
        large_group_members: limits.large_group_members,
        large_group_sends_per_s: limits.large_group_sends_per_s,
        offline_delay_min: config.presence.offline_delay_min,
        offline_delay_max: config.presence.offline_delay_max,
    }
}

fn large_group_users(config: &Config) -> BTreeSet<UserId> {
    // What is no id was refused when the configuration was read.
    config.policy.large_group_users.iter().filter_map(|user| UserId::new(user).ok()).collect()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn worker_options(config: &Config) -> godwit_storage_worker::Options {
    let retention = &config.retention;
    godwit_storage_worker::Options {
        retention_interval: retention.interval,
        bodies_kept: (!retention.bodies_age_max.is_zero()).then_some(retention.bodies_age_max),
        ..godwit_storage_worker::Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `config/default.toml` and the roles say the same.
    #[test]
    fn the_roles_have_the_same_defaults() {
        let config = Config::default();
        let broker = format!("{:?}", godwit_broker::Options::default());
        assert_eq!(format!("{:?}", broker_options(&config)), broker);
        let bridge = format!("{:?}", godwit_bridge::Options::default());
        assert_eq!(format!("{:?}", bridge_options(&config, config.commit.lanes)), bridge);
        let worker = format!("{:?}", godwit_storage_worker::Options::default());
        assert_eq!(format!("{:?}", worker_options(&config)), worker);
    }
}
