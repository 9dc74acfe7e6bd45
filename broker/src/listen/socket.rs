//! One accepted stream of bytes, whatever carries it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::census::Place;
use super::places::Held;
use super::websocket::WebSocket;

/// One accepted stream of MQTT's bytes.
///
/// Plain TCP is held inline and without any buffer, so that an idle connection stays small; TLS
/// and WebSocket are boxed. Reading and writing are cancel-safe: what was read was given out, what
/// was taken will be written by later writes or a flush. Write in large pieces: each becomes at
/// least one TLS record or WebSocket frame.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    /// Frees the connection's place in the census when the socket is dropped.
    _place: Option<Place>,
    /// Until its CONNECT was read, for what was costly to get so far.
    arrival: Option<Box<Arrival>>,
}

/// A connection whose handshakes are done and whose CONNECT is awaited.
#[derive(Debug)]
pub(super) struct Arrival {
    /// When it was accepted.
    pub(super) since: Instant,
    pub(super) held: Held,
}

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Ws(Box<WebSocket<TcpStream>>),
    Wss(Box<WebSocket<TlsStream<TcpStream>>>),
}

impl Socket {
    pub(super) const fn new(stream: Stream, place: Place) -> Self {
        Self { stream, _place: Some(place), arrival: None }
    }

    pub(super) fn arrived(stream: Stream, place: Place, arrival: Arrival) -> Self {
        Self { stream, _place: Some(place), arrival: Some(Box::new(arrival)) }
    }

    /// A plain connection that an embedder accepted by itself. It is not counted.
    #[must_use]
    pub const fn tcp(stream: TcpStream) -> Self {
        Self { stream: Stream::Tcp(stream), _place: None, arrival: None }
    }

    /// From when the time for its CONNECT counts: its accept, or now.
    pub(crate) fn since(&self) -> Instant {
        self.arrival.as_ref().map_or_else(Instant::now, |arrival| arrival.since)
    }

    /// Completes when the peer has taken too long for its CONNECT while others are in line.
    pub(crate) fn told_to_go(&self) -> impl Future<Output = ()> + Send + 'static {
        let go = self.arrival.as_ref().map(|arrival| arrival.held.told_to_go());
        async move {
            match go {
                Some(go) => go.await,
                None => std::future::pending().await,
            }
        }
    }

    /// The CONNECT is there: its place is for others.
    pub(crate) fn entered(&mut self) {
        self.arrival = None;
    }

    /// Waits until the peer has sent something. Cheaper than to wait in a read with a buffer; over
    /// TLS and WebSocket it returns at once.
    pub(crate) async fn spoken(&self) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(tcp) => tcp.peek(&mut [0]).await.map(drop),
            _ => Ok(()),
        }
    }
}

/// Calls the same method of whatever carries the bytes.
macro_rules! on_stream {
    ($socket:expr, $stream:ident => $call:expr) => {
        match &mut $socket.get_mut().stream {
            Stream::Tcp($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Tls($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
            Stream::Ws($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
            Stream::Wss($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self.stream, Stream::Tcp(_) | Stream::Tls(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => stream.poll_shutdown(cx))
    }
}
