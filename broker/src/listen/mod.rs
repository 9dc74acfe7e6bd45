//! Sockets accepted, limited, TLS and WebSocket unwrapped (stage 1).
//!
//! A [`Listener`] accepts on one address; TLS and WebSocket handshakes run in tasks of their own.
//! A peer that has said nothing holds its socket and no more; once it speaks it needs one of the
//! [`Places`], of which each address has a share, until its CONNECT is there. One time limit counts
//! from accept to CONNECT. What comes out is a [`Socket`]: a stream of MQTT's bytes, counted in the
//! [`Census`] until it is dropped.

mod census;
mod places;
mod socket;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod web_origin;
mod websocket;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::limits::{
    ACCEPT_LOG_EVERY, ACCEPT_PAUSE, BACKLOG, HANDSHAKE_PATIENCE, HANDSHAKE_SHARES,
};
use crate::metrics::{LISTEN_DISPLACED, LISTEN_REFUSED};
pub use census::{Census, Full, Origin, Place, Share};
use godwit_core::edge::Outcome;
pub use places::{Held, Places};
pub use socket::Socket;
use socket::{Arrival, Stream};
pub use tls::Tls;

/// What a listener speaks below MQTT.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Plain TCP.
    Tcp,
    /// TLS.
    Tls(Tls),
    /// WebSocket at `/mqtt`.
    Ws,
    /// WebSocket at `/mqtt` over TLS.
    Wss(Tls),
}

impl Kind {
    /// Its name in logs, metrics and configuration.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
            Self::Ws => "ws",
            Self::Wss(_) => "wss",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What may be set for a listener.
#[derive(Debug, Clone)]
pub struct Options {
    /// TLS and WebSocket connections that have spoken and not yet sent a whole CONNECT. Default
    /// 1024, at about 20 KiB each; one address has at most a quarter of them. Beyond it they wait
    /// in line, the newest is served first, and those that take longer than a second make room.
    pub handshakes_max: usize,
    /// From accept to the end of the TLS and WebSocket handshakes; the broker counts on from there
    /// until the CONNECT. Default 5 s.
    pub handshake_timeout: Duration,
    /// The values of a browser's `Origin` that may open a WebSocket, as [`web_origin::allows`] reads them.
    /// Clients that send none are no browsers and are let in. Default: none.
    pub origins: Vec<String>,
    /// Bytes of a WebSocket message once the client was let in (4 KiB before). Default 512 KiB;
    /// at least the largest MQTT packet, for a client may send it in one.
    pub websocket_message_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handshakes_max: 1024,
            handshake_timeout: Duration::from_secs(5),
            origins: Vec::new(),
            websocket_message_bytes_max: 512 * 1024,
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process (or listener) has it.
    #[error("{address} is in use already: end the other process, or choose another port")]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system refuses.
    #[error("cannot listen on {address}: {source}")]
    Refused {
        /// The address asked for.
        address: SocketAddr,
        /// What it said.
        source: io::Error,
    },
}

/// Takes over accepted connections. Must not block.
pub trait Accept: Send + Sync + 'static {
    /// A connection whose handshakes are done, and its peer's address.
    fn accepted(&self, socket: Socket, peer: SocketAddr);

    /// A connection beyond the bounds, and why. It is counted nowhere: whoever takes it to tell the
    /// peer bounds their number. Dropped, it is closed.
    fn refused(&self, socket: Socket, why: Outcome) {
        drop((socket, why));
    }
}

impl<F: Fn(Socket, SocketAddr) + Send + Sync + 'static> Accept for F {
    fn accepted(&self, socket: Socket, peer: SocketAddr) {
        self(socket, peer);
    }
}

/// A bound address. Clients can connect from [`Listener::bind`] on; they are accepted while
/// [`Listener::run`] is polled.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    kind: Kind,
    options: Arc<Options>,
    places: Arc<Places>,
}

impl Listener {
    /// Binds an address (port 0: a free one; see [`Listener::address`]). Call it within a tokio
    /// runtime with I/O and time.
    pub fn bind(address: SocketAddr, kind: Kind, options: Options) -> Result<Self, Error> {
        let bound = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // After a restart the port may still be in TIME_WAIT.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let tcp = socket.listen(BACKLOG)?;
            let address = tcp.local_addr()?;
            Ok((tcp, address))
        };
        let (tcp, address) = bound().map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => Error::InUse { address },
            _ => Error::Refused { address, source },
        })?;
        let share = options.handshakes_max.div_ceil(HANDSHAKE_SHARES);
        let places = Places::new(options.handshakes_max, share, HANDSHAKE_PATIENCE);
        Ok(Self { tcp, address, kind, options: Arc::new(options), places })
    }

    /// The bound address, with the port that was chosen.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is spoken here.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Accepts until `stop` completes; then the address is free and handshakes under way are cut.
    ///
    /// A connection beyond the census is refused at once, before anything costly. Failing accepts
    /// (no descriptors, no memory) are tried again every 100 ms and logged once in a while.
    pub async fn run(
        self,
        census: Arc<Census>,
        accept: Arc<dyn Accept>,
        stop: impl Future<Output = ()> + Send,
    ) {
        let mut stop = pin!(stop);
        let mut handshakes = JoinSet::new();
        let mut complaints = Complaints::default();
        info!(stage = "listen", kind = %self.kind, port = self.address.port(), "listening");
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = handshakes.join_next() => continue,
                accepted = self.tcp.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.take(stream, peer, &census, &accept, &mut handshakes, &mut complaints);
                }
                Err(e) if of_one_connection(&e) => {}
                Err(e) => {
                    complaints.note(&self.kind, &e);
                    tokio::select! {
                        () = &mut stop => break,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
        info!(stage = "listen", kind = %self.kind, port = self.address.port(), "stopped listening");
    }

    fn take(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        census: &Arc<Census>,
        accept: &Arc<dyn Accept>,
        handshakes: &mut JoinSet<()>,
        complaints: &mut Complaints,
    ) {
        let place = match census.admit(peer) {
            Ok(place) => place,
            Err(full) => {
                ::metrics::counter!(LISTEN_REFUSED, "kind" => self.kind.label()).increment(1);
                complaints.note(&self.kind, &full);
                // Telling somebody over TLS would cost what the bound is to save, and a WebSocket a
                // handshake's place: those are closed, and come back by their own patience.
                if matches!(self.kind, Kind::Tcp) {
                    accept.refused(Socket::tcp(stream), full.outcome());
                }
                return;
            }
        };
        // Small packets wait for nothing; a failure costs latency only, and comes from a peer
        // that has gone already.
        drop(stream.set_nodelay(true));
        if matches!(self.kind, Kind::Tcp) {
            accept.accepted(Socket::new(Stream::Tcp(stream), place), peer);
            return;
        }
        let (kind, options, accept) =
            (self.kind.clone(), Arc::clone(&self.options), Arc::clone(accept));
        let places = Arc::clone(&self.places);
        // As many as the census lets in; each small until its peer has spoken.
        handshakes.spawn(async move {
            let since = Instant::now();
            let limit = options.handshake_timeout;
            let shaken = arrive(stream, Origin::of(peer.ip()), &kind, &options, &places, since);
            match tokio::time::timeout(limit, shaken).await {
                Ok(Ok((stream, arrival))) => {
                    accept.accepted(Socket::arrived(stream, place, arrival), peer);
                }
                Ok(Err(e)) => debug!(stage = "listen", %kind, error = %e, "handshake failed"),
                Err(_) => debug!(stage = "listen", %kind, "handshake took too long"),
            }
        });
    }
}

/// Waits until the peer speaks, then for a place, then shakes hands.
async fn arrive(
    tcp: TcpStream,
    origin: Origin,
    kind: &Kind,
    options: &Options,
    places: &Arc<Places>,
    since: Instant,
) -> io::Result<(Stream, Arrival)> {
    // A peek: to be told that it is readable may be a mistake.
    tcp.peek(&mut [0]).await?;
    let held = places.take(origin).await;
    held.waits();
    // Boxed: those who have not spoken do not carry its size.
    let shaken = Box::pin(shake(tcp, kind, options));
    tokio::select! {
        biased;
        stream = shaken => Ok((stream?, Arrival { since, held })),
        () = held.told_to_go() => {
            metrics::counter!(LISTEN_DISPLACED, "kind" => kind.label()).increment(1);
            Err(io::Error::new(io::ErrorKind::TimedOut, "others are in line"))
        }
    }
}

async fn shake(tcp: TcpStream, kind: &Kind, options: &Options) -> io::Result<Stream> {
    let max = options.websocket_message_bytes_max;
    let refused = |e| io::Error::new(io::ErrorKind::InvalidData, e);
    Ok(match kind {
        Kind::Tcp => Stream::Tcp(tcp),
        Kind::Tls(tls) => Stream::Tls(Box::new(tls.acceptor().accept(tcp).await?)),
        Kind::Ws => {
            let accepted = websocket::accept(tcp, &options.origins, max).await;
            Stream::Ws(Box::new(accepted.map_err(refused)?))
        }
        Kind::Wss(tls) => {
            let tls = tls.acceptor().accept(tcp).await?;
            let accepted = websocket::accept(tls, &options.origins, max).await;
            Stream::Wss(Box::new(accepted.map_err(refused)?))
        }
    })
}

/// The error is of the connection that was to be accepted, not of the listener.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Logs the first of a row of failures, and then one a while with their number.
#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
    unspoken: u64,
}

impl Complaints {
    fn note(&mut self, kind: &Kind, error: &dyn fmt::Display) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < ACCEPT_LOG_EVERY) {
            self.unspoken += 1;
            return;
        }
        warn!(stage = "listen", %kind, %error, unspoken = self.unspoken, "not accepting");
        *self = Self { last: Some(now), unspoken: 0 };
    }
}
