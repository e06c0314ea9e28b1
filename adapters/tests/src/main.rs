//! Thousands of connections that send half a header, or half a body, to each adapter, and a hundred that ask and never
//! read: all are closed by the deadline, and honest requests are answered meanwhile. It takes as long as the deadline.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test")]

use std::net::SocketAddr;
use std::time::Duration;

use grantor_adapter_tests::Host;
use grantor_adapter_tests::wire::{request, send};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const CONNECTIONS: usize = 2000;
/// More than axum serves at once: those who wait longest give way, or the honest ones would wait until the deadline.
const CONNECTIONS_TO_AXUM: usize = 4500;
/// How many of them ask and do not read. actix says one thing a connection, which always has room.
const DEAF: usize = 100;
const HONEST: usize = 100;
/// More than any deadline of the adapters.
const PATIENCE: Duration = Duration::from_secs(60);

const HALVES: [&str; 4] = [
    "POST /oauth2/token HTTP/1.1\r\nhost: x\r\nx-slow: ",
    "GET /oauth2/authorize HT",
    "POST /oauth2/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n\
     content-length: 100\r\n\r\ngrant_type=",
    // A whole one first.
    "GET /oauth2/jwks.json HTTP/1.1\r\nhost: x\r\n\r\nGET /oauth2/jwks.j",
];

/// Sends half of something; whether the server ended the connection.
async fn dawdle(address: SocketAddr, half: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return true };
    if stream.write_all(half.as_bytes()).await.is_err() {
        return true;
    }
    let mut answer = Vec::new();
    // An error is an end, too.
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.is_ok()
}

/// Asks on and on, and reads nothing, so that the answers fill what the two sides keep of them (a zero window); whether
/// the server ended the connection.
async fn be_deaf(address: SocketAddr) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let Ok(mut stream) = socket.connect(address).await else { return true };
    let begun = Instant::now();
    let request = b"GET /oauth2/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    while begun.elapsed() < PATIENCE {
        // What cannot be sent now is tried again: only an error is an end.
        if let Ok(Err(_)) = timeout(Duration::from_secs(1), stream.write(&request)).await {
            return true;
        }
    }
    false
}

/// Whether all slow connections were closed and all honest requests answered.
async fn strain(host: Host) -> bool {
    let address = host.address;
    let is_axum = host.name == "axum";
    let slow = if is_axum { CONNECTIONS_TO_AXUM } else { CONNECTIONS };
    let mut dawdlers: JoinSet<bool> = (0..slow)
        .filter_map(|n| HALVES.get(n % HALVES.len()))
        .map(|half| dawdle(address, half))
        .collect();
    let deaf = if is_axum { DEAF } else { 0 };
    for _ in 0..deaf {
        dawdlers.spawn(be_deaf(address));
    }
    let all = slow + deaf;
    let honest = tokio::task::spawn_blocking(move || {
        let metadata = request("GET", "/.well-known/openid-configuration", &[], b"");
        let answers = (0..HONEST).map(|_| send(address, &metadata));
        answers.flatten().filter(|answer| answer.status == 200).count()
    });
    let answered = honest.await.unwrap();
    let mut closed = 0;
    while let Some(ended) = dawdlers.join_next().await {
        closed += usize::from(ended.unwrap());
    }
    println!(
        "{}: {closed} of {all} slow connections were closed, {answered} of {HONEST} honest \
         requests answered",
        host.name
    );
    closed == all && answered == HONEST
}

#[tokio::main]
async fn main() {
    let [axum, actix] = Host::both();
    let (axum, actix) = tokio::join!(strain(axum), strain(actix));
    std::process::exit(i32::from(!(axum && actix)));
}
