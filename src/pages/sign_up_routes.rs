//! Signing up on a page.

use actix_web::{HttpResponse, web};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Browser, PageFault,
    pending::{self, Scene, Waiting},
    sign_in_routes::RequestQuery,
    view::{self, FieldProblem, Notice},
};
use crate::{
    config::SignUp,
    db,
    error::{ApiError, Code},
    form::Parameters,
    http::Form,
    sessions,
    users::{self, Email, NewUser},
};

/// Characters of the longest name.
const LONGEST_NAME: usize = 200;

/// What was typed, and what is wrong with it.
#[derive(Default)]
struct Typed {
    name: String,
    email: String,
    name_problem: Option<FieldProblem>,
    email_problem: Option<FieldProblem>,
    password_problem: Option<FieldProblem>,
    notice: Option<Notice>,
}

impl Typed {
    fn is_wrong(&self) -> bool {
        self.name_problem.is_some()
            || self.email_problem.is_some()
            || self.password_problem.is_some()
            || self.notice.is_some()
    }
}

/// Shows the page on which somebody makes an account.
pub async fn show_sign_up(mut browser: Browser, query: web::Query<RequestQuery>) -> HttpResponse {
    let answered = show(&mut browser, query.request.as_deref(), Typed::default()).await;
    browser.answer(answered)
}

async fn show(
    browser: &mut Browser,
    request: Option<&str>,
    typed: Typed,
) -> Result<HttpResponse, PageFault> {
    check_open(browser)?;
    let waiting = Waiting::named(&browser.server(), request).await?;
    let scene = Scene::read(browser, waiting.as_ref()).await?;
    show_scene(browser, request, &scene, typed)
}

fn show_scene(
    browser: &mut Browser,
    request: Option<&str>,
    scene: &Scene,
    typed: Typed,
) -> Result<HttpResponse, PageFault> {
    let status = if typed.is_wrong() { 422 } else { 200 };
    let mut hidden = browser.hidden(scene.pending.as_ref().map(|pending| &pending.reference))?;
    if scene.pending.is_none() {
        hidden.request = request.map(str::to_owned);
    }
    let page = view::SignUp {
        frame: browser.frame(),
        hidden,
        client: scene.pending.as_ref().map(pending::shown),
        name: typed.name,
        email: typed.email,
        name_problem: typed.name_problem,
        email_problem: typed.email_problem,
        password_problem: typed.password_problem,
        notice: typed.notice,
    };
    Ok(browser.show(&page, status, scene.place()))
}

fn check_open(browser: &Browser) -> Result<(), PageFault> {
    match browser.app.config.users.sign_up {
        SignUp::Open => Ok(()),
        SignUp::Closed => Err(ApiError::not_found().into()),
    }
}

/// Makes an account, and signs its owner in.
pub async fn sign_up(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = try_sign_up(&mut browser, form).await;
    browser.answer(answered)
}

async fn try_sign_up(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    check_open(browser)?;
    let parameters = browser.read(form)?;
    let request = parameters.get("request");
    let (mut typed, new) = read(&parameters);
    let Some(new) = new else {
        return show(browser, request, typed).await;
    };
    let waiting = Waiting::named(&browser.server(), request).await?;
    let hash = hash(browser, &new).await;
    let (server, change, actor) = (browser.server(), browser.renew()?, browser.actor.clone());
    let making = Scene::read_and(browser, waiting.as_ref(), move |conn, _pending| {
        let hash = hash?;
        db::tx::<_, ApiError>(conn, |conn| {
            let account = users::create(conn, &actor, &new, &hash, false)?;
            sessions::open_page(conn, &account, &change, &actor, &server.rules)?;
            Ok(())
        })
    })
    .await;
    if !matches!(making, Ok((_, Ok(())))) {
        browser.keep();
    }
    let (scene, made) = making?;
    let Err(error) = made else {
        return Ok(browser.go_on(request));
    };
    match error.code {
        Code::EmailTaken => typed.email_problem = Some(FieldProblem::Taken),
        Code::Overloaded => typed.notice = Some(Notice::Overloaded),
        Code::ValidationFailed => {
            let code = error.errors.first().map(|fault| fault.code.as_str());
            let problem = FieldProblem::of_code(code.unwrap_or_default());
            typed.password_problem = Some(problem);
        }
        _ => return Err(error.into()),
    }
    show_scene(browser, request, &scene, typed)
}

async fn hash(browser: &Browser, new: &NewUser) -> Result<String, ApiError> {
    let about = [Some(new.email.to_string()), new.name.clone()]
        .into_iter()
        .flatten()
        .collect();
    let password = SecretString::from(new.password.expose_secret());
    let ticket = browser.app.passwords.admit()?;
    ticket.hash(password, about, "/password").await
}

fn read(parameters: &Parameters) -> (Typed, Option<NewUser>) {
    let text = |name| parameters.get(name).unwrap_or_default().trim().to_owned();
    let mut typed = Typed {
        name: text("name"),
        email: text("email"),
        ..Typed::default()
    };
    let password = parameters.get("password").unwrap_or_default();
    if typed.name.chars().count() > LONGEST_NAME {
        typed.name_problem = Some(FieldProblem::TooLong);
    }
    let email = typed.email.parse::<Email>();
    if email.is_err() {
        let is_empty = typed.email.is_empty();
        let problem = if is_empty {
            FieldProblem::Missing
        } else {
            FieldProblem::NotAnAddress
        };
        typed.email_problem = Some(problem);
    }
    if password.is_empty() {
        typed.password_problem = Some(FieldProblem::Missing);
    }
    let new = email
        .ok()
        .filter(|_| !typed.is_wrong())
        .map(|email| NewUser {
            email,
            password: SecretString::from(password),
            name: Some(typed.name.clone()).filter(|name| !name.is_empty()),
            locale: None,
        });
    (typed, new)
}
