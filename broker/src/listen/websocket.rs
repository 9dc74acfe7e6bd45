//! MQTT over WebSocket: the upgrade, and binary frames as a stream of bytes.
//!
//! The frames are tungstenite's; its state is polled here directly, without the wakers and
//! buffers that its own async wrapper adds to every connection. One MQTT packet may span frames
//! and a frame may hold several. `[MQTT-6.0.0-2]`

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Message, Role, WebSocketConfig, WebSocketContext,
};

use super::web_origin;
use crate::limits::{CONNECT_BYTES_MAX, WEBSOCKET_FRAME_BYTES, WEBSOCKET_READ_BYTES};

/// The one path that is served.
const PATH: &str = "/mqtt";
/// The subprotocol that a client must ask for. `[MQTT-6.0.0-3]`
const PROTOCOL: &str = "mqtt";

/// A WebSocket connection as a stream of MQTT's bytes.
#[derive(Debug)]
pub(super) struct WebSocket<S> {
    io: S,
    frames: WebSocketContext,
    /// What is left of the message being read.
    message: Bytes,
    /// The bound of a message once the server has spoken.
    message_bytes_max: usize,
    /// The server has written something: the client was let in.
    spoken: bool,
    /// A write is not yet wholly with `io`.
    unflushed: bool,
    /// The peer has ended the stream, or we have refused what it sent.
    ended: bool,
}

/// Answers the upgrade of a client. Error: refused (it was told by an HTTP status), or the
/// connection broke.
///
/// `origins` are the values of `Origin` that are let in, as [`web_origin::allows`] reads them; a client
/// without one is no browser and let in.
pub(super) async fn accept<S>(
    io: S,
    origins: &[String],
    message_bytes_max: usize,
) -> Result<WebSocket<S>, Box<WsError>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The library's signature: it wants the response by value in the error.
    #[allow(clippy::result_large_err)]
    let judge = |request: &Request, response: Response| upgrade(request, response, origins);
    // The library's own stream lives only for the handshake; nothing beyond it has been read, for
    // that is refused.
    let stream = accept_hdr_async_with_config(io, judge, Some(config())).await.map_err(Box::new)?;
    Ok(WebSocket {
        io: stream.into_inner(),
        frames: WebSocketContext::new(Role::Server, Some(config())),
        message: Bytes::new(),
        message_bytes_max: message_bytes_max.max(CONNECT_BYTES_MAX),
        spoken: false,
        unflushed: false,
        ended: false,
    })
}

/// Before the client was let in, a message has the bound of a CONNECT.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(WEBSOCKET_READ_BYTES)
        .write_buffer_size(0)
        // Room for the frame being written, its header, and an automatic answer.
        .max_write_buffer_size(2 * WEBSOCKET_FRAME_BYTES)
        .max_frame_size(Some(CONNECT_BYTES_MAX))
        .max_message_size(Some(CONNECT_BYTES_MAX))
}

/// Whether the origin is this very server, named by its address: stock clients that are no browser
/// (paho-mqtt) send where they connect to. A name does not count, since whoever owns a name may
/// point it here.
fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
    let (Some(origin), Some(host)) = (text(origin), host.and_then(text)) else { return false };
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    authority == host && (name == "localhost" || address.parse::<IpAddr>().is_ok())
}

#[allow(clippy::result_large_err)] // The library's signature.
fn upgrade(
    request: &Request,
    mut response: Response,
    origins: &[String],
) -> Result<Response, ErrorResponse> {
    let headers = request.headers();
    if request.uri().path() != PATH {
        return Err(refusal(StatusCode::NOT_FOUND, "MQTT is spoken at /mqtt\n"));
    }
    let listed = |given: &HeaderValue| web_origin::allows(origins, given.as_bytes());
    let mut given = headers.get_all(header::ORIGIN).iter();
    if !given.all(|origin| listed(origin) || is_own(origin, headers.get(header::HOST))) {
        return Err(refusal(StatusCode::FORBIDDEN, "this origin is not allowed\n"));
    }
    let offered = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim() == PROTOCOL);
    if !offered {
        return Err(refusal(StatusCode::BAD_REQUEST, "the WebSocket subprotocol must be mqtt\n"));
    }
    response
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    Ok(response)
}

fn refusal(status: StatusCode, text: &'static str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(text.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    response
}

/// Lends an async stream, for one poll, to the library's blocking view of it.
struct Lent<'a, 'cx, S> {
    io: &'a mut S,
    cx: &'a mut Context<'cx>,
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for Lent<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        or_would_block(Pin::new(&mut *self.io).poll_read(self.cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Lent<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.io).poll_write(self.cx, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_would_block(Pin::new(&mut *self.io).poll_flush(self.cx))
    }
}

/// What the library answers, as a poll. `Ok(None)`: the WebSocket is closed.
fn outcome<T>(result: Result<T, WsError>) -> Poll<io::Result<Option<T>>> {
    Poll::Ready(match result {
        Ok(value) => Ok(Some(value)),
        Err(WsError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
        Err(WsError::Io(e)) => Err(e),
        Err(
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake),
        ) => Ok(None),
        Err(e) => Err(io::Error::new(io::ErrorKind::InvalidData, e)),
    })
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Says why by a close frame, as far as it can be written at once, and ends the stream.
    fn refuse(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &'static str) -> io::Error {
        self.ended = true;
        let frame = CloseFrame { code, reason: reason.into() };
        let mut lent = Lent { io: &mut self.io, cx };
        // The connection ends in any case; whether the peer gets to know the reason does not
        // change that.
        drop(self.frames.close(&mut lent, Some(frame)));
        io::Error::new(io::ErrorKind::InvalidData, reason)
    }

    /// Waits for the next message with something in it; false: the stream has ended.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while !self.ended && self.message.is_empty() {
            let read = self.frames.read(&mut Lent { io: &mut self.io, cx });
            match read {
                Ok(Message::Binary(bytes)) => self.message = bytes,
                Ok(Message::Text(_)) => {
                    let what = "MQTT is spoken in binary frames"; // [MQTT-6.0.0-1]
                    return Poll::Ready(Err(self.refuse(cx, CloseCode::Unsupported, what)));
                }
                // Answers to pings and closes are written by the library in its next read.
                Ok(_) => {}
                Err(WsError::Capacity(CapacityError::MessageTooLong { .. })) => {
                    let what = "the message is too large";
                    return Poll::Ready(Err(self.refuse(cx, CloseCode::Size, what)));
                }
                Err(e) => {
                    let ended = ready!(outcome::<()>(Err(e)));
                    self.ended = true;
                    ended?;
                }
            }
        }
        Poll::Ready(Ok(!self.message.is_empty()))
    }

    fn poll_flush_frames(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.frames.flush(&mut Lent { io: &mut self.io, cx });
        ready!(outcome(flushed))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_message(cx))? {
            let len = self.message.len().min(buf.remaining());
            buf.put_slice(&self.message[..len]);
            self.message.advance(len);
            if self.message.is_empty() {
                // An empty rest would keep the message's memory.
                self.message = Bytes::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unflushed {
            ready!(self.poll_flush_frames(cx))?;
        }
        let this = &mut *self;
        if !this.spoken {
            this.spoken = true;
            let max = this.message_bytes_max;
            this.frames.set_config(|config| {
                config.max_frame_size = Some(max);
                config.max_message_size = Some(max);
            });
        }
        let part = &buf[..buf.len().min(WEBSOCKET_FRAME_BYTES)];
        let message = Message::Binary(Bytes::copy_from_slice(part));
        let written = this.frames.write(&mut Lent { io: &mut this.io, cx }, message);
        match outcome(written) {
            // Pending: the frame is in the library's buffer, and goes before the next.
            Poll::Pending => this.unflushed = true,
            Poll::Ready(Ok(Some(()))) => {}
            Poll::Ready(Ok(None)) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
        }
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_frames(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let closed = this.frames.close(&mut Lent { io: &mut this.io, cx }, Some(frame));
        ready!(outcome(closed))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
