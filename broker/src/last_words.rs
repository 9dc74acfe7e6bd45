//! What a client has said and the server has not heard when the connection ends.
//!
//! A connection that waits for a store reads nothing meanwhile, and one whose write fails does not read
//! on. Yet what the client has sent by then is there: its confirmations, and that it has said goodbye.
//! Without them a kept session gets again what it has confirmed, and a will is sent of a client that
//! has said that it goes.

use std::pin::Pin;
use std::task::{Context, Poll};

use godwit_core::edge::Code;

use crate::connection::{Connection, End};
use crate::limits::{LAST_WORDS_BYTES_MAX, READ_BYTES};
use crate::packet::Inbound;

impl Connection {
    /// Reads what has come, without waiting for more. PUBACKs count, and a DISCONNECT is how the
    /// connection has ended; everything else was not answered, so the client asks again.
    pub(crate) fn last_words(&mut self, cx: &mut Context<'_>, end: End) -> End {
        // Else the client has broken the protocol, or has no right to anything any more.
        let innocent = matches!(
            end.code,
            None | Some(Code::TAKEN_OVER | Code::KEEP_ALIVE_TIMEOUT | Code::SERVER_SHUTTING_DOWN)
        );
        if end.goodbye || !innocent {
            return end;
        }
        let mut buffer = std::mem::take(&mut self.input);
        let mut left = LAST_WORDS_BYTES_MAX;
        loop {
            while let Ok(Some(packet)) = self.codec.decode(&mut buffer) {
                let packet: Inbound = packet.into();
                if matches!(packet, Inbound::PubAck(_) | Inbound::Disconnect { .. })
                    && let Err(said) = self.handle(packet)
                {
                    return if said.code.is_none() { said } else { end };
                }
            }
            if left == 0 {
                return end;
            }
            buffer.reserve(READ_BYTES);
            let socket = Pin::new(&mut self.socket);
            match tokio_util::io::poll_read_buf(socket, cx, &mut buffer) {
                Poll::Ready(Ok(count)) if count > 0 => left = left.saturating_sub(count),
                _ => return end,
            }
        }
    }
}
