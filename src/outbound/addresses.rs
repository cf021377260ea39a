//! Which addresses strangers may send us to (OWASP SSRF prevention, the special-purpose registries of RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use super::OutboundError;

/// How far requests to addresses of others may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The public Internet by https, nothing else.
    Public,
    /// Also this machine's loopback interface, there by plain http too: for development only.
    LoopbackToo,
}

impl Reach {
    /// Tells whether a connection to `address` may be made.
    pub(super) fn admits(self, address: IpAddr) -> bool {
        match address {
            address if address.is_loopback() => self == Self::LoopbackToo,
            IpAddr::V4(address) => is_public_v4(address),
            IpAddr::V6(address) => is_public_v6(address),
        }
    }
}

/// Bytes of the longest URL that is followed.
const MAX_URL: usize = 2_048;

/// Reads a URL that requests may go to; what its name resolves to is checked anew at every connection.
///
/// # Errors
/// `Unusable`: malformed, not https, with user information, a reserved port, or a host out of reach.
pub fn check_url(url: &str, reach: Reach) -> Result<Url, OutboundError> {
    parse(url, reach).ok_or(OutboundError::Unusable)
}

fn parse(text: &str, reach: Reach) -> Option<Url> {
    // The parser forgives tabs, line breaks and backslashes; another reader would see another host.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if text.len() > MAX_URL || !text.bytes().all(is_plain) || !text.contains("://") {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let is_local = match literal(host) {
        Some(address) if reach.admits(address) => address.is_loopback(),
        Some(_out_of_reach) => return None,
        None => is_loopback_name(host),
    };
    let is_allowed = match (url.scheme(), is_local, reach) {
        (_, true, Reach::Public) => false,
        ("https", _, _) | ("http", true, Reach::LoopbackToo) => true,
        _ => false,
    };
    let port = url.port_or_known_default()?;
    let is_known_port = port >= 1_024 || port == 443 || port == 80 && url.scheme() == "http";
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    (is_allowed && is_known_port && is_anonymous).then_some(url)
}

/// The address that a host spells, as the connector reads it: no resolver is asked for those.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

/// Tells whether the name always means this machine (RFC 6761 section 6.3).
pub(super) fn is_loopback_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// IPv4 networks that are no part of the public Internet, by first address and prefix length.
const CLOSED_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carrier-grade NAT
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // Azure's platform, which looks public
    ([169, 254, 0, 0], 16),   // link-local, cloud metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // IETF protocols
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 3),      // multicast, reserved, broadcast
];

/// IPv6 networks within 2000::/3 that are no part of the public Internet.
const CLOSED_V6: &[([u16; 3], u32)] = &[
    ([0x2001, 0, 0], 23),     // IETF protocols: Teredo, ORCHID, benchmarks
    ([0x2001, 0xdb8, 0], 32), // documentation
    ([0x2002, 0, 0], 16),     // 6to4, which embeds an IPv4 address
    ([0x3fff, 0, 0], 20),     // documentation
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    !CLOSED_V4.iter().any(|(first, length)| {
        let differing = u32::from(address) ^ u32::from_be_bytes(*first);
        differing.leading_zeros() >= *length
    })
}

/// Only global unicast (2000::/3) is public: mapped, compatible, translated, unique-local, link-local, site-local and
/// multicast addresses all lie outside of it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |[one, two, three]: [u16; 3], length: u32| {
        let first = Ipv6Addr::new(one, two, three, 0, 0, 0, 0, 0);
        (u128::from(address) ^ u128::from(first)).leading_zeros() >= length
    };
    within([0x2000, 0, 0], 3)
        && !CLOSED_V6
            .iter()
            .any(|(first, length)| within(*first, *length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
        168.63.129.17 169.253.255.255 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 \
        198.17.255.255 198.20.0.0 223.255.255.255 2001:200::1 2001:4860:4860::8888 2003::1 \
        2606:4700::1111 2a00:1450::1 3ffe:ffff::1";

    const CLOSED: &str = "0.0.0.0 0.255.255.255 10.0.0.1 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255 \
        168.63.129.16 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 \
        192.168.1.1 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 \
        240.0.0.1 255.255.255.255 :: ::7f00:1 ::8.8.8.8 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 \
        64:ff9b::808:808 64:ff9b:1::1 100::1 2001::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 \
        2002:7f00:1:: 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 febf::1 fec0::1 ff02::1";

    #[test]
    fn inp_08_only_addresses_of_the_public_internet_are_admitted() {
        for public in OPEN.split_whitespace() {
            assert!(Reach::Public.admits(public.parse().unwrap()), "{public}");
        }
        for closed in CLOSED.split_whitespace() {
            for reach in [Reach::Public, Reach::LoopbackToo] {
                assert!(!reach.admits(closed.parse().unwrap()), "{closed}");
            }
        }
        for loopback in ["127.0.0.1", "127.255.255.255", "::1"] {
            assert!(!Reach::Public.admits(loopback.parse().unwrap()));
            assert!(Reach::LoopbackToo.admits(loopback.parse().unwrap()));
        }
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        assert!(!Reach::LoopbackToo.admits(mapped));
    }

    #[test]
    fn inp_08_every_spelling_of_a_closed_address_is_refused() {
        for url in [
            "https://127.1/",
            "https://127.0.0.1./",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://2130706433/",
            "https://%31%32%37.0.0.1/",
            "https://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/",
            "https://0/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://10.0.0.1:8443/",
        ] {
            assert_eq!(
                check_url(url, Reach::Public),
                Err(OutboundError::Unusable),
                "{url}"
            );
        }
    }

    #[test]
    fn inp_08_odd_urls_are_refused() {
        for url in [
            "",
            "example.com",
            "//example.com",
            "https:",
            "https://",
            "https:example.com",
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "data:,x",
            "https://user@example.com/",
            "https://:pw@example.com/",
            "https://example.com:80/",
            "https://example.com:22/",
            "https://example.com:0/",
            "https://example.com:1023/",
            "https://example.com\\@127.0.0.1/",
            " https://example.com/",
            "https://exam\nple.com/",
            "https://exämple.com/",
            "http://localhost.example.com/",
            "http://127.0.0.1:22/",
            "https://[fe80::1%25eth0]/",
        ] {
            for reach in [Reach::Public, Reach::LoopbackToo] {
                assert_eq!(check_url(url, reach), Err(OutboundError::Unusable), "{url}");
            }
        }
        assert!(
            check_url(
                &format!("https://example.com/{}", "a".repeat(MAX_URL)),
                Reach::Public
            )
            .is_err()
        );
    }

    #[test]
    fn plain_http_is_for_loopback_in_development_only() {
        for url in [
            "https://example.com/",
            "https://example.com:8443/a?b",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
        ] {
            assert!(check_url(url, Reach::Public).is_ok(), "{url}");
            assert!(check_url(url, Reach::LoopbackToo).is_ok(), "{url}");
        }
        for url in [
            "http://localhost/",
            "http://a.localhost:3000/",
            "http://127.0.0.1:80/",
            "http://[::1]:8080/",
            "https://localhost:8443/",
        ] {
            assert!(check_url(url, Reach::Public).is_err(), "{url}");
            assert!(check_url(url, Reach::LoopbackToo).is_ok(), "{url}");
        }
    }
}
