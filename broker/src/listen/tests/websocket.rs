//! MQTT over WebSocket: the upgrade and the frames.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;

/// Sends an upgrade request with these headers and returns the status.
async fn upgrade_status(address: SocketAddr, path: &str, headers: &[&str]) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let len = soon(tcp.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let echoed = answer.to_lowercase().contains("sec-websocket-protocol: mqtt\r\n");
    assert_eq!(status == "101", echoed, "{answer}");
    status
}

#[tokio::test]
async fn only_mqtt_at_its_path_from_known_origins_is_upgraded() {
    let origins = vec!["https://app.example".to_owned()];
    let options = Options { origins, ..Options::default() };
    let listener = run(Kind::Ws, options, Census::new(99, 99));
    let mqtt = "Sec-WebSocket-Protocol: mqtt";
    for (path, headers, expected) in [
        ("/mqtt", &[mqtt][..], "101"),
        ("/mqtt", &["Sec-WebSocket-Protocol: chat, mqtt"], "101"),
        ("/mqtt", &[mqtt, "Origin: https://app.example"], "101"),
        ("/", &[mqtt], "404"),
        ("/mqtt/", &[mqtt], "404"),
        ("/mqtt", &[], "400"),
        ("/mqtt", &["Sec-WebSocket-Protocol: mqttv3.1"], "400"),
        // paho-mqtt names the server itself.
        ("/mqtt", &[mqtt, "Origin: https://localhost"], "101"),
        ("/mqtt", &[mqtt, "Origin: http://localhost:3000"], "403"),
        ("/mqtt", &[mqtt, "Origin: https://evil.example"], "403"),
        ("/mqtt", &[mqtt, "Origin: https://app.example.evil.example"], "403"),
        ("/mqtt", &[mqtt, "Origin: http://app.example"], "403"),
        ("/mqtt", &[mqtt, "Origin: https://app.example", "Origin: https://evil.example"], "403"),
    ] {
        let status = upgrade_status(listener.address, path, headers).await;
        assert_eq!(status, expected, "{path} {headers:?}");
    }
    listener.end().await;
}

async fn ws_connect<S: AsyncReadExt + AsyncWriteExt + Unpin>(tcp: S) -> WebSocketStream<S> {
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    let protocol = HeaderValue::from_static("mqtt");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    soon(client_async(request, tcp)).await.unwrap().0
}

async fn websocket() -> (Running, WebSocketStream<TcpStream>, Socket) {
    let mut listener = Running::new(Kind::Ws);
    let client = ws_connect(listener.connect().await).await;
    let server = listener.next().await;
    (listener, client, server)
}

#[tokio::test]
async fn frames_are_only_a_stream_of_bytes() {
    let (listener, mut client, mut server) = websocket().await;
    let part = |bytes: &'static [u8], kind, last| {
        Message::Frame(Frame::message(bytes, OpCode::Data(kind), last))
    };
    // One message in fragments with a ping between, an empty one, and one that ends what the first
    // began.
    for message in [
        part(b"\x30\x0c", Data::Binary, false),
        Message::Ping(b"?".to_vec().into()),
        part(b"\0\x01", Data::Continue, false),
        part(b"a", Data::Continue, true),
        Message::Binary(Vec::new().into()),
        Message::Binary(b"split body\xc0\0".to_vec().into()),
    ] {
        soon(client.send(message)).await.unwrap();
    }
    let mut seen = [0; 17];
    soon(server.read_exact(&mut seen)).await.unwrap();
    assert_eq!(&seen, b"\x30\x0c\0\x01asplit body\xc0\0");
    // The answer to the ping has been written meanwhile.
    let Some(Ok(Message::Pong(pong))) = soon(client.next()).await else { panic!("no pong") };
    assert_eq!(&pong[..], b"?");

    let sent: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    let writer = tokio::spawn({
        let sent = sent.clone();
        async move {
            server.write_all(&sent).await.unwrap();
            server.shutdown().await.unwrap();
            server
        }
    });
    let mut received = Vec::new();
    while let Some(message) = soon(client.next()).await {
        match message.unwrap() {
            Message::Binary(bytes) => received.extend_from_slice(&bytes),
            Message::Close(close) => assert_eq!(close.unwrap().code, CloseCode::Normal),
            other => panic!("{other:?}"),
        }
    }
    assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
    drop(soon(writer).await.unwrap());
    listener.end().await;
}

/// Reads until the close frame and returns its code.
async fn close_code(client: &mut WebSocketStream<TcpStream>) -> CloseCode {
    loop {
        match soon(client.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn text_is_refused() {
    let (listener, mut client, mut server) = websocket().await;
    soon(client.send(Message::text("hello"))).await.unwrap();
    let error = soon(server.read(&mut [0; 16])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(soon(server.read(&mut [0; 16])).await.unwrap(), 0);
    assert_eq!(close_code(&mut client).await, CloseCode::Unsupported);
    listener.end().await;
}

#[tokio::test]
async fn a_message_may_be_large_only_after_the_server_has_spoken() {
    let large = Message::Binary(vec![7; 100 * 1024].into());
    let (listener, mut client, mut server) = websocket().await;
    soon(client.feed(large.clone())).await.unwrap();
    drop(soon(client.flush()).await);
    let mut bytes = vec![0; 100 * 1024];
    let error = soon(server.read_exact(&mut bytes)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    listener.end().await;

    let (listener, mut client, mut server) = websocket().await;
    soon(server.write_all(b"connack")).await.unwrap();
    soon(server.flush()).await.unwrap();
    let sender = tokio::spawn(async move {
        client.send(large).await.unwrap();
        client
    });
    soon(server.read_exact(&mut bytes)).await.unwrap();
    assert!(bytes.iter().all(|b| *b == 7));
    drop(soon(sender).await.unwrap());
    listener.end().await;
}

#[tokio::test]
async fn a_close_is_answered_and_ends_the_stream() {
    let (listener, mut client, mut server) = websocket().await;
    soon(client.send(Message::Binary(b"last".to_vec().into()))).await.unwrap();
    soon(client.close(None)).await.unwrap();
    let mut all = Vec::new();
    soon(server.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all, b"last");
    assert!(matches!(soon(client.next()).await, Some(Ok(Message::Close(_))) | None));
    listener.end().await;
}

#[tokio::test]
async fn frames_without_a_mask_are_refused() {
    let (listener, client, mut server) = websocket().await;
    let mut raw = client.into_inner();
    soon(raw.write_all(b"\x82\x02hi")).await.unwrap();
    let error = soon(server.read(&mut [0; 16])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    listener.end().await;
}

#[tokio::test]
async fn websocket_over_tls() {
    let files = Files::new();
    let certificate = files.renew();
    let mut listener = Running::new(Kind::Wss(files.load()));
    let tls = tls_connect(listener.connect().await, &[&certificate]).await.unwrap();
    let mut client = ws_connect(tls).await;
    let mut server = listener.next().await;
    soon(client.send(Message::Binary(b"ping".to_vec().into()))).await.unwrap();
    let mut seen = [0; 4];
    soon(server.read_exact(&mut seen)).await.unwrap();
    soon(server.write_all(&seen)).await.unwrap();
    soon(server.flush()).await.unwrap();
    let Some(Ok(Message::Binary(echo))) = soon(client.next()).await else { panic!("no echo") };
    assert_eq!(&echo[..], b"ping");
    listener.end().await;
}
