//! Which origins may use the API from a browser (Fetch standard, section 3.2), and which may cause changes by cookie.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method, header,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
};

use crate::{
    clients::Registry,
    config::{Config, Mode},
    error::{ApiError, Code},
};

/// What scripts may read of an answer.
const EXPOSED: &str = "ETag, Link, Location, Allow, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, \
     DPoP-Nonce, Feed-Position, Preference-Applied, X-Request-Id";

/// What scripts may send.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Prefer, DPoP, \
     X-Request-Id, X-Tollgate-Request, traceparent, MCP-Protocol-Version";

const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Seconds that a browser keeps the answer to a preflight.
const MAX_AGE: &str = "7200";

/// Refused origins that are told to the operator, each once.
const MOST_TOLD: usize = 100;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-tollgate-request");

/// The origins that may use the API from a browser.
pub struct Cors {
    allowed: HashSet<String>,
    clients: Registry,
    own: String,
    is_development: bool,
    told: Mutex<HashSet<String>>,
}

impl Cors {
    /// Takes the configured origins, and those of clients; `issuer` is our own address.
    pub fn new(config: &Config, issuer: &str, clients: Registry) -> Self {
        Self {
            clients,
            allowed: config.cors.allowed_origins.iter().cloned().collect(),
            own: origin_of(issuer).to_owned(),
            is_development: config.mode() == Mode::Development,
            told: Mutex::default(),
        }
    }

    /// Tells whether an origin may use the API, also with cookies: exactly as configured or as an app of our own has it, or
    /// local in development.
    pub fn allows(&self, origin: &str) -> bool {
        self.allowed.contains(origin)
            || self.clients.has_own_origin(origin)
            || self.is_development && is_local(origin)
    }

    /// Tells whether an origin may use the API with a token: also those of other apps.
    pub fn allows_tokens(&self, origin: &str) -> bool {
        self.allows(origin) || self.clients.has_origin(origin)
    }

    /// Tells whether a page may open a WebSocket with these headers, which browsers ask nobody about: no page at all may, unless it
    /// goes `by_cookie`, which browsers send along.
    pub fn allows_socket(&self, headers: &HeaderMap, by_cookie: bool) -> bool {
        let mut origins = headers.get_all(header::ORIGIN);
        match (origins.next(), origins.next()) {
            (None, _) => !by_cookie,
            (Some(origin), None) => origin.to_str().is_ok_and(|origin| {
                origin == self.own
                    || self.allows(origin)
                    || !by_cookie && self.allows_tokens(origin)
            }),
            (Some(_), Some(_)) => false,
        }
    }

    /// Makes sure that a form came from one of our own pages.
    pub fn is_own_form(&self, headers: &HeaderMap) -> bool {
        let is = |name: &HeaderName, expected: &str| {
            only(headers, name).is_some_and(|value| value == expected)
        };
        if headers.contains_key(&SEC_FETCH_SITE) && !is(&SEC_FETCH_SITE, "same-origin") {
            return false;
        }
        is(&header::ORIGIN, &self.own)
    }

    /// Answers a preflight without asking who it is; `None` for any other request.
    ///
    /// # Errors
    /// 403 for an origin that is not allowed.
    pub(super) fn preflight(
        &self,
        request: &HttpRequest,
    ) -> Option<Result<HttpResponse, ApiError>> {
        let headers = request.headers();
        let is_preflight = request.method() == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight || has_none(request.path()) {
            return None;
        }
        let refused = !is_public(request.path()) && self.origin(headers).is_none();
        if refused {
            return Some(Err(Code::OriginNotAllowed.into()));
        }
        Some(Ok(HttpResponse::NoContent()
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE))
            .insert_header((
                header::VARY,
                "Access-Control-Request-Method, Access-Control-Request-Headers",
            ))
            .finish()))
    }

    /// Who may read the answer to a request.
    pub(super) fn readers(&self, path: &str, headers: &HeaderMap) -> Readers {
        if has_none(path) {
            Readers::Own
        } else if is_public(path) {
            Readers::All
        } else {
            let origin = self.origin(headers).cloned();
            let with_cookies = origin
                .as_ref()
                .and_then(|origin| origin.to_str().ok())
                .is_some_and(|origin| self.allows(origin));
            Readers::Origin(origin, with_cookies)
        }
    }

    /// The request's one origin, when it is allowed.
    fn origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let value = only(headers, &header::ORIGIN)?;
        let text = value.to_str().ok()?;
        if self.allows_tokens(text) {
            return Some(value);
        }
        if text != self.own {
            self.tell(text);
        }
        None
    }

    /// Tells the operator once which setting would allow an origin.
    fn tell(&self, origin: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST_TOLD && told.insert(origin.chars().take(300).collect()) {
            tracing::warn!(
                origin = %origin.chars().take(300).collect::<String>().escape_debug(),
                "{}",
                match self.cure(origin) {
                    Ok(setting) => format!("a browser asked from an origin that is not allowed; {setting} would allow it"),
                    Err(reason) => format!("a browser asked from what can't be allowed: {reason}"),
                }
            );
        }
    }

    /// The setting that would allow an origin, as a line of `[cors]`.
    ///
    /// # Errors
    /// Why none would.
    pub fn cure(&self, origin: &str) -> Result<String, String> {
        crate::config::check_origin(origin)?;
        let mut origins: Vec<_> = self.allowed.iter().map(String::as_str).collect();
        origins.push(origin);
        origins.sort_unstable();
        origins.dedup();
        Ok(format!("cors.allowed_origins = {origins:?}"))
    }

    /// Makes sure that a request which works by cookie was caused by a page of an allowed origin.
    ///
    /// # Errors
    /// 403.
    pub(super) fn check_cookie_request(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let refuse = |detail: &'static str| Err(ApiError::new(Code::CrossSiteRequest, detail));
        if only(headers, &CSRF_HEADER).is_none_or(|value| value != "1") {
            return refuse("Requests that work by cookie carry `X-Tollgate-Request: 1`");
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = only(headers, &header::ORIGIN).and_then(|value| value.to_str().ok());
            return match origin {
                Some(origin) if origin == self.own || self.allows(origin) => Ok(()),
                _ => refuse("Cookies don't count for requests from this origin"),
            };
        }
        match only(headers, &SEC_FETCH_SITE) {
            Some(site) if site == "same-origin" => Ok(()),
            _ => refuse("Requests that work by cookie name their `Origin`"),
        }
    }
}

/// Who may read an answer in a browser.
pub(super) enum Readers {
    /// Only pages of ours.
    Own,
    /// Everyone, as it is the same for everyone.
    All,
    /// Pages of the origin that asked, when it is allowed; and whether cookies may go along.
    Origin(Option<HeaderValue>, bool),
}

impl Readers {
    /// Says so on the answer.
    pub(super) fn mark(&self, answer: &mut HeaderMap) {
        let mut insert = |name, value: &HeaderValue| answer.insert(name, value.clone());
        let expose = HeaderValue::from_static(EXPOSED);
        match self {
            Self::Own => {}
            Self::All => {
                let all = HeaderValue::from_static("*");
                insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, &all);
                insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, &expose);
            }
            Self::Origin(origin, with_cookies) => {
                if let Some(origin) = origin {
                    insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                    insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, &expose);
                }
                if *with_cookies {
                    let yes = HeaderValue::from_static("true");
                    insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, &yes);
                }
                vary(answer, "Origin");
            }
        }
    }
}

/// Adds to the headers of a request that an answer depends on, on one line.
pub(super) fn vary(answer: &mut HeaderMap, name: &str) {
    let mut names: Vec<_> = answer
        .get_all(header::VARY)
        .filter_map(|value| value.to_str().ok())
        .map(str::to_owned)
        .collect();
    names.push(name.to_owned());
    if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
        answer.insert(header::VARY, value);
    }
}

/// The one value of a header; of two it can't be told which counts.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Scheme, host and port of an address.
fn origin_of(uri: &str) -> &str {
    let authority = uri.find("://").map_or(0, |at| at + 3);
    let end = uri.get(authority..).and_then(|rest| rest.find('/'));
    end.and_then(|at| uri.get(..authority + at)).unwrap_or(uri)
}

/// A page of this machine: `http` on a loopback name, any port.
fn is_local(origin: &str) -> bool {
    let Some(authority) = origin.strip_prefix("http://") else {
        return false;
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
        authority
            .strip_prefix(host)
            .is_some_and(|rest| match rest.strip_prefix(':') {
                Some(port) => {
                    !port.starts_with(['0', '+'])
                        && port.parse::<u16>().is_ok_and(|port| port != 80)
                }
                None => rest.is_empty(),
            })
    })
}

/// Documents that everyone may read, from anywhere.
fn is_public(path: &str) -> bool {
    path.starts_with("/.well-known/")
        || matches!(path, "/openapi.json" | "/asyncapi.json")
        || path.starts_with("/problems/")
}

/// What browsers are shown, below these.
const PAGES: [&str; 13] = [
    "/docs",
    "/device",
    "/oauth/authorize",
    "/oauth/logout",
    "/oauth/signed-out",
    "/oauth/continue",
    "/oauth/sign-in",
    "/oauth/sign-up",
    "/oauth/upstream",
    "/oauth/select-account",
    "/oauth/consent",
    "/oauth/account",
    "/oauth/assets",
];

/// Pages, which no script of another origin has to do with (OAuth 2.1 section 3.1 on the authorization endpoint).
fn has_none(path: &str) -> bool {
    PAGES.iter().any(|page| {
        path.strip_prefix(page)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_origins_are_exact() {
        for yes in [
            "http://localhost",
            "http://localhost:5173",
            "http://127.0.0.1:1",
            "http://[::1]:65535",
        ] {
            assert!(is_local(yes), "{yes}");
        }
        for no in [
            "https://localhost:5173",
            "http://localhost.evil.example",
            "http://localhost:5173.evil.example",
            "http://localhost:",
            "http://localhost:0",
            "http://localhost:65536",
            "http://localhost:5173/",
            "http://LOCALHOST:5173",
            "http://user@localhost:5173",
            "http://127.0.0.1.evil.example",
            "http://[::1",
            "null",
            "",
        ] {
            assert!(!is_local(no), "{no}");
        }
    }
}
