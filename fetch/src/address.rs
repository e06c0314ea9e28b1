//! Which URLs and addresses may be called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// IPv4 networks that are not public: the IANA special-purpose registry, and multicast.
const SPECIAL_V4: [([u8; 4], u8); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Among them the metadata services of clouds.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// IPv6 networks inside 2000::/3 that are not public. Outside of it nothing is: IPv4 in IPv6 (mapped,
/// translated) would be a way around the list above.
const SPECIAL_V6: [([u16; 8], u8); 4] = [
    // Protocol assignments, Teredo among them.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    // 6to4: it carries an IPv4 address.
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|(network, length)| {
            Ipv4Net::new_assert(Ipv4Addr::from(*network), *length).contains(&address)
        }),
        IpAddr::V6(address) if translated(address).is_some() => {
            translated(address).is_some_and(|address| is_public(IpAddr::V4(address)))
        }
        IpAddr::V6(address) => {
            let is_global_unicast =
                address.segments().first().is_some_and(|s| s & 0xe000 == 0x2000);
            is_global_unicast
                && !SPECIAL_V6.iter().any(|(network, length)| {
                    Ipv6Net::new_assert(Ipv6Addr::from(*network), *length).contains(&address)
                })
        }
    }
}

/// The IPv4 address behind 64:ff9b::/96 (RFC 6052), which is what names resolve to in networks without IPv4.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bytes = address.octets();
    let prefix = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    let rest: [u8; 4] = bytes.strip_prefix(&prefix)?.try_into().ok()?;
    Some(Ipv4Addr::from(rest))
}

/// The rules. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    /// Networks that may be called though they are not public.
    pub(crate) allowed: Vec<IpNet>,
    pub(crate) names: Names,
}

/// Who says where names lead.
#[derive(Clone, Debug, Default)]
pub(crate) enum Names {
    /// The system's resolver.
    #[default]
    System,
    /// Somebody whose every next answer is another one.
    #[cfg(test)]
    Scripted(std::sync::Arc<std::sync::Mutex<Vec<IpAddr>>>),
}

impl Names {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        match self {
            Names::System => Ok(tokio::net::lookup_host((name, 0)).await?.collect()),
            #[cfg(test)]
            Names::Scripted(answers) => Ok(answers
                .lock()
                .unwrap()
                .pop()
                .map(|address| (address, 0).into())
                .into_iter()
                .collect()),
        }
    }
}

impl Gate {
    fn is_allowed(&self, address: IpAddr) -> bool {
        self.is_named(address) || is_public(address)
    }

    fn is_named(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&address))
    }

    /// What can be said of a URL before its name is resolved.
    pub(crate) fn check(&self, url: &Url) -> Result<(), &'static str> {
        let host = url.host().ok_or("it has no host")?;
        let literal = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        };
        if literal.is_some_and(|address| !self.is_allowed(address)) {
            return Err("its address is not public");
        }
        let loopback = match host {
            Host::Domain(name) => is_localhost(name),
            _ => literal.is_some_and(|address| address.is_loopback()),
        };
        match url.scheme() {
            "https" => {}
            // Whether this machine may be called is the list's to say, here or after resolution.
            "http" if loopback => {}
            _ => return Err("its scheme is not https"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it contains a user name or password");
        }
        match url.port_or_known_default() {
            Some(443 | 1024..) => Ok(()),
            _ if loopback => Ok(()),
            _ => Err("its port is neither 443 nor above 1023"),
        }
    }

    /// The addresses of a name, if all of them may be called: one that may not shows what the name's owner
    /// is after.
    async fn resolve(
        &self,
        name: &str,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let addresses: Vec<SocketAddr> = match is_localhost(name) {
            // Resolvers differ about `*.localhost`; RFC 6761 section 6.3 does not.
            // Who allows one of the two allows the name.
            true => {
                let both = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
                let allowed = both.into_iter().filter(|address| self.is_allowed(*address));
                allowed.map(|address| (address, 0).into()).collect()
            }
            false => self.names.lookup(name).await?,
        };
        Ok(self.admit(addresses)?)
    }

    /// The addresses that a name leads to, if there are any and all of them may be called.
    fn admit(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, &'static str> {
        let is_named = !addresses.is_empty();
        match is_named && addresses.iter().all(|address| self.is_allowed(address.ip())) {
            true => Ok(addresses),
            false => Err("an address of this name is not public, or it has none"),
        }
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

impl Resolve for Gate {
    fn resolve(&self, name: Name) -> Resolving {
        let gate = self.clone();
        Box::pin(async move {
            let addresses = gate.resolve(name.as_str()).await?;
            Ok::<Addrs, _>(Box::new(addresses.into_iter()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowing(networks: &[&str]) -> Gate {
        let allowed = networks.iter().map(|network| network.parse().unwrap()).collect();
        Gate { allowed, names: Names::System }
    }

    fn strict(url: &str) -> Result<(), &'static str> {
        Gate::default().check(&Url::parse(url).unwrap())
    }

    #[test]
    fn public_https_is_called_and_nothing_else() {
        for good in [
            "https://app.example.com/jwks.json",
            "https://app.example.com:8443/",
            "https://8.8.8.8/",
            "https://[2606:4700:4700::1111]/",
            "https://[64:ff9b::808:808]/",
        ] {
            assert_eq!(strict(good), Ok(()), "{good}");
        }
        for bad in [
            "http://app.example.com/",
            "ftp://app.example.com/",
            "file:///etc/passwd",
            "data:application/json,{}",
            "https://user@app.example.com/",
            "https://:secret@app.example.com/",
            "https://app.example.com:22/",
            "https://app.example.com:80/",
        ] {
            assert!(strict(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_spelling_of_an_address_that_is_not_public_gets_through() {
        for address in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "0.0.0.0",
            "0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "192.0.0.192",
            "198.18.0.1",
            "203.0.113.5",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:169.254.169.254]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:0:1::]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[100::1]",
        ] {
            for scheme in ["https", "http"] {
                let url = format!("{scheme}://{address}/");
                assert!(strict(&url).is_err(), "{url}");
            }
        }
    }

    #[test]
    fn a_name_with_one_address_that_is_not_public_is_refused_whole() {
        let addresses = |all: &[&str]| -> Vec<SocketAddr> {
            all.iter().map(|one| (one.parse::<IpAddr>().unwrap(), 443).into()).collect()
        };
        let strict = Gate::default();
        assert_eq!(strict.admit(addresses(&["8.8.8.8", "2606:4700::1"])).unwrap().len(), 2);
        for bad in [&["10.0.0.1"][..], &["8.8.8.8", "169.254.169.254"], &["8.8.8.8", "::1"], &[]] {
            assert!(strict.admit(addresses(bad)).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn names_of_this_machine_are_refused_until_it_is_allowed() {
        let open = allowing(&["127.0.0.0/8", "::1/128"]);
        for name in ["localhost", "id.localhost", "localhost."] {
            assert!(Gate::default().resolve(name).await.is_err(), "{name}");
            assert!(open.resolve(name).await.is_ok(), "{name}");
        }
        let half = allowing(&["127.0.0.0/8"]);
        assert_eq!(half.resolve("localhost").await.unwrap().len(), 1);
        let check = |url: &str| open.check(&Url::parse(url).unwrap());
        assert_eq!(check("http://id.localhost:4000/"), Ok(()));
        assert_eq!(check("http://127.0.0.1:80/"), Ok(()));
        assert!(check("http://10.0.0.1:4000/").is_err(), "another network");
        assert!(check("http://app.example.com/").is_err(), "http is for this machine alone");
    }
}
