//! Devices over HTTP: seeing and ending sessions.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{EndReason, SessionRow};
use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Caller, Page, PageQuery, Pager, Query},
    scope::{Either, SessionsSelf, SessionsWrite},
    timestamp::Timestamp,
};

/// A signed-in device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019ab0c8-5a7e-7c3e-9b5e-2f2f6b0e7a11",
    "user_id": "019ab0c8-5a7e-7c3e-9b5e-2f2f6b0e7a10",
    "client_id": "tollgate",
    "scope": "account:read account:write sessions:self",
    "current": true,
    "user_agent": "Mozilla/5.0",
    "address": "192.0.2.1",
    "acr": "1",
    "amr": ["pwd"],
    "auth_time": "2026-11-24T09:00:00.000Z",
    "created_at": "2026-11-24T09:00:00.000Z",
    "last_seen_at": "2026-11-24T09:00:00.000Z",
    "expires_at": "2026-12-24T09:00:00.000Z",
}))]
pub struct Session {
    /// Its id, the `sid` of its tokens.
    id: Uuid,
    /// Whose it is.
    user_id: Uuid,
    /// The app that signed in.
    client_id: String,
    /// What its tokens may do at most, separated by spaces.
    scope: String,
    /// Whether the presented token belongs to it.
    current: bool,
    /// What the app called itself.
    user_agent: Option<String>,
    /// Where it signed in from.
    address: Option<String>,
    /// How strongly the user proved who they are.
    acr: String,
    /// By which means they did (RFC 8176).
    amr: Vec<String>,
    /// When they did.
    auth_time: Timestamp,
    /// When it was made.
    created_at: Timestamp,
    /// When it was last refreshed.
    last_seen_at: Timestamp,
    /// When it ends by itself if it is not refreshed.
    expires_at: Timestamp,
}

/// A row and the session that looks at it.
struct Seen(SessionRow, Uuid);

impl From<Seen> for Session {
    fn from(Seen(row, current): Seen) -> Self {
        Self {
            current: row.id == current,
            id: row.id,
            user_id: row.user_id,
            client_id: row.client_id,
            scope: row.scopes.join(" "),
            user_agent: row.user_agent,
            address: row.address,
            acr: row.acr,
            amr: row.amr,
            auth_time: row.auth_time.into(),
            created_at: row.created_at.into(),
            last_seen_at: row.last_seen_at.into(),
            expires_at: row.refresh_exp.into(),
        }
    }
}

/// A session in a URI: an id, or `current` for the presented token's.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum SessionRef {
    /// The presented token's.
    Current,
    /// The one with this id.
    Id(Uuid),
}

impl TryFrom<String> for SessionRef {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, uuid::Error> {
        match text.as_str() {
            "current" => Ok(Self::Current),
            id => id.parse().map(Self::Id),
        }
    }
}

impl SessionRef {
    /// Finds which session is meant, and the owner that it must have unless the caller sees everyone's.
    fn resolve(self, caller: &Caller<Either<SessionsSelf, SessionsWrite>>) -> (Uuid, Option<Uuid>) {
        let id = match self {
            Self::Current => caller.session_id(),
            Self::Id(id) => id,
        };
        (
            id,
            (!caller.authority().may("sessions:write")).then(|| caller.user_id()),
        )
    }
}

/// Lists my devices
///
/// One's own live sessions, newest first.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "sessions",
    params(PageQuery),
    security(("bearer" = ["sessions:self"])),
    responses(
        (status = 200, description = "A page of sessions", body = Page<Session>, headers(
            ("Link" = String, description = "The next page (RFC 8288)"),
        )),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_sessions(
    app: web::Data<AppState>,
    caller: Caller<SessionsSelf>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let (owner, current) = (caller.user_id(), caller.session_id());
    let pager = Pager::new(format!("sessions {owner}"), &query.0, &app.tokens.keyring())?;
    let window = pager.window();
    let rows = app
        .db
        .run(move |conn| Ok(super::list(conn, owner, window)?))
        .await?;
    let seen = rows.into_iter().map(|row| Seen(row, current)).collect();
    let page: Page<Session> = pager.page(seen, |Seen(row, _)| row.id, &app.tokens.keyring())?;
    Ok(page.respond("/v1/sessions", &[]))
}

/// Signs out everywhere else
///
/// Ends all of one's own sessions but the presented token's.
#[utoipa::path(
    delete,
    path = "/v1/sessions",
    tag = "sessions",
    security(("bearer" = ["sessions:self"])),
    responses(
        (status = 204, description = "Signed out everywhere else"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_other_sessions(
    app: web::Data<AppState>,
    caller: Caller<SessionsSelf>,
) -> Result<HttpResponse, ApiError> {
    let (owner, current) = (caller.user_id(), caller.session_id());
    app.run_revoking(move |conn| {
        super::end_others(
            conn,
            owner,
            Some(current),
            EndReason::SignedOut,
            &caller.actor,
        )
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Reads a session
///
/// One of one's own (`current` is an alias) with `sessions:self`, anyone's with `sessions:write`.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "The session's id, or `current`", example = "current")),
    security(("bearer" = ["sessions:self"]), ("bearer" = ["sessions:write"])),
    responses(
        (status = 200, description = "The session", body = Session),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_session(
    app: web::Data<AppState>,
    caller: Caller<Either<SessionsSelf, SessionsWrite>>,
    path: web::Path<SessionRef>,
) -> Result<web::Json<Session>, ApiError> {
    let (id, owner) = path.into_inner().resolve(&caller);
    let row = app
        .db
        .run(move |conn| Ok(super::find(conn, owner, id)?))
        .await?;
    row.map(|row| web::Json(Seen(row, caller.session_id()).into()))
        .ok_or_else(ApiError::not_found)
}

/// Signs out
///
/// Ends a session: its refresh token is dead at once, its access tokens within a second on every replica. One's own (`current` is an alias) with `sessions:self`, anyone's
/// within one's own scopes with `sessions:write`.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "The session's id, or `current`", example = "current")),
    security(("bearer" = ["sessions:self"]), ("bearer" = ["sessions:write"])),
    responses(
        (status = 204, description = "Signed out"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_session(
    app: web::Data<AppState>,
    caller: Caller<Either<SessionsSelf, SessionsWrite>>,
    path: web::Path<SessionRef>,
) -> Result<HttpResponse, ApiError> {
    let (id, owner) = path.into_inner().resolve(&caller);
    app.run_revoking(move |conn| super::end(conn, owner, id, caller.authority(), &caller.actor))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
