//! Where a request comes from, for the audit log and the throttle.

use std::{
    future::{Ready, ready},
    net::IpAddr,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderMap},
};

use super::observe::RequestId;
use crate::audit::Actor;

/// Characters of a user agent that are kept.
const USER_AGENT_LENGTH: usize = 256;

/// Whoever sent the request: handlers that take no token take this.
pub struct Anyone(pub Actor);

impl FromRequest for Anyone {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Ok(Self(actor(request))))
    }
}

/// The actor of a request before anyone has looked at its token.
pub(super) fn actor(request: &HttpRequest) -> Actor {
    Actor {
        address: request
            .peer_addr()
            .map(|peer| canonical(peer.ip()).to_string()),
        user_agent: user_agent(request.headers()),
        request_id: request
            .extensions()
            .get::<RequestId>()
            .map(|id| id.0.clone()),
        ..Actor::default()
    }
}

/// An IPv4 address written as IPv6 is the IPv4 address.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
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
