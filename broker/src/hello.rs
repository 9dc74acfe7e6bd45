//! The wait for a CONNECT, and what a peer costs until it has sent one.
//!
//! A silent peer costs its task and its socket. One that speaks has a buffer of a kilobyte, which
//! most CONNECTs fit; for a larger one (a long token) it needs a place, of which there are so many
//! and of which one address has a share. So the memory of those who are not known stays bounded
//! whatever they send, and the limit for a CONNECT can be what the largest token needs.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use godwit_core::edge::{Outcome, Version};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

use crate::codec::Codec;
use crate::limits::{
    CONNECT_BYTES_MAX, HANDSHAKE_PATIENCE, HELLO_BYTES_SMALL, HELLOS_LARGE_MAX, HELLOS_LARGE_SHARE,
};
use crate::listen::{Origin, Places, Socket};
use crate::options::Options;
use crate::packet::{Hello, Inbound};

/// A peer that has sent a CONNECT, or something that can be answered like one.
pub(crate) struct Met {
    pub(crate) codec: Codec,
    /// What came behind the CONNECT.
    pub(crate) input: BytesMut,
    pub(crate) hello: Result<Box<Hello>, (Version, Outcome)>,
}

/// Places for CONNECTs that do not fit the small buffer.
pub(crate) fn large_places() -> Arc<Places> {
    Places::new(HELLOS_LARGE_MAX, HELLOS_LARGE_SHARE, HANDSHAKE_PATIENCE)
}

/// Waits for a CONNECT. `None`: the peer went away, spoke no MQTT, or took too long.
pub(crate) async fn meet(
    options: &Options,
    large: &Arc<Places>,
    socket: &mut Socket,
    peer: SocketAddr,
) -> Option<Met> {
    let until = Instant::from_std(socket.since()) + options.connect_timeout;
    let told_to_go = socket.told_to_go();
    let met = async {
        socket.spoken().await.ok()?;
        // Boxed: those who have not spoken do not carry its size.
        Box::pin(read(options.packet_bytes_max, large, socket, peer)).await
    };
    tokio::select! {
        biased;
        met = timeout_at(until, met) => met.unwrap_or_else(|_| {
            tracing::debug!(stage = "session", "no CONNECT in time");
            None
        }),
        () = told_to_go => {
            tracing::debug!(stage = "session", "no CONNECT while others are in line");
            None
        }
    }
}

async fn read(
    packet_bytes_max: u32,
    large: &Arc<Places>,
    socket: &mut Socket,
    peer: SocketAddr,
) -> Option<Met> {
    let mut codec = Codec::new(packet_bytes_max);
    let mut input = BytesMut::with_capacity(HELLO_BYTES_SMALL);
    let mut read = fill(socket, &mut codec, &mut input).await;
    if matches!(read, Read::Full) {
        let held = large.take(Origin::of(peer.ip())).await;
        held.waits();
        input.reserve(CONNECT_BYTES_MAX.saturating_sub(input.len()));
        read = tokio::select! {
            biased;
            read = fill(socket, &mut codec, &mut input) => read,
            () = held.told_to_go() => Read::Gone,
        };
    }
    let hello = match read {
        Read::Hello(hello) => Ok(hello),
        Read::Refused(version, outcome) => Err((version, outcome)),
        Read::Full | Read::Gone => return None,
    };
    Some(Met { codec, input, hello })
}

/// The version of a CONNECT, for a peer that is refused whatever else it says.
pub(crate) async fn version_of(
    socket: &mut Socket,
    packet_bytes_max: u32,
) -> Option<(Codec, Version)> {
    let mut codec = Codec::new(packet_bytes_max);
    let mut input = BytesMut::with_capacity(CONNECT_BYTES_MAX);
    match fill(socket, &mut codec, &mut input).await {
        Read::Hello(hello) => Some((codec, hello.version)),
        Read::Refused(version, _) => Some((codec, version)),
        Read::Full | Read::Gone => None,
    }
}

enum Read {
    Hello(Box<Hello>),
    /// The buffer is full and holds no whole CONNECT yet.
    Full,
    /// The peer went away, or spoke no MQTT.
    Gone,
    /// What it sent is answered by this.
    Refused(Version, Outcome),
}

/// Reads until there is a whole CONNECT, or the buffer is full.
async fn fill(socket: &mut Socket, codec: &mut Codec, input: &mut BytesMut) -> Read {
    loop {
        match codec.decode(input) {
            Ok(Some(packet)) => match Inbound::from(packet) {
                Inbound::Connect(hello) => return Read::Hello(hello),
                _ => return Read::Gone,
            },
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(stage = "session", %error, "a CONNECT that is none");
                return match error.answer {
                    Some(version) => {
                        Read::Refused(version, Outcome::refused(error.code, error.what))
                    }
                    None => Read::Gone,
                };
            }
        }
        if input.len() == input.capacity() {
            return Read::Full;
        }
        match socket.read_buf(input).await {
            Ok(0) | Err(_) => return Read::Gone,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::listen::Origin;

    #[tokio::test]
    async fn large_hellos_are_bounded_in_all() {
        let places = large_places();
        let origin = |n: u8| Origin::of([10, 0, 0, n].into());
        let context = &mut Context::from_waker(Waker::noop());
        let mut held = Vec::new();
        for n in 0..HELLOS_LARGE_MAX {
            let from = origin(u8::try_from(n / HELLOS_LARGE_SHARE).unwrap());
            held.push(places.take(from).await);
        }
        let mut next = Box::pin(places.take(origin(100)));
        assert!(next.as_mut().poll(context).is_pending(), "none is left for anybody");
        drop(held.pop());
        assert!(next.as_mut().poll(context).is_ready());
    }
}
