//! Cookies that hold tokens for pages which must not see them (RFC 6265; api.md, "Cookies").

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponseBuilder,
    dev::Payload,
    http::header::{self, HeaderMap},
    web,
};

use crate::{
    app::AppState,
    error::{ApiError, Code},
};

/// Bytes that every browser keeps of a cookie.
const MOST_BYTES: usize = 4_096;

/// How the cookies are called here.
pub struct CookieNames {
    access: &'static str,
    refresh: &'static str,
    page: &'static str,
    secure: &'static str,
}

impl CookieNames {
    /// `__Host-` and `Secure`, but on plain HTTP, which only a developer's machine may have.
    pub fn new(issuer: &str) -> Self {
        if issuer.starts_with("https://") {
            Self {
                access: "__Host-tollgate_access",
                refresh: "__Host-tollgate_refresh",
                page: "__Host-tollgate_page",
                secure: "; Secure",
            }
        } else {
            Self {
                access: "tollgate_access",
                refresh: "tollgate_refresh",
                page: "tollgate_page",
                secure: "",
            }
        }
    }

    /// The one that holds an access token.
    pub fn access_name(&self) -> &'static str {
        self.access
    }

    /// The access token that a cookie brings.
    pub(super) fn access(&self, headers: &HeaderMap) -> Option<String> {
        value(headers, self.access)
    }

    /// What the browser has from our own pages.
    pub fn page(&self, headers: &HeaderMap) -> Option<String> {
        value(headers, self.page)
    }

    /// The cookie of our own pages: it goes along when a client sends somebody here, and with no other request from
    /// elsewhere. It ends with the browser; the session behind it has an end of its own.
    pub fn page_cookie(&self, secret: &str) -> String {
        let (name, secure) = (self.page, self.secure);
        let gone = if secret.is_empty() { "; Max-Age=0" } else { "" };
        format!("{name}={secret}; Path=/; HttpOnly; SameSite=Lax{gone}{secure}")
    }

    fn access_cookie(&self, token: &str, seconds: i64) -> String {
        let (name, secure) = (self.access, self.secure);
        format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    /// Goes nowhere but to us: no link from elsewhere refreshes.
    fn refresh_cookie(&self, token: &str, seconds: i64) -> String {
        let (name, secure) = (self.refresh, self.secure);
        format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    /// The cookies of a pair of tokens.
    ///
    /// # Errors
    /// 422 for a token that no browser would keep.
    fn pair(&self, access: (&str, i64), refresh: (&str, i64)) -> Result<[String; 2], ApiError> {
        let pair = [
            self.access_cookie(access.0, access.1),
            self.refresh_cookie(refresh.0, refresh.1),
        ];
        if pair.iter().any(|cookie| cookie.len() >= MOST_BYTES) {
            let detail = "The token is too large for a cookie; use `\"transport\": \"bearer\"`";
            return Err(ApiError::new(Code::TokenTooLarge, detail));
        }
        Ok(pair)
    }

    /// Takes the access token back.
    pub(super) fn no_access(&self) -> String {
        self.access_cookie("", 0)
    }

    fn cleared(&self) -> [String; 2] {
        [self.no_access(), self.refresh_cookie("", 0)]
    }
}

/// The one cookie of a name; of two it can't be told who set which.
fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers
        .get_all(header::COOKIE)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(one, _)| *one == name)
        .map(|(_, value)| value);
    let first = values.next()?;
    values
        .next()
        .is_none()
        .then(|| first.trim_matches('"').to_owned())
}

/// The cookies of a request, for handlers that give or take tokens.
pub struct Cookies {
    app: web::Data<AppState>,
    refresh: Option<String>,
    came: bool,
    permitted: Result<(), ApiError>,
}

impl FromRequest for Cookies {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let state = request.app_data::<web::Data<AppState>>();
        ready(
            state
                .ok_or_else(|| ApiError::internal("no state"))
                .map(|app| Self {
                    refresh: value(request.headers(), app.cookies.refresh),
                    came: request.headers().contains_key(header::COOKIE),
                    permitted: app.cors.check_cookie_request(request.headers()),
                    app: app.clone(),
                }),
        )
    }
}

impl Cookies {
    /// Refuses what a page of a stranger could have caused.
    ///
    /// # Errors
    /// 403.
    pub fn check(&mut self) -> Result<(), ApiError> {
        std::mem::replace(&mut self.permitted, Ok(()))
    }

    /// The refresh token that came along.
    pub fn refresh(&self) -> Option<&str> {
        self.refresh.as_deref()
    }

    /// Gives a pair of tokens, each with the seconds that it lives.
    ///
    /// # Errors
    /// 422 for a token that no browser would keep.
    pub fn give(
        &self,
        response: &mut HttpResponseBuilder,
        access: (&str, i64),
        refresh: (&str, i64),
    ) -> Result<(), ApiError> {
        for cookie in self.app.cookies.pair(access, refresh)? {
            response.append_header((header::SET_COOKIE, cookie));
        }
        Ok(())
    }

    /// Takes back what was given, if anything was.
    pub fn clear(&self, response: &mut HttpResponseBuilder) {
        if !self.came {
            return;
        }
        for cookie in self.app.cookies.cleared() {
            response.append_header((header::SET_COOKIE, cookie));
        }
    }

    /// The same on an error.
    pub fn clear_on(&self, error: ApiError) -> ApiError {
        self.app
            .cookies
            .cleared()
            .into_iter()
            .fold(error, |error, cookie| error.header("set-cookie", cookie))
    }
}
