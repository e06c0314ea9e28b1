//! HTTP over TLS by hand: what is sent is what is written here, and what comes is looked at whole.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use url::Url;

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// All values of a header that may come several times.
    pub(crate) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.headers.iter().filter(move |(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

/// Sends one request, and reads the answer.
pub(crate) fn send(
    tls: &Arc<ClientConfig>,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let url = Url::parse(url).unwrap();
    assert_eq!((url.scheme(), url.host_str()), ("https", Some("localhost")), "{url}");
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(tls.clone(), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", url.port().unwrap())).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost:{}\r\n", url.port().unwrap());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    write!(stream, "{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = Vec::new();
    // Some servers end without a word of TLS; what came is there all the same.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Answer { status, headers, text: text.to_owned() }
}

/// A host that answers with what `answer` has for a path and a body.
pub(crate) fn host(
    tls: Arc<ServerConfig>,
    answer: impl Fn(&str, String) -> Option<String> + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (tls, answer) = (tls.clone(), answer.clone());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(tls).unwrap();
                let mut stream = StreamOwned::new(connection, socket);
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split(' ').nth(1).unwrap_or("/");
                let length = head.to_ascii_lowercase();
                let length = length.split_once("content-length: ").map_or("0", |(_, rest)| rest);
                let length = length.split("\r\n").next().unwrap_or("0").parse().unwrap_or(0);
                let mut body = vec![0; length];
                let _ = stream.read_exact(&mut body);
                let body = String::from_utf8_lossy(&body).into_owned();
                let (status, body) = match answer(path, body) {
                    Some(body) => ("200 OK", body),
                    None => ("404 Not Found", String::new()),
                };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
                     content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.conn.send_close_notify();
                let _ = stream.flush();
            });
        }
    });
    port
}
