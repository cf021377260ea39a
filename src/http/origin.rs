//! Where a request comes from, for the audit log and the throttle.

use std::{
    future::{Ready, ready},
    net::{IpAddr, SocketAddr},
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderMap, HeaderName},
    web,
};
use ipnet::IpNet;

use super::observe::RequestId;
use crate::{
    app::AppState,
    audit::Actor,
    config::{ForwardedHeader, ServerConfig},
    error::ApiError,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Characters of a user agent that are kept.
const USER_AGENT_LENGTH: usize = 256;

/// Whoever sent the request: handlers that take no token take this.
pub struct Anyone(pub Actor);

impl Anyone {
    /// Whoever sent a request.
    pub fn of(request: &HttpRequest) -> Self {
        Self(actor(request))
    }
}

impl FromRequest for Anyone {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

/// The actor of a request before anyone has looked at its token.
pub(super) fn actor(request: &HttpRequest) -> Actor {
    Actor {
        address: address(request).map(|address| address.to_string()),
        user_agent: user_agent(request.headers()),
        request_id: request
            .extensions()
            .get::<RequestId>()
            .map(|id| id.0.clone()),
        ..Actor::default()
    }
}

/// The address that the request comes from, as the last proxy that is not ours, or the client itself, has it.
pub(super) fn address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let app = request.app_data::<web::Data<AppState>>()?;
    Some(app.proxies.client(peer, request.headers()))
}

/// The proxies whose word about the client is believed.
pub struct Proxies {
    trusted: Vec<IpNet>,
    header: ForwardedHeader,
}

impl Proxies {
    /// Takes the configured proxies.
    pub fn new(config: &ServerConfig) -> Self {
        Self {
            trusted: config.trusted_proxies.iter().map(|one| one.0).collect(),
            header: config.forwarded_header,
        }
    }

    /// Whether an address is a proxy of ours.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// Goes back from proxy to proxy, as long as each is trusted: everything before may be invented.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        // Hop by hop as bytes: a proxy appends to whatever the client wrote.
        let hops: Vec<_> = headers
            .get_all(match self.header {
                ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
                ForwardedHeader::Forwarded => header::FORWARDED,
            })
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .collect();
        let mut client = peer;
        for hop in hops.into_iter().rev() {
            let hop = std::str::from_utf8(hop).ok();
            let address = hop.and_then(|hop| match self.header {
                ForwardedHeader::XForwardedFor => hop_address(hop),
                ForwardedHeader::Forwarded => forwarded_for(hop),
            });
            let Some(address) = address else {
                break;
            };
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        client
    }
}

/// The `for` of one element (RFC 7239 section 5.2).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.eq_ignore_ascii_case("for")
            .then(|| hop_address(value))?
    })
}

/// An address, bare or with a port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let parsed = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| {
            text.parse::<SocketAddr>()
                .ok()
                .map(|with_port| with_port.ip())
        })
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    parsed.map(|address| address.to_canonical())
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(
        value
            .chars()
            .filter(|character| !character.is_control())
            .take(USER_AGENT_LENGTH)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ForwardedHeader, peer: &str, values: &[&str]) -> String {
        let proxies = Proxies {
            trusted: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            header,
        };
        let mut headers = HeaderMap::new();
        let name = match header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => header::FORWARDED,
        };
        for value in values {
            headers.append(name.clone(), value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn inp_07_only_trusted_proxies_are_believed_and_only_as_far_as_they_go() {
        let x = |peer, values: &[&str]| client(ForwardedHeader::XForwardedFor, peer, values);
        assert_eq!(
            x("192.0.2.1", &["198.51.100.7"]),
            "192.0.2.1",
            "a stranger's word"
        );
        assert_eq!(x("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            x("10.0.0.1", &["1.1.1.1, 198.51.100.7"]),
            "198.51.100.7",
            "invented"
        );
        assert_eq!(
            x("10.0.0.1", &["1.1.1.1", "198.51.100.7, 10.9.9.9"]),
            "198.51.100.7"
        );
        assert_eq!(x("10.0.0.1", &["198.51.100.7, garbage"]), "10.0.0.1");
        assert_eq!(x("10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(x("10.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
        assert_eq!(x("10.0.0.1", &[]), "10.0.0.1");
        let f = |peer, values: &[&str]| client(ForwardedHeader::Forwarded, peer, values);
        assert_eq!(
            f("10.0.0.1", &["for=1.1.1.1, for=198.51.100.7;proto=https"]),
            "198.51.100.7"
        );
        assert_eq!(f("fd00::1", &["For=\"[2001:db8::7]:4711\""]), "2001:db8::7");
        assert_eq!(f("10.0.0.1", &["for=unknown"]), "10.0.0.1");
    }
}
