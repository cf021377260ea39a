//! Signing out (OpenID Connect RP-Initiated Logout).

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Browser, PageFault, place_of,
    view::{self, Back, Target},
};
use crate::{
    error::ApiError,
    form::Parameters,
    http::Form,
    oauth::{OAuthError, authorize::Visitor, logout::SigningOut},
};

/// What an app may say that sends somebody here to sign out.
#[derive(Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[schema(example = json!({"client_id": "shop", "post_logout_redirect_uri": "https://shop.example.com/"}))]
#[expect(dead_code, reason = "the document shows it; `Parameters` reads it")]
pub struct LogoutForm {
    /// An ID token of the app, however old: with it nobody is asked.
    id_token_hint: Option<String>,
    /// The app.
    client_id: Option<String>,
    /// Where the person goes then, exactly as registered.
    post_logout_redirect_uri: Option<String>,
    /// What comes back as it is.
    state: Option<String>,
    /// The languages of the page.
    ui_locales: Option<String>,
}

/// What the form of our own page passes along.
const PASSED: [&str; 5] = [
    "id_token_hint",
    "client_id",
    "post_logout_redirect_uri",
    "state",
    "ui_locales",
];

/// Signs out
///
/// For browsers: ends the session at our pages and those of the apps that it let in, and goes back to the app. Without a good
/// `id_token_hint` the person is asked first.
#[utoipa::path(
    get,
    path = "/oauth/logout",
    tag = "oauth",
    params(LogoutForm),
    responses(
        (status = 303, description = "Signed out, and on", headers(("Location" = String, description = "Where"))),
        (status = 200, description = "A page that asks"),
        (status = "4XX", description = "A page that says what is wrong"),
    ),
)]
pub async fn logout(mut browser: Browser, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    let answered = match parameters {
        Ok(parameters) => sign_out(&mut browser, parameters, false).await,
        Err(unreadable) => Err(OAuthError::from(unreadable).into()),
    };
    browser.answer(answered)
}

/// Signs out, by POST
///
/// The same with the parameters in a form, also that of our own page.
#[utoipa::path(
    post,
    path = "/oauth/logout",
    tag = "oauth",
    operation_id = "post_logout",
    request_body(content = LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "Signed out, and on", headers(("Location" = String, description = "Where"))),
        (status = 200, description = "A page that asks"),
        (status = "4XX", description = "A page that says what is wrong"),
    ),
)]
pub async fn post_logout(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = read_and_sign_out(&mut browser, form).await;
    browser.answer(answered)
}

async fn read_and_sign_out(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let Form(bytes) = form?;
    let parameters = Parameters::parse(&bytes).map_err(OAuthError::from)?;
    // A form without a tag comes from an app, and counts no more than a link.
    let is_confirmed = parameters.get("csrf").is_some();
    if is_confirmed {
        browser.read(Ok(Form(bytes)))?;
    }
    sign_out(browser, parameters, is_confirmed).await
}

async fn sign_out(
    browser: &mut Browser,
    parameters: Parameters,
    is_confirmed: bool,
) -> Result<HttpResponse, PageFault> {
    let server = browser.server();
    browser.speak(parameters.get("ui_locales"));
    let signing_out = server.read_logout(&parameters).await?;
    let (tokens, actor, asked) = (
        browser.app.tokens.clone(),
        browser.actor.clone(),
        signing_out.clone(),
    );
    let (visitor, is_done) = browser
        .visit(move |conn, visitor| {
            if !is_confirmed && !asked.is_certain(visitor) {
                return Ok(false);
            }
            asked.sign_out(conn, visitor, &actor)?;
            tokens.catch_up(conn);
            Ok::<_, PageFault>(true)
        })
        .await?;
    browser.speak(parameters.get("ui_locales"));
    if !is_done {
        return ask(browser, &parameters, &signing_out, visitor.as_ref()).await;
    }
    browser.forget();
    match signing_out.then {
        Some(then) if signing_out.is_vouched_for => return Ok(browser.go(&then)),
        Some(then) => {
            let back = Target::parse(&then).map(|target| Back {
                client_name: place_of(&then),
                target,
            });
            let frame = browser.frame();
            return Ok(browser.show(&view::SignedOut { frame, back }, 200, None));
        }
        None => {}
    }
    let told = [
        ("client_id", signing_out.client_id.as_deref()),
        ("ui_locales", browser.asked()),
    ];
    Ok(browser.go_with("signed-out", &told))
}

async fn ask(
    browser: &mut Browser,
    parameters: &Parameters,
    signing_out: &SigningOut,
    visitor: Option<&Visitor>,
) -> Result<HttpResponse, PageFault> {
    let client = match &signing_out.client_id {
        Some(id) => browser.server().find_client(id).await,
        None => None,
    };
    let page = view::SignOut {
        frame: browser.frame(),
        csrf: browser.csrf()?,
        email: visitor.map(|visitor| visitor.account.user.email.clone()),
        client_name: client.map(|client| client.name().to_owned()),
        fields: PASSED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), parameters.get(name)?.to_owned())))
            .collect(),
    };
    Ok(browser.show(&page, 200, signing_out.then.as_deref()))
}

/// Which app somebody has signed out from, and in which languages.
#[derive(Debug, Deserialize)]
pub struct SignedOutQuery {
    client_id: Option<String>,
    ui_locales: Option<String>,
}

/// Says that somebody is signed out.
pub async fn show_signed_out(
    mut browser: Browser,
    query: web::Query<SignedOutQuery>,
) -> HttpResponse {
    let answered = say(&mut browser, query.into_inner()).await;
    browser.answer(answered)
}

async fn say(browser: &mut Browser, query: SignedOutQuery) -> Result<HttpResponse, PageFault> {
    browser.speak(query.ui_locales.as_deref());
    let client = match &query.client_id {
        Some(id) => browser.server().find_client(id).await,
        None => None,
    };
    let back = client.and_then(|client| {
        Some(Back {
            client_name: client.name().to_owned(),
            target: Target::parse(client.metadata.client_uri.as_deref()?)?,
        })
    });
    let page = view::SignedOut {
        frame: browser.frame(),
        back,
    };
    Ok(browser.show(&page, 200, None))
}
