//! The audit log over HTTP.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::store::{self, EventRow, Filter};
use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Caller, Page, PageQuery, Pager, Query},
    scope::AuditRead,
    timestamp::Timestamp,
};

/// One thing that was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEvent {
    /// Its id; ids grow with time.
    pub id: Uuid,
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    #[schema(example = "session.created")]
    pub action: String,
    /// Who did it; null when nobody was signed in.
    pub actor_id: Option<Uuid>,
    /// Whose account it was done to.
    pub subject_id: Option<Uuid>,
    /// In which session.
    pub session_id: Option<Uuid>,
    /// With which app.
    pub client_id: Option<String>,
    /// From which address.
    pub address: Option<String>,
    /// What the app called itself.
    pub user_agent: Option<String>,
    /// The request's id, as in the log.
    pub request_id: Option<String>,
    /// More about it.
    #[schema(value_type = std::collections::HashMap<String, serde_json::Value>)]
    pub details: serde_json::Value,
}

impl From<EventRow> for AuditEvent {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.id,
            at: row.at.into(),
            action: row.action,
            actor_id: row.actor_id,
            subject_id: row.subject_id,
            session_id: row.session_id,
            client_id: row.client_id,
            address: row.address,
            user_agent: row.user_agent,
            request_id: row.request_id,
            details: row.details,
        }
    }
}

/// What a listing is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only this action.
    #[param(example = "session.refused")]
    action: Option<String>,
    /// Only what this user did.
    actor_id: Option<Uuid>,
    /// Only what was done to this user's account.
    subject_id: Option<Uuid>,
    /// Items of a page: 50 when left out, at most 200 (more is clamped).
    #[param(minimum = 1, example = 50)]
    limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the page before, with the same other parameters.
    cursor: Option<String>,
}

/// Lists audit events
///
/// Who did what, when and from where, newest first.
#[utoipa::path(
    get,
    path = "/v1/audit-events",
    tag = "audit",
    params(AuditQuery),
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "A page of events", body = Page<AuditEvent>, headers(
            ("Link" = String, description = "The next page (RFC 8288)"),
        )),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_audit_events(
    app: web::Data<AppState>,
    caller: Caller<AuditRead>,
    query: Query<AuditQuery>,
) -> Result<HttpResponse, ApiError> {
    let Query(query) = query;
    let filters = [
        ("action", query.action.clone()),
        ("actor_id", query.actor_id.map(|id| id.to_string())),
        ("subject_id", query.subject_id.map(|id| id.to_string())),
    ];
    let list = format!("audit-events {} {filters:?}", caller.user_id());
    let page_query = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let pager = Pager::new(list, &page_query, &app.tokens.keyring())?;
    let window = pager.window();
    let filter = Filter {
        action: query.action,
        actor_id: query.actor_id,
        subject_id: query.subject_id,
    };
    let rows = app
        .db
        .run_again(move |conn| Ok(store::list_any_owner(conn, &filter, window)?))
        .await?;
    let page: Page<AuditEvent> = pager.page(rows, |row| row.id, &app.tokens.keyring())?;
    Ok(page.respond("/v1/audit-events", &filters))
}
