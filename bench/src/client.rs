//! One connection that sends requests as they are written, and looks at the answers.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) struct Connection {
    to: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What came back, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) says_when: bool,
    /// Where it redirects.
    pub(crate) location: Option<String>,
    body: Range<usize>,
    is_kept: bool,
}

impl Connection {
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self { to, stream: None, buffer: Vec::with_capacity(4096) }
    }

    /// Sends a request and reads its answer; the connection is made, and made again, when there is none.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.to).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = whole(&self.buffer) {
                self.stream = answer.is_kept.then_some(stream);
                return Ok(answer);
            }
        }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self, answer: &Answer) -> &str {
        let body = self.buffer.get(answer.body.clone()).unwrap_or_default();
        std::str::from_utf8(body).unwrap_or_default()
    }
}

/// An answer that is all there.
fn whole(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let header = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let length: usize = match header("content-length") {
        Some(length) => length.parse().ok()?,
        // A redirect without a body may say nothing of it.
        None if head.get(9..10) == Some("3") => 0,
        None => return None,
    };
    let body = end + 4..end + 4 + length;
    if answer.len() < body.end {
        return None;
    }
    let code = head.split(' ').nth(1)?.parse().ok()?;
    let is_kept = !header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let says_when = header("retry-after").is_some();
    Some(Answer { code, says_when, location: header("location").map(str::to_owned), body, is_kept })
}
