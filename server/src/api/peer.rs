//! The other end of a connection.

use std::net::SocketAddr;

/// Where a connection came from, for the handlers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);
