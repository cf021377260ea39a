//! Signing in, choosing an account, and giving up, on pages.

use actix_web::{HttpResponse, web};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    Browser, PageFault, find_visitor,
    pending::{self, Scene, Waiting, device_code},
    view::{self, Notice, Who},
};
use crate::{
    config::SignUp,
    error::{ApiError, Code},
    http::Form,
    oauth::{
        Fault, OAuthError, Refusal,
        authorize::{Done, Outcome, Reference},
        hop,
    },
    sessions::sign_in as attempts,
    upstream::Provider,
    users::Email,
};

/// Which request a page is about.
#[derive(Debug, Deserialize)]
pub struct RequestQuery {
    /// What names it.
    pub request: Option<String>,
}

/// Shows the page on which somebody signs in.
pub async fn show_sign_in(mut browser: Browser, query: web::Query<RequestQuery>) -> HttpResponse {
    let answered = show(&mut browser, query.request.as_deref(), None, None).await;
    browser.answer(answered)
}

/// Shows the page, perhaps again, with what became of the last try.
async fn show(
    browser: &mut Browser,
    request: Option<&str>,
    typed: Option<String>,
    notice: Option<Notice>,
) -> Result<HttpResponse, PageFault> {
    let waiting = Waiting::named(&browser.server(), request).await?;
    let scene = Scene::read(browser, waiting.as_ref()).await?;
    if scene.pending.is_none() && scene.visitor.is_some() && notice.is_none() {
        return Ok(browser.go_on(request));
    }
    let mut hidden = browser.hidden(scene.pending.as_ref().map(|pending| &pending.reference))?;
    if scene.pending.is_none() {
        hidden.request = request.map(str::to_owned);
    }
    let upstreams = browser.app.upstreams.clone();
    let page = view::SignIn {
        frame: browser.frame(),
        hidden,
        client: scene.pending.as_ref().map(pending::shown),
        who: who(&scene, typed),
        notice,
        sign_up: browser.app.config.users.sign_up == SignUp::Open,
        upstreams: upstreams.iter().map(shown_upstream).collect(),
    };
    let elsewhere: Vec<_> = upstreams.iter().flat_map(Provider::places).collect();
    let places: Vec<_> = elsewhere.iter().map(String::as_str).collect();
    let places = [scene.place().as_slice(), &places].concat();
    Ok(browser.show_to(&page, status_of(notice), &places))
}

/// Shows the page again, because of something else than what was typed.
pub(super) async fn show_failed(
    browser: &mut Browser,
    request: Option<&str>,
    notice: Notice,
) -> Result<HttpResponse, PageFault> {
    show(browser, request, None, Some(notice)).await
}

/// The status of a page that says what became of a try.
pub(super) fn status_of(notice: Option<Notice>) -> u16 {
    match notice {
        None => 200,
        Some(Notice::TooManyTries { .. }) => 429,
        Some(Notice::Overloaded) => 503,
        Some(_) => 401,
    }
}

fn shown_upstream(provider: &Provider) -> view::Upstream {
    view::Upstream {
        id: provider.config.id.clone(),
        name: provider.config.name.clone(),
    }
}

/// Who probably signs in: who is signed in and has to prove it again, who the client thinks, or who has tried.
fn who(scene: &Scene, typed: Option<String>) -> Who {
    let visitor = scene.visitor.as_ref();
    if let (Some(visitor), None) = (visitor, &typed) {
        return Who::Known {
            email: visitor.account.user.email.clone(),
        };
    }
    let hint = scene
        .pending
        .as_ref()
        .and_then(|pending| pending.authorization.login_hint.clone());
    Who::Anyone {
        email: typed.or(hint).unwrap_or_default(),
    }
}

/// Signs somebody in.
pub async fn sign_in(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = try_sign_in(&mut browser, form).await;
    browser.answer(answered)
}

async fn try_sign_in(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let request = parameters.get("request");
    let typed = parameters.get("email").unwrap_or_default();
    let password = SecretString::from(parameters.get("password").unwrap_or_default());
    let signed_in = match typed.parse::<Email>() {
        Ok(email) => prove(browser, email, password).await,
        Err(_no_address) => Err(Code::InvalidCredentials.into()),
    };
    match signed_in {
        Ok(()) => Ok(browser.go_on(request)),
        Err(error) => match notice_of(&error) {
            Some(notice) => {
                browser.keep();
                show(browser, request, Some(typed.to_owned()), Some(notice)).await
            }
            None => Err(error.into()),
        },
    }
}

/// What the person is told of a refused try; `None` for what is not about their password.
pub(super) fn notice_of(error: &ApiError) -> Option<Notice> {
    let wait = error
        .headers
        .iter()
        .find(|(name, _)| *name == "retry-after")
        .and_then(|(_, seconds)| seconds.parse().ok());
    match error.code {
        Code::InvalidCredentials => Some(Notice::WrongCredentials),
        Code::TooManyAttempts => Some(Notice::TooManyTries {
            seconds: wait.unwrap_or(1),
        }),
        Code::Overloaded => Some(Notice::Overloaded),
        _ => None,
    }
}

/// The same two hops and one hash as `POST /v1/sessions`.
async fn prove(
    browser: &mut Browser,
    email: Email,
    password: SecretString,
) -> Result<(), ApiError> {
    let app = web::Data::clone(&browser.app);
    let ticket = app.passwords.admit()?;
    let (limits, actor) = (app.config.limits.clone(), browser.actor.clone());
    let attempt = {
        let (actor, limits) = (actor.clone(), limits.clone());
        app.db
            .run(move |conn| attempts::begin(conn, &email, &actor, &limits))
            .await?
    };
    let verdict = ticket.verify(password, attempt.stored_hash()).await?;
    let (server, change) = (browser.server(), browser.renew()?);
    app.db
        .run(move |conn| {
            let rules = &server.rules;
            attempts::finish_at_page(conn, attempt, &verdict, &change, &actor, rules, &limits)
        })
        .await?;
    Ok(())
}

/// Goes on with a request, after somebody has signed in for it: their browser comes here by GET, so that it can be sent on
/// in whichever way the client wants (RFC 9700 section 4.12).
pub async fn continue_request(browser: Browser, query: web::Query<RequestQuery>) -> HttpResponse {
    let answered = match Waiting::needed(&browser.server(), query.request.as_deref()).await {
        Ok(waiting) => go_on(&browser, waiting, Done::default()).await,
        Err(fault) => Err(fault),
    };
    browser.answer(answered.map(|outcome| browser.follow(outcome)))
}

/// Shows the page on which somebody says who they are of several.
pub async fn show_account_choice(
    mut browser: Browser,
    query: web::Query<RequestQuery>,
) -> HttpResponse {
    let answered = show_choice(&mut browser, query.request.as_deref()).await;
    browser.answer(answered)
}

async fn show_choice(
    browser: &mut Browser,
    request: Option<&str>,
) -> Result<HttpResponse, PageFault> {
    let waiting = Waiting::needed(&browser.server(), request).await?;
    let scene = Scene::read(browser, Some(&waiting)).await?;
    let Some(visitor) = &scene.visitor else {
        return show(browser, request, None, None).await;
    };
    let user = &visitor.account.user;
    let page = view::SelectAccount {
        frame: browser.frame(),
        hidden: browser.hidden(scene.pending.as_ref().map(|pending| &pending.reference))?,
        client: scene.pending.as_ref().map(pending::shown),
        email: user.email.clone(),
        name: user.name.clone(),
    };
    Ok(browser.show(&page, 200, scene.place()))
}

/// Goes on as the one who is signed in, or asks who else.
pub async fn select_account(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = choose(&mut browser, form).await;
    browser.answer(answered)
}

async fn choose(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let request = parameters.get("request");
    if parameters.get("account") != Some("current") {
        // An empty address: somebody else than who is signed in.
        return show(browser, request, Some(String::new()), None).await;
    }
    let waiting = Waiting::needed(&browser.server(), request).await?;
    let done = Done {
        chosen: true,
        ..Done::default()
    };
    let outcome = go_on(browser, waiting, done).await?;
    Ok(browser.follow(outcome))
}

/// Goes on with a request, as whoever is signed in.
pub(super) async fn go_on(
    browser: &Browser,
    waiting: Waiting,
    done: Done,
) -> Result<Outcome, PageFault> {
    let (server, hash, lifetimes) = (browser.server(), browser.cookie_hash(), browser.lifetimes());
    let actor = browser.actor.clone();
    let outcome = hop(&browser.app.db, move |conn| {
        let visitor = find_visitor(conn, hash.as_deref(), lifetimes).map_err(Refusal::from)?;
        waiting.go_on(&server, conn, visitor.as_ref(), done, &actor)
    })
    .await?;
    Ok(outcome)
}

/// Gives up: the client is told that the person said no.
pub async fn cancel(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = give_up(&mut browser, form).await;
    browser.answer(answered)
}

async fn give_up(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let request = parameters.get("request");
    if request.and_then(device_code).is_some() {
        return Ok(browser.go("/device"));
    }
    deny(browser, request).await
}

/// Tells the client of a request that the person said no.
pub(super) async fn deny(
    browser: &mut Browser,
    request: Option<&str>,
) -> Result<HttpResponse, PageFault> {
    let waiting = Waiting::needed(&browser.server(), request).await?;
    let scene = Scene::read(browser, Some(&waiting)).await?;
    let pending = scene.pending.ok_or_else(PageFault::request_expired)?;
    forget(browser, &pending.reference).await?;
    let error = OAuthError::new(Fault::AccessDenied, "the person said no");
    let target = Box::new(pending.authorization.target);
    Err(PageFault::Client(target, error))
}

async fn forget(browser: &Browser, reference: &Reference) -> Result<(), PageFault> {
    let (server, reference) = (browser.server(), reference.clone());
    let forgotten = browser
        .app
        .db
        .run(move |conn| server.forget(conn, &reference));
    Ok(forgotten.await?)
}
