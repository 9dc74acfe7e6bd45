//! The sockets, bound before anything else is started, so that a busy port is told at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use godwit_broker::listen::{self, Kind, Listener, Tls};
use tokio::net::TcpListener;

use crate::api::serve::Entrance;
use crate::config::Config;
use crate::failure::{Failure, Result};

/// All listeners, bound and not yet served.
#[derive(Debug)]
pub(crate) struct Bound {
    /// MQTT's, in the order of the configuration.
    pub(crate) mqtt: Vec<Listener>,
    /// REST's, plain and over TLS.
    pub(crate) http: Vec<Entrance>,
    /// For probes alone.
    pub(crate) probes: Vec<Entrance>,
    /// Shared by mqtts, wss and https; reloaded on SIGHUP.
    pub(crate) tls: Option<Tls>,
    /// Where each one is, by its name in the configuration.
    pub(crate) addresses: Vec<(&'static str, SocketAddr)>,
}

impl Bound {
    /// Where the listener of that name is; `None`: it is off.
    pub(crate) fn address(&self, name: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(n, _)| *n == name).map(|(_, address)| *address)
    }

    /// Binds what the configuration names. `may_move` says of a listener's name whether a free
    /// port is as good when its own is busy.
    pub(crate) async fn bind(config: &Config, may_move: impl Fn(&str) -> bool) -> Result<Self> {
        let (mqtt, http, probes) = (Vec::new(), Vec::new(), Vec::new());
        let mut bound = Self { mqtt, http, probes, tls: tls(config)?, addresses: vec![] };
        for (name, address) in config.listen.all() {
            let Some(address) = address else { continue };
            let at = match bound.add(config, name, address).await {
                Err(Busy::Port) if may_move(name) => {
                    let free = SocketAddr::new(address.ip(), 0);
                    bound.add(config, name, free).await
                }
                other => other,
            };
            let at = at.map_err(|busy| busy.failure(name, address))?;
            bound.addresses.push((name, at));
        }
        Ok(bound)
    }

    async fn add(
        &mut self,
        config: &Config,
        name: &'static str,
        address: SocketAddr,
    ) -> std::result::Result<SocketAddr, Busy> {
        if matches!(name, "http" | "https" | "probes") {
            let listener = TcpListener::bind(address).await.map_err(Busy::of)?;
            let at = listener.local_addr().map_err(Busy::Refused)?;
            let tls = if name == "https" { self.tls.clone() } else { None };
            let entrances = if name == "probes" { &mut self.probes } else { &mut self.http };
            entrances.push(Entrance { listener, tls });
            return Ok(at);
        }
        let kind = match (name, &self.tls) {
            ("mqtts", Some(tls)) => Kind::Tls(tls.clone()),
            ("wss", Some(tls)) => Kind::Wss(tls.clone()),
            ("ws", _) => Kind::Ws,
            _ => Kind::Tcp,
        };
        let listener =
            Listener::bind(address, kind, options(config)).map_err(|error| match error {
                listen::Error::InUse { .. } => Busy::Port,
                listen::Error::Refused { source, .. } => Busy::Refused(source),
            })?;
        let at = listener.address();
        self.mqtt.push(listener);
        Ok(at)
    }
}

/// Why an address cannot be had.
#[derive(Debug)]
enum Busy {
    Port,
    Refused(io::Error),
}

impl Busy {
    fn of(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrInUse { Self::Port } else { Self::Refused(error) }
    }

    fn failure(self, name: &str, address: SocketAddr) -> Failure {
        match self {
            Self::Port => Failure::new(
                format!("listen.{name}: {address} is in use by another process"),
                format!(
                    "Stop the other one, or choose another port: --set listen.{name}=IP:PORT, or \
                     --port-base 0 with `godwit dev`."
                ),
            ),
            Self::Refused(error) => Failure::new(
                format!("listen.{name}: {address} cannot be listened on: {error}"),
                "Name an address of this machine; ports below 1024 need the right to bind them \
                 (CAP_NET_BIND_SERVICE).",
            ),
        }
    }
}

fn options(config: &Config) -> listen::Options {
    listen::Options {
        handshakes_max: config.limits.handshakes_max,
        handshake_timeout: config.limits.connect_timeout,
        origins: config.listen.ws_origins.clone(),
        // A client may send a whole MQTT packet in one message, with others beside it.
        websocket_message_bytes_max: (config.limits.packet_bytes_max as usize).max(512 * 1024),
    }
}

/// The certificate, when a listener needs it or files are named. Also `config check`'s look at it.
pub(crate) fn tls(config: &Config) -> Result<Option<Tls>> {
    let (cert, key) = (&config.listen.tls_cert_file, &config.listen.tls_key_file);
    if cert.as_os_str().is_empty() {
        return Ok(None);
    }
    Tls::load(cert, key).map(Some).map_err(|error| {
        Failure::new(
            error.to_string(),
            "Check listen.tls_cert_file (the chain as PEM, leaf first) and listen.tls_key_file.",
        )
    })
}

/// An address that a client on this machine can dial.
pub(crate) fn dialable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
