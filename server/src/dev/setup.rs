//! What `godwit dev` sets below file, environment and command line: ports, a certificate, and that
//! pages of this machine are let in.

use std::net::SocketAddr;

use super::certificate;
use crate::cli::{Dev, text};
use crate::command;
use crate::config::keys::LOOPBACK_HOSTS;
use crate::config::{Config, Loaded, Sources};
use crate::failure::{Failure, Result};
use crate::files;
use crate::listeners::Bound;

/// The listeners with their usual ports, in the order of `--port-base`.
const PORTS: [(&str, &str, u16); 5] = [
    ("mqtt", "listen.mqtt", 1883),
    ("mqtts", "listen.mqtts", 8883),
    ("ws", "listen.ws", 8083),
    ("wss", "listen.wss", 8084),
    ("http", "listen.http", 8080),
];

/// Loads the configuration with dev's own layer, and makes the data directory and certificate.
pub(super) fn load(asked: &Dev) -> Result<Loaded> {
    let mut sources = asked.settings.sources();
    sources.dev = layer(asked);
    // A first look for the data directory; where the certificate is depends on it.
    let first = command::load(&with_certificate(&sources, "dev-cert.pem", "dev-key.pem"))?;
    let data_dir = &first.config.server.data_dir;
    files::data_dir(data_dir)?;
    let (cert, key) = certificate::ensure(data_dir)?;
    command::load(&with_certificate(&sources, &text(&cert), &text(&key)))
}

fn with_certificate(sources: &Sources, cert: &str, key: &str) -> Sources {
    let mut sources = sources.clone();
    sources.dev.push(("listen.tls_cert_file", cert.to_owned()));
    sources.dev.push(("listen.tls_key_file", key.to_owned()));
    sources
}

/// Addresses by port base (without one, the usual ports), and which pages are let in.
fn layer(asked: &Dev) -> Vec<(&'static str, String)> {
    let mut port = asked.port_base;
    let mut next = |usual: u16| match &mut port {
        None => usual,
        Some(0) => 0,
        Some(base) => {
            let this = *base;
            // The argument's range leaves room for all five.
            *base = base.saturating_add(1);
            this
        }
    };
    let addresses =
        PORTS.iter().map(|(_, path, usual)| (*path, format!("127.0.0.1:{}", next(*usual))));
    let pages = ["listen.ws_origins", "http.cors_origins"].map(|path| (path, own_pages()));
    addresses.chain(pages).collect()
}

/// Pages that this machine serves, whatever the port: where an app is being written.
fn own_pages() -> String {
    let of = |scheme: &str| LOOPBACK_HOSTS.map(|host| format!("{scheme}://{host}:*")).join(",");
    [of("http"), of("https")].join(",")
}

/// A usual port that is busy may be replaced; one that somebody asked for may not.
pub(super) fn may_move(asked: &Dev, loaded: &Loaded, name: &str) -> bool {
    asked.port_base.is_none() && !loaded.origin(&format!("listen.{name}")).is_chosen()
}

/// The listeners that are elsewhere than the configuration says: name, asked for, got.
pub(super) fn moved(config: &Config, bound: &Bound) -> Vec<(&'static str, SocketAddr, SocketAddr)> {
    config
        .listen
        .all()
        .into_iter()
        .filter_map(|(name, asked)| Some((name, asked?, bound.address(name)?)))
        .filter(|(_, asked, got)| asked.port() != 0 && asked != got)
        .collect()
}

/// `--open` is for this machine alone.
pub(super) fn refuse_beyond_loopback(config: &Config) -> Result<()> {
    for (name, address) in config.listen.all() {
        if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
            return Err(Failure::new(
                format!("--open lets anyone in, and listen.{name} = {address} is not loopback"),
                "Leave --open away, or listen on 127.0.0.1 or [::1] alone.",
            ));
        }
    }
    Ok(())
}
