//! Signing in at another provider: leaving for it, coming back, connecting what is known there with an account here.

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::SecretString;

use super::{
    Browser, PageFault,
    pending::{Scene, Waiting},
    sign_in_routes::{RequestQuery, go_failed, notice_of, status_of},
    view::{self, FailureKind, Notice},
};
use crate::{
    config::SignUp,
    error::ApiError,
    form::Parameters,
    http::Form,
    oauth::OAuthError,
    upstream::{self, Arrival, Identity, Linking, Provider, StateRow, Upstreams},
    users::Ticket,
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
    let metadata = provider.metadata().await;
    let cookie = browser.cookie_hash().ok_or_else(PageFault::form_expired)?;
    let (upstreams, upstream_id) = (browser.app.upstreams.clone(), id.to_owned());
    let about = request.map(str::to_owned);
    let leaving = Scene::read_and(browser, waiting.as_ref(), move |conn, pending| {
        let fresh = pending.is_some_and(|pending| {
            let asked = &pending.authorization;
            asked.prompts.login || asked.max_age.is_some()
        });
        let provider = find(&upstreams, &upstream_id)?;
        let departed = metadata
            .and_then(|metadata| upstreams.depart(provider, &metadata, cookie, about, fresh));
        if let Ok(departure) = &departed {
            upstream::remember(conn, departure)?;
        }
        Ok(departed)
    });
    let (_scene, departed) = leaving.await?;
    match departed? {
        Ok(departure) => Ok(browser.go(&departure.location)),
        Err(error) => {
            tracing::warn!(upstream = id, %error, "people can't sign in at a provider");
            Ok(go_failed(browser, request))
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
            Ok(go_failed(browser, state.request.as_deref()))
        }
    }
}

/// The second hop, after the provider has said who it is.
async fn arrive(
    browser: &mut Browser,
    state: StateRow,
    identity: Identity,
) -> Result<HttpResponse, PageFault> {
    let request = state.request.clone();
    let request = request.as_deref();
    let (server, change, actor) = (browser.server(), browser.renew()?, browser.actor.clone());
    let is_open = browser.app.config.users.sign_up == SignUp::Open;
    let arriving = browser.app.db.run(move |conn| {
        let rules = &server.rules;
        upstream::arrive(conn, &state, &identity, is_open, &change, &actor, rules)
    });
    let arrival = arriving.await;
    if !matches!(arrival, Ok(Arrival::SignedIn)) {
        browser.keep();
    }
    let refused = |kind, code| Err(PageFault::new(kind, 403, code, None));
    match arrival {
        Ok(Arrival::SignedIn) => Ok(browser.go_on(request)),
        Ok(Arrival::Held) => Ok(browser.go_to("sign-in/link", request)),
        Ok(Arrival::NoAddress) => refused(FailureKind::NoAddress, "email_missing"),
        Ok(Arrival::Closed) => refused(FailureKind::SignUpClosed, "sign_up_closed"),
        // Nobody learns by it that there is such an account.
        Ok(Arrival::Disabled) => Ok(go_failed(browser, request)),
        Err(error) if error.is_ours() => Err(error.into()),
        Err(_a_second_try_may_do) => Ok(go_failed(browser, request)),
    }
}

/// Shows the page on which somebody proves that an account here is theirs.
pub async fn show_link(mut browser: Browser, query: web::Query<RequestQuery>) -> HttpResponse {
    let answered = show(&mut browser, query.request.as_deref()).await;
    browser.answer(answered)
}

async fn show(browser: &mut Browser, request: Option<&str>) -> Result<HttpResponse, PageFault> {
    let cookie = browser
        .cookie_hash()
        .ok_or_else(PageFault::request_expired)?;
    let waiting = Waiting::named(&browser.server(), request).await?;
    let reading = Scene::read_and(browser, waiting.as_ref(), move |conn, _pending| {
        upstream::held(conn, &cookie)
    });
    let (scene, held) = reading.await?;
    let identity = held?.ok_or_else(PageFault::request_expired)?;
    show_held(browser, request, &scene, identity, None)
}

/// Shows what is held for the browser, perhaps again, with what became of the last try.
fn show_held(
    browser: &mut Browser,
    request: Option<&str>,
    scene: &Scene,
    identity: Identity,
    notice: Option<Notice>,
) -> Result<HttpResponse, PageFault> {
    let mut hidden = browser.hidden(None)?;
    hidden.request = request.map(str::to_owned);
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

/// The same two hops and one hash as signing in.
async fn try_link(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let request = parameters.get("request");
    let shown = parameters.get("email").map(str::to_owned);
    let password = SecretString::from(parameters.get("password").unwrap_or_default());
    let cookie = browser
        .cookie_hash()
        .ok_or_else(PageFault::request_expired)?;
    let waiting = Waiting::named(&browser.server(), request).await?;
    let app = web::Data::clone(&browser.app);
    let (actor, limits) = (browser.actor.clone(), app.config.limits.clone());
    let ticket = app.passwords.admit();
    let reading = Scene::read_and(browser, waiting.as_ref(), move |conn, _pending| {
        let Some(identity) = upstream::held(conn, &cookie)? else {
            return Ok(None);
        };
        let email = identity.email.as_ref().map(AsRef::as_ref);
        if shown.is_some_and(|shown| email != Some(&shown)) {
            // A page of before: what is held now is somebody else's.
            return Ok(None);
        }
        let begun = match ticket {
            Ok(ticket) => upstream::begin_link(conn, identity.clone(), &actor, &limits)
                .map(|linking| (ticket, linking)),
            Err(full) => Err(full),
        };
        match begun {
            Err(error) if error.is_ours() => Err(error),
            begun => Ok(Some((identity, begun))),
        }
    });
    let (scene, held) = reading.await?;
    let (identity, begun) = held?.ok_or_else(PageFault::request_expired)?;
    let linked = match begun {
        Ok((ticket, linking)) => prove(browser, &ticket, linking, password).await,
        Err(error) => Err(error),
    };
    let Err(error) = linked else {
        return Ok(browser.go_on(request));
    };
    browser.keep();
    let notice = match notice_of(&error).ok_or(error)? {
        Notice::WrongCredentials => Notice::WrongPassword,
        other => other,
    };
    show_held(browser, request, &scene, identity, Some(notice))
}

/// The hash and the second hop.
async fn prove(
    browser: &mut Browser,
    ticket: &Ticket,
    linking: Linking,
    password: SecretString,
) -> Result<(), ApiError> {
    let verdict = ticket.verify(password, linking.stored_hash()).await?;
    let (server, change) = (browser.server(), browser.renew()?);
    let (actor, limits) = (browser.actor.clone(), browser.app.config.limits.clone());
    let finish = move |conn: &mut _| {
        let rules = &server.rules;
        upstream::finish_link(conn, linking, &verdict, &change, &actor, rules, &limits)
    };
    browser.app.db.run(finish).await
}
