//! The sockets of REST and of the probes: a peer without a token cannot keep others out.
//!
//! Each address has so many connections, and a share of the places in which requests are read,
//! worked on and answered ([`Places`]). A peer that is silent holds no place; one that drips its
//! request, or does not read its answer, has to go when others are in line. Every wait for a peer has
//! an end: for the header, for the body, for bytes to be taken. What was accepted last finds a place
//! first.
//!
//! [`attend`] is one connection, [`guarded`] its bytes and bodies, [`spare`] the descriptor that is
//! kept for a probe when all others are used up.

use std::io;
use std::sync::Arc;

use axum::Router;
use godwit_broker::listen::{Census, Places, Share, Tls};
use godwit_core::tasks::Supervisor;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

mod attend;
mod guarded;
mod spare;

use crate::limits::{
    HTTP_ACCEPT_PAUSE, HTTP_CONNECTIONS_PER_PLACE, HTTP_PATIENCE, HTTP_SHARES,
    PROBES_CONNECTIONS_MAX,
};
use crate::metrics::HTTP_TURNED_AWAY;
use attend::House;
use spare::Spare;

/// A bound address of HTTP.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) listener: TcpListener,
    /// HTTPS.
    pub(crate) tls: Option<Tls>,
}

/// How many may come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Connections in all.
    pub(crate) connections_max: usize,
    /// Those of one address of this machine.
    pub(crate) local: Share,
    /// Those of any other address.
    pub(crate) remote: Share,
}

impl Bounds {
    /// Those of the listener that is for probes alone.
    pub(crate) const PROBES: Self = Self::shared_by_any(PROBES_CONNECTIONS_MAX);

    /// So many, which one address may have alone.
    pub(crate) const fn shared_by_any(connections_max: usize) -> Self {
        let all = Share { connections_max, connects_per_s: 0 };
        Self { connections_max, local: all, remote: all }
    }
}

/// Serves until `stop` says so and the requests under way are answered.
pub(crate) async fn serve(
    entrances: Vec<Entrance>,
    router: Router,
    bounds: Bounds,
    supervisor: Arc<Supervisor>,
    stop: watch::Receiver<bool>,
) {
    let places = (bounds.connections_max / HTTP_CONNECTIONS_PER_PLACE).max(2);
    let house = Arc::new(House {
        router,
        census: Census::of_shares(bounds.connections_max, bounds.local, bounds.remote),
        places: Places::new(places, places.div_ceil(HTTP_SHARES), HTTP_PATIENCE),
    });
    let mut doors = JoinSet::new();
    for entrance in entrances {
        let door = accept_all(entrance, Arc::clone(&house), stop.clone());
        doors.spawn(supervisor.watch("listener of REST", door));
    }
    while doors.join_next().await.is_some() {}
}

async fn accept_all(entrance: Entrance, house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let spare = Spare::new();
    let stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = entrance.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let scarce = !spare.regain();
                match house.census.admit(peer) {
                    Ok(place) => {
                        let (house, tls) = (Arc::clone(&house), entrance.tls.clone());
                        let (stop, spare) = (stopped.clone(), spare.clone());
                        connections.spawn(async move {
                            attend::run(house, stream, peer, tls, scarce, stop).await;
                            drop(place);
                            // Before another listener takes what is free now.
                            if scarce {
                                spare.regain();
                            }
                        });
                    }
                    Err(_) => metrics::counter!(HTTP_TURNED_AWAY, "why" => "full").increment(1),
                }
            }
            Err(error) if of_one_connection(&error) => {}
            // Out of descriptors (or memory): the one that was kept is for the next connection.
            Err(_) if spare.lend() => {}
            Err(error) => {
                tracing::debug!(%error, "HTTP is not accepting");
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => break,
                    () = sleep(HTTP_ACCEPT_PAUSE) => {}
                }
                spare.regain();
            }
        }
    }
    drop(entrance);
    while connections.join_next().await.is_some() {}
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
