//! What must hold between values, beyond what each allows by itself.

use super::{Config, StoreKind};
use crate::secret::REDACTED;

/// Bytes of a packet beside the body: topic, properties, protobuf around it.
const PACKET_ROOM: usize = 1024;

/// One sentence for each relation that does not hold.
pub(super) fn check(config: &Config) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut must = |holds: bool, sentence: &str| {
        if !holds {
            mistakes.push(sentence.to_owned());
        }
    };
    check_roles(config, &mut must);
    check_people(config, &mut must);
    mistakes.extend(same_address(config));
    mistakes.extend(same_issuer(config));
    mistakes
}

/// What broker, bridge, worker and stores are given.
fn check_roles(config: &Config, must: &mut dyn FnMut(bool, &str)) {
    let (limits, commit) = (&config.limits, &config.commit);
    must(
        limits.packet_bytes_max as usize >= limits.body_bytes_max + PACKET_ROOM,
        "limits.packet_bytes_max must be at least limits.body_bytes_max and 1024 more, or no body \
         of that size could arrive",
    );
    must(
        limits.queue_bytes_max >= limits.body_bytes_max,
        "limits.queue_bytes_max must be at least limits.body_bytes_max, or such a body could \
         never be delivered",
    );
    must(
        limits.offline_bytes_max <= limits.offline_per_user_bytes_max
            && limits.offline_per_user_bytes_max <= limits.offline_all_bytes_max,
        "limits.offline_bytes_max (a client), limits.offline_per_user_bytes_max and \
         limits.offline_all_bytes_max must each be at least the one before it",
    );
    must(
        limits.inflight_default <= limits.inflight_max,
        "limits.inflight_default must not be above limits.inflight_max",
    );
    must(
        limits.keep_alive_max.is_zero() || limits.keep_alive_max > limits.connect_timeout,
        "limits.keep_alive_max must be longer than limits.connect_timeout (or \"0s\")",
    );
    must(
        commit.batch_sends_max <= commit.queue_sends_max,
        "commit.queue_sends_max must be at least commit.batch_sends_max, or no batch could fill",
    );
    must(
        commit.queue_bytes_max >= limits.body_bytes_max,
        "commit.queue_bytes_max must be at least limits.body_bytes_max",
    );
    must(
        commit.delay_max * 10 <= commit.hold_max,
        "commit.hold_max must be at least ten times commit.delay_max",
    );
    must(
        config.auth.leeway < config.auth.token_age_max,
        "auth.leeway must be shorter than auth.token_age_max",
    );
    must(
        config.retention.bodies_age_max.is_zero()
            || config.retention.bodies_age_max >= config.retention.interval,
        "retention.bodies_age_max must be at least retention.interval (or \"0s\")",
    );
    must(
        config.commit.lanes < config.store.postgres_connections_max as usize,
        "commit.lanes must be fewer than store.postgres_connections_max, so that some can read",
    );
    must(
        config.store.kind != StoreKind::Postgres || !config.store.postgres_url.is_empty(),
        "store.postgres_url is needed with store.kind = \"postgres\"",
    );
    must(
        // What `config print` writes in place of the secret reads back.
        ["", REDACTED].contains(&config.store.postgres_url.expose())
            || ["postgres://", "postgresql://"]
                .iter()
                .any(|scheme| config.store.postgres_url.expose().starts_with(scheme)),
        "store.postgres_url must begin with postgres:// (or postgresql://)",
    );
    let files = [&config.listen.tls_cert_file, &config.listen.tls_key_file];
    let named = files.iter().filter(|file| !file.as_os_str().is_empty()).count();
    let listen = &config.listen;
    let wanted = listen.mqtts.is_some() || listen.wss.is_some() || listen.https.is_some();
    must(
        named == 2 || (named == 0 && !wanted),
        "listen.tls_cert_file and listen.tls_key_file are needed, both, with listen.mqtts, \
         listen.wss and listen.https",
    );
}

/// What users are given and held to.
fn check_people(config: &Config, must: &mut dyn FnMut(bool, &str)) {
    let limits = &config.limits;
    must(
        config.accounts.token_ttl <= config.auth.token_age_max,
        "accounts.token_ttl must not be longer than auth.token_age_max, or no token of a login \
         would be believed",
    );
    must(
        !config.accounts.signup || config.accounts.enabled,
        "accounts.signup needs accounts.enabled = true",
    );
    must(
        !config.accounts.signup || config.auth.issuers.is_empty(),
        "accounts.signup lets anyone take a user id that is free here, so it cannot go together \
         with auth.issuers, whose users are not known before they come",
    );
    must(
        limits.large_group_sends_per_s <= limits.conversation_sends_per_s
            || limits.conversation_sends_per_s == 0,
        "limits.large_group_sends_per_s must not be above limits.conversation_sends_per_s",
    );
    must(
        config.presence.offline_delay_min <= config.presence.offline_delay_max,
        "presence.offline_delay_min must not be above presence.offline_delay_max",
    );
}

fn same_address(config: &Config) -> Vec<String> {
    let all = config.listen.all();
    let mut mistakes = Vec::new();
    for (i, (name, address)) in all.iter().enumerate() {
        let Some(address) = address.filter(|address| address.port() != 0) else { continue };
        for (other, at) in &all[i + 1..] {
            if *at == Some(address) {
                mistakes.push(format!("listen.{name} and listen.{other} are the same: {address}"));
            }
        }
    }
    mistakes
}

fn same_issuer(config: &Config) -> Vec<String> {
    let names: Vec<_> = config.auth.issuers.iter().map(|issuer| issuer.name.as_str()).collect();
    let mut mistakes = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if *name == crate::auth::EMBEDDED_ISSUER {
            mistakes.push(format!("auth.issuers: {name:?} is the embedded issuer's own name"));
        }
        if names[i + 1..].contains(name) {
            mistakes.push(format!("auth.issuers: {name:?} stands there twice"));
        }
    }
    mistakes
}
