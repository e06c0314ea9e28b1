//! TLS by certificate and key files.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::*;

/// A server with a certificate for `localhost`, and a client that trusts it alone.
fn server() -> (tempfile::TempDir, Server, ClientConfig) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let certificate = file("cert.pem", made.cert.pem());
    let key = file("key.pem", made.signing_key.serialize_pem());
    let server =
        Server::with(&[("GRANTOR_TLS__CERTIFICATE", &certificate), ("GRANTOR_TLS__KEY", &key)]);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    (folder, server, client.unwrap().with_root_certificates(roots).with_no_client_auth())
}

fn get(server: &Server, client: ClientConfig, path: &str) -> String {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(client), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_whole_server_speaks_tls() {
    let (_folder, server, client) = server();
    let discovery = get(&server, client.clone(), "/.well-known/openid-configuration");
    assert!(discovery.starts_with("HTTP/1.1 200"), "{discovery}");
    assert!(discovery.contains(&format!("\"issuer\":\"https://localhost:{}\"", server.port)));
    let login = get(&server, client, "/login");
    // On this machine alone: browsers would refuse every other program on localhost.
    assert!(!login.contains("strict-transport-security"), "{login}");
}

#[test]
fn who_speaks_plain_http_or_nothing_does_not_disturb() {
    let (_folder, server, client) = server();
    let mut plain = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    let _silent = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    assert!(get(&server, client, "/health").starts_with("HTTP/1.1 200"));
}

#[test]
fn only_http_1_is_agreed_on() {
    let (_folder, server, mut client) = server();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(client), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    write!(stream, "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_ne!(stream.conn.alpn_protocol(), Some(b"h2".as_slice()));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
