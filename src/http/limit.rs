//! Request rates, counted by each replica for itself: of a user where one is known, else of an address.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use actix_web::{
    Error, HttpMessage,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web,
};
use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock, QuantaInstant},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use uuid::Uuid;

use super::{authenticate::Who, origin};
use crate::{
    app::AppState,
    config::LimitsConfig,
    error::{ApiError, Code},
    network::subscriber,
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Seconds of the window that the rates are given for.
const WINDOW: u32 = 60;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(Uuid),
    Network(IpAddr),
}

type Limiter =
    RateLimiter<Subject, DefaultKeyedStateStore<Subject>, DefaultClock, StateInformationMiddleware>;

/// Who has asked how often.
pub struct RateLimits {
    users: Rate,
    networks: Rate,
    is_enabled: bool,
}

struct Rate {
    name: &'static str,
    most: NonZeroU32,
    limiter: Limiter,
}

/// What the caller may still ask (draft-ietf-httpapi-ratelimit-headers-10).
struct Standing {
    policy: String,
    left: String,
}

impl RateLimits {
    /// Takes the configured rates.
    pub fn new(config: &LimitsConfig) -> Self {
        Self {
            users: Rate::new("user", config.requests_per_minute_per_user),
            networks: Rate::new("address", config.requests_per_minute_per_address),
            is_enabled: config.enabled,
        }
    }

    /// Forgets who has not asked for a while.
    pub fn forget(&self) {
        for rate in [&self.users, &self.networks] {
            rate.limiter.retain_recent();
            rate.limiter.shrink_to_fit();
        }
    }

    fn take(&self, request: &ServiceRequest) -> Result<Option<Standing>, ApiError> {
        let path = request.path();
        let api = ["/v1/", "/oauth/", "/device"]
            .iter()
            .any(|prefix| path.starts_with(prefix));
        if !self.is_enabled || !api {
            return Ok(None);
        }
        let user = request
            .extensions()
            .get::<Who>()
            .map(|who| who.0.claims.sub.id());
        match user {
            Some(user) => self.users.take(&Subject::User(user)).map(Some),
            None => match origin::address(request.request()) {
                Some(address) => self
                    .networks
                    .take(&Subject::Network(subscriber(address)))
                    .map(Some),
                None => Ok(None),
            },
        }
    }
}

impl Rate {
    fn new(name: &'static str, most: NonZeroU32) -> Self {
        Self {
            name,
            most,
            limiter: RateLimiter::keyed(Quota::per_minute(most)).with_middleware(),
        }
    }

    fn take(&self, subject: &Subject) -> Result<Standing, ApiError> {
        let policy = format!("\"{}\";q={};w={WINDOW}", self.name, self.most);
        match self.limiter.check_key(subject) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                // Until all are there again.
                let spent = u64::from(self.most.get().saturating_sub(left));
                let wait = (spent * u64::from(WINDOW)).div_ceil(u64::from(self.most.get()));
                Ok(Standing {
                    policy,
                    left: format!("\"{}\";r={left};t={wait}", self.name),
                })
            }
            Err(not_until) => {
                let wait = seconds(&not_until);
                Err(
                    ApiError::new(Code::RateLimited, format!("Try again in {wait} s"))
                        .header("retry-after", wait.to_string())
                        .header("ratelimit-policy", policy)
                        .header("ratelimit", format!("\"{}\";r=0;t={wait}", self.name)),
                )
            }
        }
    }
}

fn seconds(not_until: &NotUntil<QuantaInstant>) -> u64 {
    let wait = not_until.wait_time_from(DefaultClock::default().now());
    wait.saturating_add(Duration::from_millis(999))
        .as_secs()
        .max(1)
}

/// Counts the request, and refuses one too many.
///
/// # Errors
/// None of its own.
pub async fn limit<B: MessageBody + 'static>(
    app: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match app.rates.take(&request) {
        Err(error) => Ok(request.error_response(error).map_into_right_body()),
        Ok(None) => Ok(next.call(request).await?.map_into_left_body()),
        Ok(Some(standing)) => {
            // Kept for `observe`, which writes the answers of errors anew.
            request.extensions_mut().insert(standing);
            Ok(next.call(request).await?.map_into_left_body())
        }
    }
}

/// Says on an answer what the caller may still ask.
pub(super) fn mark<B>(response: &mut ServiceResponse<B>) {
    let standing = response.request().extensions_mut().remove::<Standing>();
    let Some(standing) = standing else {
        return;
    };
    let headers = response.headers_mut();
    for (name, text) in [
        (RATE_LIMIT_POLICY, standing.policy),
        (RATE_LIMIT, standing.left),
    ] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}
