//! Raw HTTP over a socket: what is sent is what is written here, and nothing is repaired.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Those that the application chose, in lower case, sorted.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A parameter of the redirect.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.header("location")?.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(have, _)| *have == name).map(|(_, value)| value.to_owned())
    }
}

/// Sends these bytes and reads until the server closes the connection. `None` when it closed without an
/// answer; it must do either within ten seconds.
pub fn send(to: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    parse(&exchange(to, bytes, false))
}

/// All that comes back for these bytes, after which the client says no more: of one answer or of many.
pub fn everything(to: SocketAddr, bytes: &[u8]) -> String {
    String::from_utf8_lossy(&exchange(to, bytes, true)).into_owned()
}

/// The answer to these bytes, whole or not, after which the client says no more.
pub fn send_and_leave(to: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    parse(&exchange(to, bytes, true))
}

fn exchange(to: SocketAddr, bytes: &[u8], is_all: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A server that refuses early may close while we write.
    let _ = stream.write_all(bytes);
    if is_all {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if let Err(error) = read {
        let is_reset = error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(is_reset, "{error} after {:?}", String::from_utf8_lossy(&answer));
    }
    answer
}

/// Set by the frameworks, each in its way: how the bytes travel, not what they say.
const OF_THE_FRAMEWORK: [&str; 4] = ["date", "connection", "content-length", "transfer-encoding"];

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let all: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let is_chunked =
        all.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = &answer[end + 4..];
    let body = if is_chunked { dechunk(body) } else { body.to_vec() };
    let chosen = all.into_iter().filter(|(name, _)| !OF_THE_FRAMEWORK.contains(&name.as_str()));
    let mut headers: Vec<_> = chosen.collect();
    headers.sort();
    Some(Answer { status, headers, body })
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    body
}

/// A whole request that asks for one answer.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        bytes.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    bytes.push_str("\r\n");
    [bytes.as_bytes(), body].concat()
}

/// A form post.
pub fn form(target: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let form = ("content-type", "application/x-www-form-urlencoded");
    request("POST", target, &[headers, &[form]].concat(), body.as_bytes())
}
