//! Signing in at another provider: leaving for it, coming back, connecting what is known there with an account here.

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::SecretString;

use super::{
    Browser, PageFault,
    pending::{Scene, Waiting},
    sign_in_routes::{notice_of, show_failed, status_of},
    view::{self, FailureKind, Notice},
};
use crate::{
    config::SignUp,
    error::{ApiError, Code},
    form::Parameters,
    http::Form,
    oauth::OAuthError,
    secret::Secret,
    upstream::{self, Arrival, Identity, Provider, StateRow, Upstreams},
};

/// Sends somebody to a provider.
pub async fn leave_for_upstream(
    mut browser: Browser,
    id: web::Path<String>,
    form: Result<Form, ApiError>,
) -> HttpResponse {
    let answered = leave(&mut browser, &id, form).await;
    browser.answer(answered)
}

async fn leave(
    browser: &mut Browser,
    id: &str,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let upstreams = browser.app.upstreams.clone();
    let provider = find(&upstreams, id)?;
    let request = parameters.get("request");
    let waiting = Waiting::named(&browser.server(), request).await?;
    let scene = Scene::read(browser, waiting.as_ref()).await?;
    let fresh = scene.pending.is_some_and(|pending| {
        let asked = &pending.authorization;
        asked.prompts.login || asked.max_age.is_some()
    });
    let cookie = browser.cookie_hash().ok_or_else(PageFault::form_expired)?;
    let departed = upstreams.depart(provider, cookie, request.map(str::to_owned), fresh);
    match departed.await {
        Ok(departure) => {
            let location = departure.location.clone();
            let db = &browser.app.db;
            db.run(move |conn| Ok(upstream::remember(conn, &departure)?))
                .await?;
            Ok(browser.go(&location))
        }
        Err(error) => {
            tracing::warn!(upstream = id, %error, "people can't sign in at a provider");
            show_failed(browser, request, Notice::UpstreamFailed).await
        }
    }
}

fn find<'a>(upstreams: &'a Upstreams, id: &str) -> Result<&'a Provider, ApiError> {
    upstreams.find(id).ok_or_else(ApiError::not_found)
}

/// Takes somebody back.
pub async fn return_from_upstream(
    mut browser: Browser,
    id: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let answered = come_back(&mut browser, &id, request.query_string()).await;
    browser.answer(answered)
}

async fn come_back(
    browser: &mut Browser,
    id: &str,
    query: &str,
) -> Result<HttpResponse, PageFault> {
    let upstreams = browser.app.upstreams.clone();
    let provider = find(&upstreams, id)?;
    let answer = Parameters::parse(query.as_bytes())
        .map_err(|unreadable| PageFault::from(OAuthError::from(unreadable)))?;
    let (Some(secret), Some(cookie)) = (answer.get("state"), browser.cookie_hash()) else {
        return Err(PageFault::request_expired());
    };
    let (secret, upstream_id) = (secret.to_owned(), id.to_owned());
    let db = &browser.app.db;
    let state = db
        .run(move |conn| Ok(upstream::recall(conn, &secret, &upstream_id, &cookie)?))
        .await?
        .ok_or_else(PageFault::request_expired)?;
    let now = browser.app.tokens.now();
    match upstreams.identify(provider, &state, &answer, now).await {
        Ok(identity) => arrive(browser, state, identity).await,
        Err(error) => {
            tracing::info!(upstream = id, %error, "somebody could not sign in at a provider");
            show_failed(browser, state.request.as_deref(), Notice::UpstreamFailed).await
        }
    }
}

async fn arrive(
    browser: &mut Browser,
    state: StateRow,
    identity: Identity,
) -> Result<HttpResponse, PageFault> {
    let request = state.request.clone();
    let request = request.as_deref();
    let arrival = match settle(browser, state.clone(), identity.clone()).await {
        Ok(Arrival::New) => match make_account(browser, identity.clone()).await {
            // Somebody else has just made it.
            Err(error) if error.code == Code::EmailTaken => settle(browser, state, identity).await,
            made => made.map(|()| Arrival::SignedIn),
        },
        settled => settled,
    };
    if !matches!(arrival, Ok(Arrival::SignedIn)) {
        browser.keep();
    }
    let refused = |kind, code| Err(PageFault::new(kind, 403, code, None));
    match arrival {
        Ok(Arrival::SignedIn) => Ok(browser.go_on(request)),
        Ok(Arrival::Held) => Ok(browser.go("/oauth/sign-in/link")),
        Ok(Arrival::NoAddress) => refused(FailureKind::NoAddress, "email_missing"),
        Ok(Arrival::Closed) => refused(FailureKind::SignUpClosed, "sign_up_closed"),
        // Nobody learns by it that there is such an account.
        Ok(Arrival::Disabled | Arrival::New) => {
            show_failed(browser, request, Notice::UpstreamFailed).await
        }
        Err(error) => match notice_of(&error) {
            Some(notice) => show_failed(browser, request, notice).await,
            None => Err(error.into()),
        },
    }
}

async fn settle(
    browser: &mut Browser,
    state: StateRow,
    identity: Identity,
) -> Result<Arrival, ApiError> {
    let (server, change, actor) = (browser.server(), browser.renew()?, browser.actor.clone());
    let is_open = browser.app.config.users.sign_up == SignUp::Open;
    let db = &browser.app.db;
    db.run(move |conn| {
        let rules = &server.rules;
        upstream::arrive(conn, &state, &identity, is_open, &change, &actor, rules)
    })
    .await
}

/// Makes an account with a password that nobody knows: its owner signs in at the provider.
async fn make_account(browser: &mut Browser, identity: Identity) -> Result<(), ApiError> {
    let app = web::Data::clone(&browser.app);
    let password = SecretString::from(Secret::generate()?.text);
    let ticket = app.passwords.admit()?;
    let hash = ticket.hash(password, Vec::new(), "/password").await?;
    let (server, change, actor) = (browser.server(), browser.renew()?, browser.actor.clone());
    app.db
        .run(move |conn| upstream::create(conn, &identity, &hash, &change, &actor, &server.rules))
        .await
}

/// Shows the page on which somebody proves that an account here is theirs.
pub async fn show_link(mut browser: Browser) -> HttpResponse {
    let answered = show(&mut browser, None).await;
    browser.answer(answered)
}

/// Shows what is held for the browser, perhaps again, with what became of the last try.
async fn show(browser: &mut Browser, notice: Option<Notice>) -> Result<HttpResponse, PageFault> {
    let cookie = browser
        .cookie_hash()
        .ok_or_else(PageFault::request_expired)?;
    let db = &browser.app.db;
    let held = db.run(move |conn| upstream::held(conn, &cookie)).await?;
    let (identity, request) = held.ok_or_else(PageFault::request_expired)?;
    let waiting = Waiting::named(&browser.server(), request.as_deref()).await?;
    let scene = Scene::read(browser, waiting.as_ref()).await?;
    let mut hidden = browser.hidden(None)?;
    hidden.request = request;
    let provider = browser.app.upstreams.find(&identity.upstream);
    let page = view::Link {
        frame: browser.frame(),
        hidden,
        email: identity.email.map(String::from).unwrap_or_default(),
        provider: provider.map_or(identity.upstream, |provider| provider.config.name.clone()),
        notice,
    };
    Ok(browser.show(&page, status_of(notice), scene.place()))
}

/// Connects an identity with the account whose password is right.
pub async fn link_identity(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = try_link(&mut browser, form).await;
    browser.answer(answered)
}

async fn try_link(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let password = SecretString::from(parameters.get("password").unwrap_or_default());
    match prove(browser, parameters.get("email"), password).await {
        Ok(Some(request)) => Ok(browser.go_on(request.as_deref())),
        Ok(None) => Err(PageFault::request_expired()),
        Err(error) => match notice_of(&error) {
            Some(notice) => {
                browser.keep();
                let notice = match notice {
                    Notice::WrongCredentials => Notice::WrongPassword,
                    other => other,
                };
                show(browser, Some(notice)).await
            }
            None => Err(error.into()),
        },
    }
}

/// The same two hops and one hash as signing in; answers what the page was about, `None` where nothing is held of the account
/// that the page has shown.
async fn prove(
    browser: &mut Browser,
    shown: Option<&str>,
    password: SecretString,
) -> Result<Option<Option<String>>, ApiError> {
    let Some(cookie) = browser.cookie_hash() else {
        return Ok(None);
    };
    let app = web::Data::clone(&browser.app);
    let ticket = app.passwords.admit()?;
    let (limits, actor) = (app.config.limits.clone(), browser.actor.clone());
    let linking = {
        let (actor, limits) = (actor.clone(), limits.clone());
        app.db
            .run(move |conn| upstream::begin_link(conn, &cookie, &actor, &limits))
            .await?
    };
    let is_shown = |identity: &Identity| {
        let email = identity.email.as_ref().map(AsRef::as_ref);
        shown.is_none_or(|shown| email == Some(shown))
    };
    let Some(linking) = linking.filter(|linking| is_shown(&linking.identity)) else {
        return Ok(None);
    };
    let request = linking.request.clone();
    let verdict = ticket.verify(password, linking.stored_hash()).await?;
    let (server, change) = (browser.server(), browser.renew()?);
    app.db
        .run(move |conn| {
            let rules = &server.rules;
            upstream::finish_link(conn, linking, &verdict, &change, &actor, rules, &limits)
        })
        .await?;
    Ok(Some(request))
}
