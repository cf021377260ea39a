//! The authorization endpoint, which browsers visit (RFC 6749 section 3.1).

use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Browser, PageFault};
use crate::{
    error::ApiError,
    form::Parameters,
    http::Form,
    oauth::{OAuthError, forms::PushForm, hop},
};

/// What a request may say; unknown parameters are ignored.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document shows it; `Parameters` reads it")]
pub struct AuthorizeQuery {
    /// Who asks.
    client_id: String,
    /// `code`.
    response_type: Option<String>,
    /// Where the answer goes, exactly as registered.
    redirect_uri: Option<String>,
    /// What is asked for, separated by spaces.
    scope: Option<String>,
    /// What comes back as it is.
    state: Option<String>,
    /// What the ID token repeats.
    nonce: Option<String>,
    /// The SHA-256 of the verifier, in base64url (RFC 7636).
    code_challenge: Option<String>,
    /// `S256`.
    code_challenge_method: Option<String>,
    /// `query` or `form_post`.
    response_mode: Option<String>,
    /// `none`, or several of `login`, `consent` and `select_account`.
    prompt: Option<String>,
    /// Seconds after which who somebody is has to be proved again.
    max_age: Option<i64>,
    /// Who probably signs in.
    login_hint: Option<String>,
    /// Who has to be signed in.
    id_token_hint: Option<String>,
    /// Claims by name, as JSON (OpenID Connect Core section 5.5).
    claims: Option<String>,
    /// The API that the tokens are for (RFC 8707).
    resource: Option<String>,
    /// The languages of the pages.
    ui_locales: Option<String>,
    /// How strongly somebody should prove who they are.
    acr_values: Option<String>,
    /// The thumbprint of the key that the code is bound to (RFC 9449).
    dpop_jkt: Option<String>,
    /// What `/oauth/par` answered; then only `client_id` stands beside it.
    request_uri: Option<String>,
}

/// Asks for authorization
///
/// For browsers: answers with a redirect to the client that brings `code`, `state` and `iss`, or to the pages on which somebody signs in
/// and consents. A client or an address that is not known is told to the person alone.
#[utoipa::path(
    get,
    path = "/oauth/authorize",
    tag = "oauth",
    params(AuthorizeQuery),
    responses(
        (status = 303, description = "On to the client, or to a page of ours", headers(("Location" = String, description = "Where"))),
        (status = 200, description = "With `response_mode=form_post`: a form for the client"),
        (status = "4XX", description = "A page that says what is wrong"),
    ),
)]
pub async fn authorize(browser: Browser, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    begin(browser, parameters.map_err(OAuthError::from), true).await
}

/// Asks for authorization, by POST
///
/// The same with the parameters in a form (OpenID Connect Core section 3.1.2.1).
#[utoipa::path(
    post,
    path = "/oauth/authorize",
    tag = "oauth",
    operation_id = "post_authorize",
    request_body(content = PushForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "On to the client, or to a page of ours", headers(("Location" = String, description = "Where"))),
        (status = 200, description = "With `response_mode=form_post`: a form for the client"),
        (status = "4XX", description = "A page that says what is wrong"),
    ),
)]
pub async fn post_authorize(browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let parameters = match form {
        Ok(Form(bytes)) => Parameters::parse(&bytes).map_err(OAuthError::from),
        Err(error) => Err(error.into()),
    };
    // The cookie does not come with a form of another site (`SameSite=Lax`), it does with the visit that follows.
    let is_complete = browser.cookie_hash().is_some();
    begin(browser, parameters, is_complete).await
}

async fn begin(
    mut browser: Browser,
    parameters: Result<Parameters, OAuthError>,
    is_complete: bool,
) -> HttpResponse {
    let answered = match parameters {
        Ok(parameters) => decide(&mut browser, parameters, is_complete).await,
        Err(error) => Err(error.into()),
    };
    browser.answer(answered)
}

async fn decide(
    browser: &mut Browser,
    parameters: Parameters,
    is_complete: bool,
) -> Result<HttpResponse, PageFault> {
    let server = browser.server();
    browser.speak(parameters.get("ui_locales"));
    let id = parameters
        .get("client_id")
        .ok_or_else(|| OAuthError::missing("client_id"))?;
    let client = server
        .find_client(id)
        .await
        .ok_or_else(PageFault::unknown_client)?;
    if !is_complete {
        let db = &browser.app.db;
        let reference = hop(db, move |conn| server.park(conn, &client, &parameters)).await?;
        return Ok(browser.go_to("continue", Some(&reference.to_string())));
    }
    let (actor, asked) = (
        browser.actor.clone(),
        parameters.get("ui_locales").map(str::to_owned),
    );
    let (_visitor, outcome) = browser
        .visit(move |conn, visitor| server.begin(conn, &client, &parameters, visitor, &actor))
        .await?;
    browser.speak(asked.as_deref());
    Ok(browser.follow(outcome))
}
