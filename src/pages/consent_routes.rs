//! Saying what an app may.

use actix_web::{HttpResponse, web};

use super::{
    Browser, PageFault,
    pending::{self, Scene, Waiting},
    place_of,
    sign_in_routes::{RequestQuery, deny, go_on},
    view,
};
use crate::{error::ApiError, http::Form, oauth::authorize::Done};

/// Shows what an app asks for.
pub async fn show_consent(mut browser: Browser, query: web::Query<RequestQuery>) -> HttpResponse {
    let answered = show(&mut browser, query.request.as_deref()).await;
    browser.answer(answered)
}

async fn show(browser: &mut Browser, request: Option<&str>) -> Result<HttpResponse, PageFault> {
    let waiting = Waiting::needed(&browser.server(), request).await?;
    let scene = Scene::read(browser, Some(&waiting)).await?;
    let pending = scene
        .pending
        .as_ref()
        .ok_or_else(PageFault::request_expired)?;
    let Some(visitor) = &scene.visitor else {
        return Ok(browser.go_to("sign-in", request));
    };
    let authorization = &pending.authorization;
    let page = view::Consent {
        frame: browser.frame(),
        hidden: browser.hidden(Some(&pending.reference))?,
        client: pending::shown(pending),
        email: visitor.account.user.email.clone(),
        scopes: authorization
            .scopes
            .for_roles(&visitor.account.scopes)
            .names(),
        resource: authorization.resource.clone(),
        redirect_host: place_of(&authorization.target.redirect_uri),
    };
    Ok(browser.show(&page, 200, scene.place()))
}

/// Writes down what the person has decided, and tells the app.
pub async fn decide_consent(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = decide(&mut browser, form).await;
    browser.answer(answered)
}

async fn decide(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let request = parameters.get("request");
    if parameters.get("decision") != Some("allow") {
        return deny(browser, request).await;
    }
    let waiting = Waiting::needed(&browser.server(), request).await?;
    let done = Done {
        chosen: true,
        allowed: true,
    };
    let outcome = go_on(browser, waiting, done).await?;
    Ok(browser.follow(outcome))
}
