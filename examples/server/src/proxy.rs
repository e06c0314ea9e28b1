//! Who connects when a proxy stands in front: the address that the proxy names, when it is one that
//! the operator trusts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

/// The addresses of the operator's proxies.
#[derive(Clone, Debug)]
pub(crate) struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    pub(crate) fn new(networks: &[String]) -> Self {
        Self(networks.iter().filter_map(|text| network(text)).collect())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The last address that no trusted proxy has. What stands further left was written by somebody
    /// whom nobody vouches for.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        // Bytes, for a stranger may have written some that are no text before a proxy added its own.
        let lines: Vec<&[u8]> =
            headers.get_all("x-forwarded-for").iter().map(|line| line.as_bytes()).collect();
        let mut named = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        while self.trusts(client) {
            let address =
                |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse::<IpAddr>().ok();
            let Some(next) = named.next().and_then(address) else {
                break;
            };
            client = next.to_canonical();
        }
        client
    }
}

/// An address or a network such as `10.0.0.0/8`.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Replaces the address of the connection, so that nobody behind this needs to know of proxies.
pub(crate) async fn unmask(
    State(proxies): State<TrustedProxies>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied()
    {
        let address = proxies.client(peer.ip().to_canonical(), request.headers());
        let port = if address == peer.ip() { peer.port() } else { 0 };
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address, port)));
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let proxies = TrustedProxies::new(&["127.0.0.1".into(), "10.0.0.0/8".into(), "::1".into()]);
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_client() {
        assert_eq!(client("127.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(client("10.1.1.1", &["192.0.2.7, 10.0.0.9"]), "192.0.2.7");
        assert_eq!(client("10.1.1.1", &["192.0.2.7", "10.0.0.9"]), "192.0.2.7");
        assert_eq!(client("::1", &["2001:db8::1"]), "2001:db8::1");
    }

    #[test]
    fn nobody_makes_up_an_address() {
        // A stranger connects directly: what they write is not read.
        assert_eq!(client("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        // A stranger writes addresses before the proxy adds theirs.
        assert_eq!(client("127.0.0.1", &["198.51.100.1, 10.0.0.9, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(client("127.0.0.1", &["198.51.100.1, nonsense"]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
        let proxies = TrustedProxies::new(&["127.0.0.1".into()]);
        let mut headers = HeaderMap::new();
        let odd = axum::http::HeaderValue::from_bytes(b"\xff, 192.0.2.7").unwrap();
        headers.append("x-forwarded-for", odd);
        let address = proxies.client([127, 0, 0, 1].into(), &headers);
        assert_eq!(address.to_string(), "192.0.2.7");
    }
}
