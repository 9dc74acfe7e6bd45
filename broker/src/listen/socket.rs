//! One accepted stream of bytes, whatever carries it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::census::Place;
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
        Self { stream, _place: Some(place) }
    }

    /// A plain connection that an embedder accepted by itself. It is not counted.
    #[must_use]
    pub const fn tcp(stream: TcpStream) -> Self {
        Self { stream: Stream::Tcp(stream), _place: None }
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
