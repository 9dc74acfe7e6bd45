//! The sockets of REST: bounded in number, and closed when they stay silent.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_SILENCE_MAX};

/// Serves until `stop` completes and the requests under way are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    let listener = Bounded { listener, places, silence_max: HTTP_SILENCE_MAX };
    let service = router.into_make_service_with_connect_info::<Peer>();
    // It ends by `stop` alone: errors of single connections end these.
    let _ = axum::serve(listener, service).with_graceful_shutdown(stop).await;
}

/// Where a connection came from, for the handlers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A listener that takes no more connections than it has places.
pub(crate) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    silence_max: Duration,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed, so a place comes.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        // axum's own accept waits and goes on when file descriptors are used up.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let silence_max = self.silence_max;
        let silence = Box::pin(sleep(silence_max));
        (Connection { stream, silence_max, silence, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails when nothing was read for too long.
pub(crate) struct Connection {
    stream: TcpStream,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                let until = Instant::now() + self.silence_max;
                self.silence.as_mut().reset(until);
                Poll::Ready(result)
            }
            Poll::Pending => {
                ready!(self.silence.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    async fn bounded(places: usize, silence_max: Duration) -> (Bounded, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let places = Arc::new(Semaphore::new(places));
        (Bounded { listener, places, silence_max }, address)
    }

    #[tokio::test]
    async fn a_silent_connection_ends() {
        let (mut listener, address) = bounded(9, Duration::from_millis(20)).await;
        let client = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = listener.accept().await;
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn a_full_listener_waits_for_a_place() {
        let (mut listener, address) = bounded(1, HTTP_SILENCE_MAX).await;
        let _clients = (
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        );
        let (first, _) = listener.accept().await;
        {
            let mut second = std::pin::pin!(listener.accept());
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(second.as_mut().poll(&mut cx).is_pending());
        }
        drop(first);
        let _ = listener.accept().await;
    }
}
