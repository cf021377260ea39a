//! The browser that a page is for: its language, its cookie, and whether a form of it is one of ours.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web,
};
use diesel::PgConnection;

use super::{
    PageFault,
    fault::Failure,
    find_visitor,
    pending::device_code,
    place_of,
    view::{self, Frame, Hidden, Language, Page},
};
use crate::{
    app::AppState,
    audit::Actor,
    error::ApiError,
    form::Parameters,
    http::{Anyone, Form, Rendered},
    oauth::{
        Answer, Failing, ResponseMode, Server,
        authorize::{Outcome, Step, Visitor},
        hop,
        waiting::Reference,
    },
    secret::Secret,
    sessions::PageChange,
};

/// Where what a page holds is tagged for.
const FORM: &str = "form";

/// A browser that asks for a page or sends a form.
pub struct Browser {
    /// The server's state.
    pub app: web::Data<AppState>,
    /// Where the request comes from.
    pub actor: Actor,
    cookie: Option<String>,
    given: Option<String>,
    accept_language: Option<String>,
    ui_locales: Option<String>,
    is_own_form: bool,
}

impl FromRequest for Browser {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let actor = Anyone::from_request(request, payload).into_inner();
        let headers = request.headers();
        let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
        ready(match (request.app_data::<web::Data<AppState>>(), actor) {
            (Some(app), Ok(Anyone(actor))) => Ok(Self {
                cookie: app.cookies.page(headers),
                given: None,
                accept_language: text(header::ACCEPT_LANGUAGE),
                ui_locales: None,
                is_own_form: app.cors.is_own_form(headers),
                app: app.clone(),
                actor,
            }),
            _ => Err(ApiError::internal("no state")),
        })
    }
}

impl Browser {
    /// The OAuth server.
    pub fn server(&self) -> Server {
        self.app.oauth.clone()
    }

    /// The hash of the cookie that came.
    pub fn cookie_hash(&self) -> Option<Vec<u8>> {
        self.cookie.as_deref().map(Secret::hash)
    }

    /// Speaks the languages that a client or a person has asked for.
    pub fn speak(&mut self, ui_locales: Option<&str>) {
        self.ui_locales = ui_locales.map(str::to_owned).or(self.ui_locales.take());
    }

    /// The languages that a client or a person has asked for.
    pub fn asked(&self) -> Option<&str> {
        self.ui_locales.as_deref()
    }

    /// The language of its pages.
    pub fn language(&self) -> Language {
        Language::negotiate(self.ui_locales.as_deref(), self.accept_language.as_deref())
    }

    /// Does `work` in one hop, with whoever is signed in, whose language pages speak from then on.
    ///
    /// # Errors
    /// Those of `work`; Postgres.
    pub async fn visit<T, E, F>(&mut self, work: F) -> Result<(Option<Visitor>, T), E>
    where
        T: Send + 'static,
        E: Failing,
        F: FnOnce(&mut PgConnection, Option<&Visitor>) -> Result<T, E> + Send + 'static,
    {
        let (hash, lifetimes) = (self.cookie_hash(), self.app.oauth.rules.lifetimes);
        let (visitor, done) = hop(&self.app.db, move |conn| {
            let visitor = find_visitor(conn, hash.as_deref(), lifetimes)?;
            let done = work(conn, visitor.as_ref())?;
            Ok::<_, E>((visitor, done))
        })
        .await?;
        let account = visitor.as_ref().map(|visitor| &visitor.account);
        self.speak(account.and_then(|account| account.user.locale.as_deref()));
        Ok((visitor, done))
    }

    /// What surrounds its pages.
    pub fn frame(&self) -> Frame {
        Frame {
            language: self.language(),
            service: self.app.oauth.config.service_name.clone(),
        }
    }

    /// The token that its next form has to bring, bound to its cookie, which is made where there is none.
    ///
    /// # Errors
    /// No randomness, no key.
    pub fn csrf(&mut self) -> Result<String, ApiError> {
        let secret = match self.given.as_ref().or(self.cookie.as_ref()) {
            Some(secret) => secret.clone(),
            None => {
                let secret = Secret::generate()?.text;
                self.given = Some(secret.clone());
                secret
            }
        };
        self.app.tokens.tag(FORM, &secret)
    }

    /// What its next form carries.
    ///
    /// # Errors
    /// Those of `csrf`.
    pub fn hidden(&mut self, request: Option<&Reference>) -> Result<Hidden, ApiError> {
        Ok(Hidden {
            csrf: self.csrf()?,
            request: request.map(ToString::to_string),
        })
    }

    /// Reads a form that one of our own pages has sent.
    ///
    /// # Errors
    /// 403 for one from elsewhere, or too old.
    pub fn read(&self, form: Result<Form, ApiError>) -> Result<Parameters, PageFault> {
        let Form(bytes) = form?;
        let parameters = Parameters::parse(&bytes)
            .map_err(|unreadable| PageFault::from(crate::oauth::OAuthError::from(unreadable)))?;
        let is_tagged = match (&self.cookie, parameters.get("csrf")) {
            (Some(cookie), Some(tag)) => self.app.tokens.has_tagged(FORM, cookie, tag),
            _ => false,
        };
        if self.is_own_form && is_tagged {
            Ok(parameters)
        } else {
            Err(PageFault::form_expired())
        }
    }

    /// Gets a new cookie for whoever signs in now (`SES-02`).
    ///
    /// # Errors
    /// No randomness.
    pub fn renew(&mut self) -> Result<PageChange, ApiError> {
        let secret = Secret::generate()?;
        let change = PageChange {
            hash: secret.hash,
            old_hash: self.cookie_hash(),
        };
        self.given = Some(secret.text);
        Ok(change)
    }

    /// Keeps the cookie that it has: nobody has signed in after all.
    pub fn keep(&mut self) {
        self.given = None;
    }

    /// Loses its cookie.
    pub fn forget(&mut self) {
        self.given = Some(String::new());
    }

    /// Shows a page; its forms may lead to `place` besides our own.
    pub fn show(&self, page: &impl Page, status: u16, place: Option<&str>) -> HttpResponse {
        self.show_to(page, status, place.as_slice())
    }

    /// The same with several places.
    pub fn show_to(&self, page: &impl Page, status: u16, places: &[&str]) -> HttpResponse {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut targets: Vec<_> = places.iter().copied().map(form_target).collect();
        targets.dedup();
        let place = targets.concat();
        let policy = format!(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
             form-action 'self'{place}; frame-ancestors 'none'; base-uri 'none'"
        );
        let mut response = HttpResponse::build(status);
        response
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::CONTENT_SECURITY_POLICY, policy))
            // Our own forms have to tell where they come from.
            .insert_header((header::REFERRER_POLICY, "same-origin"))
            .insert_header((header::VARY, "Accept-Language, Cookie"))
            .content_type("text/html; charset=utf-8");
        let mut response = response.body(page.render());
        self.give(&mut response);
        response.extensions_mut().insert(Rendered { cause: None });
        response
    }

    /// Goes somewhere else, always by GET (RFC 9700 section 4.12).
    pub fn go(&self, location: &str) -> HttpResponse {
        let mut response = HttpResponse::SeeOther()
            .insert_header((header::LOCATION, location))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish();
        self.give(&mut response);
        response
    }

    /// Goes to another page of ours that is about the same.
    pub fn go_to(&self, page: &str, request: Option<&str>) -> HttpResponse {
        self.go_with(page, &[("request", request)])
    }

    /// Goes to another page of ours.
    pub fn go_with(&self, page: &str, query: &[(&str, Option<&str>)]) -> HttpResponse {
        let given = query
            .iter()
            .filter_map(|(name, value)| Some((name, (*value)?)));
        let mut encoder = form_urlencoded::Serializer::new(String::new());
        let query = encoder.extend_pairs(given).finish();
        let separator = if query.is_empty() { "" } else { "?" };
        self.go(&format!("/oauth/{page}{separator}{query}"))
    }

    /// Goes on with the request that a page was about, or to the account.
    pub fn go_on(&self, request: Option<&str>) -> HttpResponse {
        match (request, request.and_then(device_code)) {
            (_, Some(code)) => {
                let code: String = form_urlencoded::byte_serialize(code.as_bytes()).collect();
                self.go(&format!("/device?user_code={code}"))
            }
            (Some(_), None) => self.go_to("continue", request),
            (None, None) => self.go("/oauth/account"),
        }
    }

    fn give(&self, response: &mut HttpResponse) {
        if let Some(secret) = &self.given
            && let Ok(value) = HeaderValue::try_from(self.app.cookies.page_cookie(secret))
        {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }

    /// Goes on as the request has come out.
    pub fn follow(&self, outcome: Outcome) -> HttpResponse {
        match outcome {
            Outcome::Answer(answer) => self.bring(&answer),
            Outcome::Page(step, reference) => {
                let page = match step {
                    Step::SignIn => "sign-in",
                    Step::SelectAccount => "select-account",
                    Step::Consent => "consent",
                };
                self.go_to(page, Some(&reference.to_string()))
            }
        }
    }

    /// Brings an answer to its client.
    pub fn bring(&self, answer: &Answer) -> HttpResponse {
        if answer.mode == ResponseMode::Query {
            return self.go(&answer.location());
        }
        let Some(action) = view::Target::parse(&answer.redirect_uri) else {
            return self.fail(PageFault::unknown_client());
        };
        let fields = answer.parameters.iter();
        let page = view::FormPost {
            frame: self.frame(),
            client_name: place_of(&answer.redirect_uri),
            action,
            fields: fields
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        };
        self.show(&page, 200, Some(&answer.redirect_uri))
    }

    /// Shows what went wrong, or tells the client.
    pub fn fail(&self, fault: PageFault) -> HttpResponse {
        let failure = match fault {
            PageFault::Client(target, error) if target.is_vouched_for => {
                return self.bring(&target.refuse(&error));
            }
            PageFault::Client(target, error) => Failure::of_stranger(&target, error),
            PageFault::Shown(failure) => failure,
        };
        let Failure {
            kind,
            status,
            code,
            detail,
            onward,
            cause,
        } = failure;
        let page = view::Failure {
            frame: self.frame(),
            kind,
            code,
            detail,
            onward: onward.and_then(|address| {
                Some(view::Back {
                    client_name: place_of(&address),
                    target: view::Target::parse(&address)?,
                })
            }),
            request_id: self.actor.request_id.clone(),
        };
        let mut response = self.show(&page, status, None);
        if status == 503 {
            let value = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response.extensions_mut().insert(Rendered { cause });
        response
    }

    /// The answer, or what went wrong.
    pub fn answer(&self, answered: Result<HttpResponse, PageFault>) -> HttpResponse {
        answered.unwrap_or_else(|fault| self.fail(fault))
    }
}

/// What `form-action` needs so that a form may end at an address: Chromium asks it of redirects, too.
fn form_target(address: &str) -> String {
    let (scheme, rest) = address.split_once(':').unwrap_or((address, ""));
    match rest.strip_prefix("//") {
        Some(_) => format!(" {scheme}://{}", place_of(address)),
        None => format!(" {scheme}:"),
    }
}
