//! The least HTTP/1.1 that creating conversations needs: one kept connection, JSON both ways.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use miette::{IntoDiagnostic as _, WrapErr as _, bail, miette};
use serde_json::Value;

use crate::limits::HTTP_BYTES_MAX;

/// How long an answer may take: a group of 10,000 members is made in one request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// A kept connection to one server.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    authority: String,
    bearer: String,
}

impl Client {
    /// Connects to `http://host:port`. Errors: another scheme, nobody there.
    pub(crate) fn connect(url: &str, bearer: &str) -> miette::Result<Self> {
        let authority = url
            .strip_prefix("http://")
            .ok_or_else(|| miette!("{url} does not begin with http://"))?
            .trim_end_matches('/')
            .to_owned();
        let stream = TcpStream::connect(&authority)
            .into_diagnostic()
            .wrap_err_with(|| format!("no REST server at {url}"))?;
        stream.set_nodelay(true).into_diagnostic()?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX)).into_diagnostic()?;
        Ok(Self { stream: BufReader::new(stream), authority, bearer: bearer.to_owned() })
    }

    /// Posts `body` and returns the answer's JSON. Errors: no answer in 60 s, a status other
    /// than 2xx, no JSON.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> miette::Result<Value> {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.authority,
            self.bearer,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).into_diagnostic()?;
        let (status, answer) = self.response().wrap_err_with(|| format!("POST {path}"))?;
        if !(200..300).contains(&status) {
            bail!("POST {path} was answered {status}: {}", String::from_utf8_lossy(&answer));
        }
        serde_json::from_slice(&answer).into_diagnostic()
    }

    fn response(&mut self) -> miette::Result<(u16, Vec<u8>)> {
        let status = self.line()?;
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| miette!("no status in {status:?}"))?;
        let mut len = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                len = value.trim().parse().into_diagnostic()?;
            }
        }
        if len > HTTP_BYTES_MAX {
            bail!("an answer of {len} bytes");
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).into_diagnostic()?;
        Ok((status, body))
    }

    fn line(&mut self) -> miette::Result<String> {
        let mut line = String::new();
        let limit = u64::try_from(HTTP_BYTES_MAX).unwrap_or(u64::MAX);
        let len = self.stream.by_ref().take(limit).read_line(&mut line).into_diagnostic()?;
        if len == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Serves the given answers on one connection and returns the requests it saw.
    fn serve(answers: &'static [&'static str]) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            for answer in answers {
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                seen.push(String::from_utf8(request).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            seen
        });
        (url, seen)
    }

    #[test]
    fn two_posts_share_a_connection() {
        let (url, seen) = serve(&[
            "HTTP/1.1 201 Created\r\nContent-Length: 8\r\n\r\n{\"a\": 1}",
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
        ]);
        let mut client = Client::connect(&url, "tok").unwrap();
        let body = serde_json::json!({"kind": "direct"});
        assert_eq!(client.post("/v1/x", &body).unwrap()["a"], 1);
        let refused = client.post("/v1/x", &body).unwrap_err().to_string();
        assert!(refused.contains("403") && refused.contains("no"), "{refused}");
        let seen = seen.join().unwrap();
        assert!(seen[0].contains("authorization: Bearer tok\r\n"), "{}", seen[0]);
        assert!(seen[0].ends_with("{\"kind\":\"direct\"}"), "{}", seen[0]);
    }
}
