//! One connection that sends a request again and again, as written, and looks at the status.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) struct Connection {
    to: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What came back, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) says_when: bool,
}

impl Connection {
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self { to, stream: None, buffer: Vec::with_capacity(4096) }
    }

    /// Sends a request and reads its answer; the connection is made, and made again, when there is none.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<Status> {
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
            if let Some((status, is_kept)) = whole(&self.buffer) {
                self.stream = is_kept.then_some(stream);
                return Ok(status);
            }
        }
    }
}

/// The status of an answer that is all there, and whether the connection may be used again.
fn whole(answer: &[u8]) -> Option<(Status, bool)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let header = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let length: usize = header("content-length")?.parse().ok()?;
    if answer.len() < end + 4 + length {
        return None;
    }
    let code = head.split(' ').nth(1)?.parse().ok()?;
    let is_kept = !header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Some((Status { code, says_when: header("retry-after").is_some() }, is_kept))
}
