//! Letting a device in that has no browser (RFC 8628 section 3.3).

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::{
    Browser, PageFault, shown_client,
    sign_in_routes::notice_of,
    view::{self, Notice},
};
use crate::{
    audit::Actor,
    config::LimitsConfig,
    error::ApiError,
    http::Form,
    oauth::{
        Server,
        authorize::Visitor,
        device::{DeviceRow, normal},
    },
    scope::Scopes,
    sessions::throttle::{self, Counters},
};

/// Where the confirmation of one code by one browser is tagged for: only whoever entered a code may decide (`OAU-22`).
const DECISION: &str = "device";

/// What `verification_uri_complete` brings.
#[derive(Debug, Deserialize)]
pub struct CodeQuery {
    user_code: Option<String>,
}

/// Shows the page on which a code is typed; it is not looked up before the person has sent it.
pub async fn show_device(mut browser: Browser, query: web::Query<CodeQuery>) -> HttpResponse {
    let code = query.into_inner().user_code.unwrap_or_default();
    let answered = show(&mut browser, code, None).await;
    browser.answer(answered)
}

async fn show(
    browser: &mut Browser,
    code: String,
    notice: Option<Notice>,
) -> Result<HttpResponse, PageFault> {
    // For its language.
    let visit = browser.visit(|_conn, _visitor| Ok::<_, PageFault>(()));
    visit.await?;
    show_code(browser, code, notice)
}

fn show_code(
    browser: &mut Browser,
    code: String,
    notice: Option<Notice>,
) -> Result<HttpResponse, PageFault> {
    let page = view::DeviceCode {
        frame: browser.frame(),
        hidden: browser.hidden(None)?,
        code,
        notice,
    };
    let status = match notice {
        None => 200,
        Some(Notice::TooManyTries { .. }) => 429,
        Some(_) => 422,
    };
    Ok(browser.show(&page, status, None))
}

/// Shows which device a code is of.
pub async fn enter_device_code(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = enter(&mut browser, form).await;
    browser.answer(answered)
}

async fn enter(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let typed = parameters.get("user_code").unwrap_or_default().to_owned();
    let (server, actor) = (browser.server(), browser.actor.clone());
    let (limits, code) = (browser.app.config.limits.clone(), typed.clone());
    let (visitor, found) = browser
        .visit(move |conn, visitor| {
            let Some(visitor) = visitor else {
                return Ok(Ok(None));
            };
            let owner = visitor.account.user.id;
            match look_up(&server, conn, &code, owner, &actor, &limits) {
                Err(error) if error.is_ours() => Err(PageFault::from(error)),
                found => Ok(found),
            }
        })
        .await?;
    let Some(visitor) = visitor else {
        return Ok(sign_in_first(browser, &typed));
    };
    match found {
        Ok(Some(device)) => confirm(browser, &typed, &visitor, device).await,
        Ok(None) => show_code(browser, typed, Some(Notice::UnknownCode)),
        Err(error) => {
            let notice = notice_of(&error).ok_or(error)?;
            show_code(browser, typed, Some(notice))
        }
    }
}

/// Looks a code up; guesses are counted as passwords are.
fn look_up(
    server: &Server,
    conn: &mut diesel::PgConnection,
    code: &str,
    owner: uuid::Uuid,
    actor: &Actor,
    limits: &LimitsConfig,
) -> Result<Option<DeviceRow>, ApiError> {
    let account = format!("device codes of {owner}");
    let counters = Counters::new(&account, actor.address.as_deref(), false);
    throttle::take(conn, &counters, limits)?;
    let found = server.find_device(conn, code)?;
    if found.is_some() {
        throttle::forgive(conn, &counters, limits)?;
    }
    Ok(found)
}

/// After signing in, the code is shown to be sent again: nobody is led into letting in a device.
fn sign_in_first(browser: &Browser, typed: &str) -> HttpResponse {
    browser.go_to("sign-in", Some(&format!("device:{typed}")))
}

async fn confirm(
    browser: &mut Browser,
    typed: &str,
    visitor: &Visitor,
    device: DeviceRow,
) -> Result<HttpResponse, PageFault> {
    let server = browser.server();
    let client = server
        .find_client(&device.client_id)
        .await
        .ok_or_else(PageFault::unknown_client)?;
    let mut hidden = browser.hidden(None)?;
    hidden.request = Some(tag(browser, visitor, typed)?);
    let asked = Scopes::from_stored(&device.scopes);
    let page = view::DeviceConfirm {
        frame: browser.frame(),
        hidden,
        code: typed.to_owned(),
        client: shown_client(&client, None),
        email: visitor.account.user.email.clone(),
        scopes: asked.for_roles(&visitor.account.scopes).names(),
        origin: view::DeviceOrigin {
            address: device.address,
            agent: device
                .user_agent
                .map(|agent| view::device_words(Some(&agent), browser.language())),
            at: device.created_at,
        },
    };
    Ok(browser.show(&page, 200, None))
}

fn decision(visitor: &Visitor, code: &str) -> String {
    format!("{}\n{}", visitor.page.id, normal(code).unwrap_or_default())
}

fn tag(browser: &Browser, visitor: &Visitor, code: &str) -> Result<String, ApiError> {
    browser.app.tokens.tag(DECISION, &decision(visitor, code))
}

/// Writes down whether the device is let in.
pub async fn decide_device(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = decide(&mut browser, form).await;
    browser.answer(answered)
}

async fn decide(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let typed = parameters.get("user_code").unwrap_or_default().to_owned();
    let tag = parameters.get("request").unwrap_or_default().to_owned();
    let allowed = parameters.get("decision") == Some("allow");
    let (server, actor) = (browser.server(), browser.actor.clone());
    let (tokens, code) = (browser.app.tokens.clone(), typed.clone());
    let (_visitor, decided) = browser
        .visit(move |conn, visitor| {
            let visitor = visitor
                .filter(|visitor| tokens.has_tagged(DECISION, &decision(visitor, &code), &tag))
                .ok_or_else(PageFault::form_expired)?;
            Ok::<_, PageFault>(server.decide_device(conn, &code, allowed, visitor, &actor)?)
        })
        .await?;
    if !decided {
        return show_code(browser, typed, Some(Notice::UnknownCode));
    }
    let outcome = if allowed {
        view::Outcome::Allowed
    } else {
        view::Outcome::Denied
    };
    let page = view::DeviceDone {
        frame: browser.frame(),
        outcome,
    };
    Ok(browser.show(&page, 200, None))
}
