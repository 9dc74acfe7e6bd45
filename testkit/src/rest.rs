//! The few HTTP requests that tests need, over a bare socket.

use std::net::IpAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::within;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub text: String,
}

impl Reply {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text))
    }

    /// The first header of this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body of a reply that must have this status.
    #[expect(clippy::must_use_candidate, reason = "often only the status is asked for")]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Insists on a refusal of this status in the form of RFC 9457; its code.
    #[expect(clippy::must_use_candidate, reason = "often only the status is asked for")]
    pub fn problem(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(body["status"], status, "{body}");
        for field in ["type", "title", "detail", "code"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {body}");
        }
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Someone who asks by REST: a server, and a token for all requests.
#[derive(Debug, Clone)]
pub struct Caller {
    base: String,
    token: String,
    /// The address to ask from; `None`: as the machine likes.
    from: Option<IpAddr>,
}

impl Caller {
    /// Asks `base` (`http://host:port`) with this token; an empty one is not shown.
    #[must_use]
    pub fn new(base: &str, token: &str) -> Self {
        Self { base: base.to_owned(), token: token.to_owned(), from: None }
    }

    /// The same, asking from another address of this machine (all of 127/8 are).
    #[must_use]
    pub fn at(&self, from: IpAddr) -> Self {
        Self { from: Some(from), ..self.clone() }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], None).await
    }

    /// GET of a server that may close the connection instead; `None`: it did.
    pub async fn try_get(&self, path: &str) -> Option<Reply> {
        let answer = self.exchange(&self.request("GET", path, &[], None)).await.ok()?;
        parse(&String::from_utf8_lossy(&answer))
    }

    /// POST.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, &[], Some(body)).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.ask("PUT", path, &[], Some(body)).await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.ask("PATCH", path, &[], Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path, &[], None).await
    }

    /// Any request, with further headers.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        let what = format!("{method} {path}");
        let request = self.request(method, path, headers, body);
        let answer = within(&what, self.exchange(&request)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        // Fonts and pictures are no text, and no test reads them.
        let answer = String::from_utf8_lossy(&answer);
        parse(&answer).unwrap_or_else(|| panic!("{what}: not HTTP: {answer:?}"))
    }

    fn host(&self) -> &str {
        self.base.strip_prefix("http://").expect("an http URL").trim_end_matches('/')
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> String {
        let (host, token) = (self.host(), &self.token);
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        if !token.is_empty() {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() {
            let len = body.len();
            head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {len}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        format!("{head}\r\n{body}")
    }

    /// All that comes back on a connection of its own.
    async fn exchange(&self, request: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = match self.from {
            None => TcpStream::connect(self.host()).await?,
            Some(from) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind((from, 0).into())?;
                let peer = self.host().parse().map_err(std::io::Error::other)?;
                socket.connect(peer).await?
            }
        };
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// Asks `base` (`http://host:port`) once, on a connection of its own. An empty token: none is shown.
pub async fn ask(base: &str, method: &str, path: &str, token: &str, body: Option<&Value>) -> Reply {
    Caller::new(base, token).ask(method, path, &[], body).await
}

fn parse(answer: &str) -> Option<Reply> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.map(header).collect::<Option<Vec<_>>>()?;
    let chunked = headers.iter().any(|(n, v)| n == "transfer-encoding" && v == "chunked");
    let text = if chunked { unchunk(body)? } else { body.to_owned() };
    Some(Reply { status, headers, text })
}

fn unchunk(mut body: &str) -> Option<String> {
    let mut text = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(text);
        }
        text.push_str(rest.get(..size)?);
        body = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let plain = parse("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert_eq!((plain.status, plain.text.as_str()), (404, "{}"));
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        let chunked = parse(chunked).unwrap();
        assert_eq!(chunked.text, "abcd");
        assert_eq!(chunked.header("transfer-encoding"), Some("chunked"));
        assert!(parse("nothing").is_none());
    }
}
