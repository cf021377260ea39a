//! Signing in and refreshing over HTTP.

use actix_web::{HttpResponse, http::header, web};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Pair, Wish, refresh, sign_in};
use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Anyone, Json},
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
}

/// What brings the next pair of tokens.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.e30.c2ln"}))]
pub struct Refresh {
    /// The refresh token of the pair before.
    #[schema(value_type = String, max_length = 4096)]
    refresh_token: SecretString,
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
    /// Goes into `Authorization: Bearer …`.
    access_token: String,
    /// Seconds until the access token expires.
    expires_in: i64,
    /// Goes to `POST /v1/tokens`.
    refresh_token: String,
    /// Seconds until the refresh token expires.
    refresh_expires_in: i64,
    /// What the access token may do, separated by spaces.
    scope: String,
}

impl From<Pair> for TokenPair {
    fn from(pair: Pair) -> Self {
        Self {
            session_id: pair.session_id,
            token_type: "Bearer",
            access_token: pair.access_token,
            expires_in: pair.expires_in,
            refresh_token: pair.refresh_token,
            refresh_expires_in: pair.refresh_expires_in,
            scope: pair.scopes.to_string(),
        }
    }
}

/// Signs in
///
/// Opens a session and answers its first pair of tokens. Looks at no token. An unknown address, a wrong password and a
/// disabled account give the same answer after the same work; failures make the next try wait.
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
    input: Json<NewSession>,
) -> Result<HttpResponse, ApiError> {
    let (Anyone(actor), Json(input)) = (anyone, input);
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
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(TokenPair::from(pair)))
}

/// Refreshes
///
/// Answers the next pair of tokens for a refresh token. The same token again answers the same successor, for several
/// tabs and lost answers: within 30 s, and as long as nothing of the new pair was used. Later it ends the session, because
/// then two hold it. Looks at no access token.
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
    input: Json<Refresh>,
) -> Result<web::Json<TokenPair>, ApiError> {
    let (Anyone(actor), Json(input)) = (anyone, input);
    let wish = Wish::parse(input.scope.as_deref(), input.resource, &app.tokens)?;
    let presented = app
        .tokens
        .verify_refresh(input.refresh_token.expose_secret(), app.tokens.now())
        .map_err(refresh::refusal)?;
    let rules = app.session_rules();
    let pair = refresh::refresh(&app.desk, &app.db, presented, &wish, &rules, &actor).await?;
    Ok(web::Json(pair.into()))
}
