//! One HTTP connection: silent until it speaks, then in a place, request by request.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, header};
use axum::response::{IntoResponse as _, Response};
use godwit_broker::listen::{Census, Held, Origin, Places, Tls};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::peer::Peer;
use super::super::problem::Problem;
use super::guarded::{Guarded, Watched};
use crate::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_BUFFER_BYTES, HTTP_HEADER_TIME_MAX, HTTP_SCARCE_TIME_MAX,
    HTTP_STRANGERS_BODY_BYTES_MAX,
};
use crate::metrics::HTTP_TURNED_AWAY;

/// What all connections share.
pub(super) struct House {
    pub(super) router: Router,
    pub(super) census: Arc<Census>,
    pub(super) places: Arc<Places>,
}

/// Runs a connection to its end. `scarce`: its descriptor is the last one, so it gets one request and
/// little time.
pub(super) async fn run(
    house: Arc<House>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    scarce: bool,
    mut stop: watch::Receiver<bool>,
) {
    let limit = if scarce { HTTP_SCARCE_TIME_MAX } else { HTTP_HEADER_TIME_MAX };
    let arrived = timeout(limit, async {
        stream.peek(&mut [0]).await.ok()?;
        Some(house.places.take(Origin::of(peer.ip())).await)
    });
    let held = tokio::select! {
        biased;
        // Nothing of it is under way yet.
        _ = stop.wait_for(|stop| *stop) => return,
        arrived = arrived => arrived,
    };
    let Ok(Some(held)) = held else { return };
    held.waits();
    let go = held.told_to_go();
    // Answers are small and whole; a failure costs latency only.
    drop(stream.set_nodelay(true));
    let guest = Guest {
        router: TowerToHyperService::new(house.router.clone()),
        held: Arc::new(held),
        peer: Peer(peer),
    };
    // Boxed: those who have not spoken do not carry its size.
    let served = Box::pin(async move {
        match tls {
            None => speak(stream, guest, !scarce, stop).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(limit, tls.accept(stream)).await {
                    speak(stream, guest, !scarce, stop).await;
                }
            }
        }
    });
    tokio::select! {
        () = served => {}
        () = go => metrics::counter!(HTTP_TURNED_AWAY, "why" => "slow").increment(1),
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    guest: Guest,
    keep_alive: bool,
    mut stop: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Counts between requests too: it is how long a connection may be idle.
        .header_read_timeout(HTTP_HEADER_TIME_MAX)
        .keep_alive(keep_alive)
        .max_buf_size(HTTP_BUFFER_BYTES)
        .serve_connection(TokioIo::new(Guarded::new(stream)), guest);
    let mut connection = pin!(connection);
    // An error is of the connection, and ends it alone.
    tokio::select! {
        biased;
        ended = connection.as_mut() => return drop(ended),
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

/// The routes, for one connection.
struct Guest {
    router: TowerToHyperService<Router>,
    held: Arc<Held>,
    peer: Peer,
}

impl Service<Request<Incoming>> for Guest {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (router, held, peer) = (self.router.clone(), Arc::clone(&self.held), self.peer);
        Box::pin(async move {
            // Requests that wait behind each other take turns with all other connections.
            tokio::task::yield_now().await;
            // Polled only when there is room for an answer: until then the peer is waited for.
            held.works();
            let response = answer(&router, request, &held, peer).await;
            held.waits();
            response
        })
    }
}

async fn answer(
    router: &TowerToHyperService<Router>,
    request: Request<Incoming>,
    held: &Arc<Held>,
    peer: Peer,
) -> Result<Response, Infallible> {
    // Who shows nothing is not allowed much: the few that are read before anybody is known.
    let max = if request.headers().contains_key(header::AUTHORIZATION) {
        HTTP_BODY_BYTES_MAX
    } else {
        HTTP_STRANGERS_BODY_BYTES_MAX
    };
    let declared = request.body().size_hint().exact();
    if declared.is_some_and(|bytes| usize::try_from(bytes).is_ok_and(|bytes| bytes > max)) {
        return Ok(Problem::too_large().into_response());
    }
    let mut request = request.map(|body| Body::new(Watched::new(body, Arc::clone(held), max)));
    request.extensions_mut().insert(ConnectInfo(peer));
    router.call(request).await
}
