//! Signing in, choosing an account, and giving up, on pages.

use actix_web::{HttpResponse, web};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    Browser, PageFault,
    pending::{self, Scene, Waiting, device_code},
    view::{self, Notice, Who},
};
use crate::{
    config::SignUp,
    error::{ApiError, Code},
    http::Form,
    oauth::{
        Fault, OAuthError,
        authorize::{Done, Outcome},
    },
    sessions::sign_in::{self as attempts, Attempt},
    upstream::Provider,
    users::{Email, Ticket},
};

/// Which request a page is about.
#[derive(Debug, Deserialize)]
pub struct RequestQuery {
    /// What names it.
    pub request: Option<String>,
}

/// The same, and whether something failed before.
#[derive(Debug, Deserialize)]
pub struct SignInQuery {
    request: Option<String>,
    failed: Option<String>,
}

/// Shows the page on which somebody signs in.
pub async fn show_sign_in(mut browser: Browser, query: web::Query<SignInQuery>) -> HttpResponse {
    let notice = query.failed.as_ref().map(|_at| Notice::UpstreamFailed);
    let answered = show(&mut browser, query.request.as_deref(), None, notice).await;
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
    show_scene(browser, request, &scene, typed, notice)
}

fn show_scene(
    browser: &mut Browser,
    request: Option<&str>,
    scene: &Scene,
    typed: Option<String>,
    notice: Option<Notice>,
) -> Result<HttpResponse, PageFault> {
    let mut hidden = browser.hidden(scene.pending.as_ref().map(|pending| &pending.reference))?;
    if scene.pending.is_none() {
        hidden.request = request.map(str::to_owned);
    }
    let upstreams = browser.app.upstreams.clone();
    let page = view::SignIn {
        frame: browser.frame(),
        hidden,
        client: scene.pending.as_ref().map(pending::shown),
        who: who(scene, typed),
        notice,
        sign_up: browser.app.config.users.sign_up == SignUp::Open,
        upstreams: upstreams.iter().map(shown_upstream).collect(),
    };
    let elsewhere: Vec<_> = upstreams.iter().flat_map(Provider::places).collect();
    let places: Vec<_> = elsewhere.iter().map(String::as_str).collect();
    let places = [scene.place().as_slice(), &places].concat();
    Ok(browser.show_to(&page, status_of(notice), &places))
}

/// Goes to the page, which says that somebody could not sign in at a provider.
pub(super) fn go_failed(browser: &Browser, request: Option<&str>) -> HttpResponse {
    browser.go_with(
        "sign-in",
        &[("request", request), ("failed", Some("upstream"))],
    )
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
    let waiting = Waiting::named(&browser.server(), request).await?;
    let app = web::Data::clone(&browser.app);
    let (actor, limits) = (browser.actor.clone(), app.config.limits.clone());
    let (email, ticket) = (typed.parse::<Email>(), app.passwords.admit());
    let (scene, begun) = Scene::read_and(browser, waiting.as_ref(), move |conn, _pending| {
        let email = email.map_err(|_no_address| Code::InvalidCredentials)?;
        // Nobody's failure is that we are busy.
        let ticket = ticket?;
        let attempt = attempts::begin(conn, &email, &actor, &limits)?;
        Ok((ticket, attempt))
    })
    .await?;
    let signed_in = match begun {
        Ok((ticket, attempt)) => prove(browser, &ticket, attempt, password).await,
        Err(error) => Err(error),
    };
    let Err(error) = signed_in else {
        return Ok(browser.go_on(request));
    };
    browser.keep();
    let notice = notice_of(&error).ok_or(error)?;
    let typed = Some(typed.to_owned());
    show_scene(browser, request, &scene, typed, Some(notice))
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

/// The hash and the second hop of `POST /v1/sessions`.
async fn prove(
    browser: &mut Browser,
    ticket: &Ticket,
    attempt: Attempt,
    password: SecretString,
) -> Result<(), ApiError> {
    let verdict = ticket.verify(password, attempt.stored_hash()).await?;
    let (server, change) = (browser.server(), browser.renew()?);
    let (actor, limits) = (browser.actor.clone(), browser.app.config.limits.clone());
    let finish = move |conn: &mut _| {
        let rules = &server.rules;
        attempts::finish_at_page(conn, attempt, &verdict, &change, &actor, rules, &limits)
    };
    browser.app.db.run(finish).await?;
    Ok(())
}

/// Goes on with a request, after somebody has signed in for it: their browser comes here by GET, so that it can be sent on
/// in whichever way the client wants (RFC 9700 section 4.12).
pub async fn continue_request(
    mut browser: Browser,
    query: web::Query<RequestQuery>,
) -> HttpResponse {
    let answered = match Waiting::needed(&browser.server(), query.request.as_deref()).await {
        Ok(waiting) => go_on(&mut browser, waiting, Done::default()).await,
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
        return show_scene(browser, request, &scene, None, None);
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
    browser: &mut Browser,
    waiting: Waiting,
    done: Done,
) -> Result<Outcome, PageFault> {
    let (server, actor) = (browser.server(), browser.actor.clone());
    let (_visitor, outcome) = browser
        .visit(move |conn, visitor| waiting.go_on(&server, conn, visitor, done, &actor))
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
    let (server, waiting) = (
        browser.server(),
        Waiting::needed(&browser.server(), request).await?,
    );
    let (_visitor, target) = browser
        .visit(move |conn, _visitor| {
            let pending = waiting.find(&server, conn)?;
            server.forget(conn, &pending.reference)?;
            Ok::<_, PageFault>(pending.authorization.target)
        })
        .await?;
    // Who asks has stood on our page.
    let error = OAuthError::new(Fault::AccessDenied, "the person said no");
    Ok(browser.bring(&target.refuse(&error)))
}
