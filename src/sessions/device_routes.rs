//! Devices over HTTP: seeing and ending sessions.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{EndReason, SessionRow};
use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Caller, Cookies, Page, PageQuery, Pager, Query, Tagged},
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
    "ended_at": null,
    "end_reason": null,
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
    /// When it was last refreshed or used at this API, to the minute.
    last_seen_at: Timestamp,
    /// When it ends by itself if it is not refreshed.
    expires_at: Timestamp,
    /// When it ended; `null` while it is alive.
    ended_at: Option<Timestamp>,
    /// Why it ended; `null` while it is alive.
    end_reason: Option<EndReason>,
}

/// A row, the session that looks at it, and when.
struct Seen(SessionRow, Uuid, DateTime<Utc>);

impl From<Seen> for Session {
    fn from(Seen(row, current, now): Seen) -> Self {
        let expired = (row.refresh_exp <= now).then_some((row.refresh_exp, EndReason::Expired));
        let stored = row
            .ended_at
            .zip(row.end_reason.as_deref().and_then(EndReason::from_name));
        let end = stored.or(expired);
        Self {
            ended_at: end.map(|(at, _)| at.into()),
            end_reason: end.map(|(_, reason)| reason),
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

/// Which sessions are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// Those that are alive.
    #[default]
    Live,
    /// Those that ended within the last 90 days, with the reason.
    Ended,
}

/// What a listing is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SessionQuery {
    /// `live` when left out, or `ended`.
    #[serde(default)]
    #[param(inline, example = "ended")]
    state: SessionState,
    /// Items of a page: 50 when left out, at most 200 (more is clamped).
    #[param(minimum = 1, example = 50)]
    limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the page before, with the same other parameters.
    cursor: Option<String>,
}

/// Lists my devices
///
/// One's own sessions, newest first: those that are alive, or with `state=ended` those that are not, and why.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "sessions",
    params(SessionQuery),
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
    query: Query<SessionQuery>,
) -> Result<HttpResponse, ApiError> {
    let (owner, current) = (caller.user_id(), caller.session_id());
    let Query(SessionQuery {
        state,
        limit,
        cursor,
    }) = query;
    let page_query = PageQuery { limit, cursor };
    let list = format!("sessions {owner} {state:?}");
    let pager = Pager::new(list, &page_query, &app.tokens.keyring())?;
    let (window, alive) = (pager.window(), state == SessionState::Live);
    let rows = app
        .db
        .run_again(move |conn| Ok(super::list(conn, owner, alive, window)?))
        .await?;
    let now = app.tokens.now();
    let seen = rows
        .into_iter()
        .map(|row| Seen(row, current, now))
        .collect();
    let page: Page<Session> = pager.page(seen, |Seen(row, ..)| row.id, &app.tokens.keyring())?;
    let filter = (!alive).then(|| "ended".to_owned());
    Ok(page.respond("/v1/sessions", &[("state", filter)]))
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
/// One of one's own (`current` is an alias) with `sessions:self`, anyone's with `sessions:write`; also one that has ended, for
/// 90 days, with the reason.
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
) -> Result<Tagged<Session>, ApiError> {
    let (id, owner) = path.into_inner().resolve(&caller);
    let row = app
        .db
        .run_again(move |conn| Ok(super::find(conn, owner, id)?))
        .await?;
    row.map(|row| Tagged::hashed(Seen(row, caller.session_id(), app.tokens.now()).into()))
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
    cookies: Cookies,
    path: web::Path<SessionRef>,
) -> Result<HttpResponse, ApiError> {
    let (id, owner) = path.into_inner().resolve(&caller);
    let is_own = id == caller.session_id();
    app.run_revoking(move |conn| super::end(conn, owner, id, caller.authority(), &caller.actor))
        .await?;
    let mut response = HttpResponse::NoContent();
    if is_own {
        cookies.clear(&mut response);
    }
    Ok(response.finish())
}
