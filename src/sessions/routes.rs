//! Signing in and refreshing over HTTP.

use actix_web::{HttpResponse, HttpResponseBuilder, http::header, web};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Pair, Wish, refresh, sign_in};
use crate::{
    app::AppState,
    error::{ApiError, Code, Problem},
    http::{Anyone, Cookies, Json, MaybeJson},
    tokens::FIRST_PARTY_CLIENT,
    users::Email,
};

/// Who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.com", "password": "correct horse battery staple"}))]
pub struct NewSession {
    /// The account's address, in any letter case.
    email: Email,
    /// Its password.
    #[schema(value_type = String, format = Password, max_length = 1024)]
    password: SecretString,
    /// Less than everything that the roles allow, separated by spaces.
    #[schema(max_length = 2000, example = "account:read sessions:self")]
    scope: Option<String>,
    /// The API that the access token is for (RFC 8707); left out: this one.
    #[schema(max_length = 500)]
    resource: Option<String>,
    /// How the tokens travel: in the body (`bearer`, when left out), or in cookies that no script can read.
    #[serde(default)]
    #[schema(required = false)]
    transport: Transport,
}

/// How tokens travel to a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// In the body; the client sends them as `Authorization: Bearer`.
    #[default]
    Bearer,
    /// In cookies.
    Cookie,
}

/// What brings the next pair of tokens.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.e30.c2ln"}))]
pub struct Refresh {
    /// The refresh token of the pair before; left out where a cookie brings it.
    #[schema(value_type = Option<String>, max_length = 4096)]
    refresh_token: Option<SecretString>,
    /// Less than the session may do, separated by spaces; the session itself keeps what it has.
    #[schema(max_length = 2000)]
    scope: Option<String>,
    /// The API that the access token is for (RFC 8707); left out: this one.
    #[schema(max_length = 500)]
    resource: Option<String>,
}

/// An access token and the refresh token that brings the next one.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "session_id": "019ab0c8-5a7e-7c3e-9b5e-2f2f6b0e7a11",
    "token_type": "Bearer",
    "access_token": "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln",
    "expires_in": 600,
    "refresh_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.e30.c2ln",
    "refresh_expires_in": 2592000,
    "scope": "account:read account:write sessions:self",
}))]
pub struct TokenPair {
    /// The session that both belong to.
    session_id: Uuid,
    /// How the access token is sent: always `Bearer`.
    token_type: &'static str,
    /// Goes into `Authorization: Bearer …`; left out when a cookie holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// Seconds until the access token expires.
    expires_in: i64,
    /// Goes to `POST /v1/tokens`; left out when a cookie holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Seconds until the refresh token expires.
    refresh_expires_in: i64,
    /// What the access token may do, separated by spaces.
    scope: String,
}

/// Answers a pair of tokens as the client wants it to travel.
fn answer(
    mut response: HttpResponseBuilder,
    pair: Pair,
    transport: Transport,
    cookies: &Cookies,
) -> Result<HttpResponse, ApiError> {
    let mut body = TokenPair {
        session_id: pair.session_id,
        token_type: "Bearer",
        access_token: None,
        expires_in: pair.expires_in,
        refresh_token: None,
        refresh_expires_in: pair.refresh_expires_in,
        scope: pair.scopes.to_string(),
    };
    match transport {
        Transport::Bearer => {
            body.access_token = Some(pair.access_token);
            body.refresh_token = Some(pair.refresh_token);
        }
        Transport::Cookie => cookies.give(
            &mut response,
            (&pair.access_token, pair.expires_in),
            (&pair.refresh_token, pair.refresh_expires_in),
        )?,
    }
    Ok(response.json(body))
}

/// Signs in
///
/// Opens a session and answers its first pair of tokens. Looks at no token. An unknown address, a wrong password and a
/// disabled account give the same answer after the same work; failures make the next try wait. With
/// `"transport": "cookie"` the tokens are in cookies and not in the body; the request then names its `Origin` and carries
/// `X-Tollgate-Request: 1`, as every later one that changes something.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    tag = "sessions",
    request_body = NewSession,
    responses(
        (status = 201, description = "Signed in", body = TokenPair, headers(("Location" = String, description = "The session's URI"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many passwords to check just now", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_session(
    app: web::Data<AppState>,
    anyone: Anyone,
    mut cookies: Cookies,
    input: Json<NewSession>,
) -> Result<HttpResponse, ApiError> {
    let (Anyone(actor), Json(input)) = (anyone, input);
    if input.transport == Transport::Cookie {
        cookies.check()?;
    }
    let wish = Wish::parse(input.scope.as_deref(), input.resource, &app.tokens)?;
    let ticket = app.passwords.admit()?;
    let (limits, rules) = (app.config.limits.clone(), app.session_rules());
    let attempt = {
        let (actor, limits) = (actor.clone(), limits.clone());
        app.db
            .run(move |conn| sign_in::begin(conn, &input.email, &actor, &limits))
            .await?
    };
    let verdict = ticket.verify(input.password, attempt.stored_hash()).await?;
    let pair = app
        .db
        .run(move |conn| sign_in::finish(conn, attempt, &verdict, &wish, &actor, &rules, &limits))
        .await?;
    let location = format!("/v1/sessions/{}", pair.session_id);
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location));
    answer(response, pair, input.transport, &cookies)
}

/// Refreshes
///
/// Answers the next pair of tokens for a refresh token. The same token again answers the same successor, for several
/// tabs and lost answers: within 30 s, and as long as nothing of the new pair was used. Later it ends the session, because
/// then two hold it. Looks at no access token. Without a body the cookie counts, and the next pair is in cookies again.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "tokens",
    request_body = Refresh,
    responses(
        (status = 200, description = "The next pair", body = TokenPair),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_tokens(
    app: web::Data<AppState>,
    anyone: Anyone,
    mut cookies: Cookies,
    input: MaybeJson<Refresh>,
) -> Result<HttpResponse, ApiError> {
    let (Anyone(actor), MaybeJson(input)) = (anyone, input);
    let wish = Wish::parse(input.scope.as_deref(), input.resource, &app.tokens)?;
    let given = input
        .refresh_token
        .as_ref()
        .map(ExposeSecret::expose_secret);
    let transport = match given {
        Some(_) => Transport::Bearer,
        None => Transport::Cookie,
    };
    if transport == Transport::Cookie && cookies.refresh().is_some() {
        cookies.check()?;
    }
    let token = given.or(cookies.refresh()).ok_or_else(refresh::missing)?;
    let refreshed = match app.tokens.verify_refresh(token, app.tokens.now()) {
        // Those of other apps go to `/oauth/token`, where they prove who they are.
        Ok(presented) if presented.client_id != FIRST_PARTY_CLIENT => {
            Err(refresh::refuse_foreign(&app.db, presented, &actor).await)
        }
        Ok(presented) => {
            let rules = app.session_rules();
            refresh::refresh(&app.desk, &app.db, presented, &wish, &rules, &actor).await
        }
        Err(refusal) => Err(refresh::refusal(refusal)),
    };
    let pair = refreshed.map_err(|error| match (transport, error.code) {
        // The cookie is good for nothing any more.
        (Transport::Cookie, Code::InvalidGrant) => cookies.clear_on(error),
        _ => error,
    })?;
    answer(HttpResponse::Ok(), pair, transport, &cookies)
}
