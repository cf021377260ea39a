//! What people have allowed apps, and what is to go with an app, over HTTP.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::consents::{self, ConsentRow};
use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Caller, Page},
    precondition::Precondition,
    scope::{AccountRead, AccountWrite, ClientsWrite, Either, UsersRead, UsersWrite},
    timestamp::Timestamp,
    users::routes::UserRef,
};

/// What a person has allowed an app.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "client_id": "shop",
    "client_name": "Shop",
    "scopes": ["openid", "profile"],
    "created_at": "2026-11-24T09:00:00.000Z",
    "updated_at": "2026-11-24T09:00:00.000Z",
}))]
pub struct Consent {
    /// Which app.
    client_id: String,
    /// What it is called; `null` when there is no such app any more.
    client_name: Option<String>,
    /// What it may.
    scopes: Vec<String>,
    /// Since when.
    created_at: Timestamp,
    /// When the person was last asked.
    updated_at: Timestamp,
}

impl Consent {
    fn new(row: ConsentRow, app: &AppState) -> Self {
        let client = app.oauth.registry.find(&row.client_id);
        Self {
            client_name: client.map(|client| client.name().to_owned()),
            client_id: row.client_id,
            scopes: row.scopes,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

/// Lists the apps that somebody has let in
///
/// One's own (`me` is an alias) with `account:read`, anyone's with `users:read`; on one page.
#[utoipa::path(
    get,
    path = "/v1/users/{id}/consents",
    tag = "users",
    params(("id" = String, Path, description = "The account's id, or `me`", example = "me")),
    security(("bearer" = ["account:read"]), ("bearer" = ["users:read"])),
    responses(
        (status = 200, description = "Every app", body = Page<Consent>),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_consents(
    app: web::Data<AppState>,
    caller: Caller<Either<AccountRead, UsersRead>>,
    path: web::Path<UserRef>,
) -> Result<web::Json<Page<Consent>>, ApiError> {
    let (owner, _reach) = path.into_inner().resolve(&caller)?;
    let rows = app
        .db
        .run_again(move |conn| Ok(consents::list(conn, owner)?))
        .await?;
    let items = rows
        .into_iter()
        .map(|row| Consent::new(row, &app))
        .collect();
    Ok(web::Json(Page::whole(items)))
}

/// Takes back what an app was allowed
///
/// Its sessions with the person end. One's own with `account:write`, anyone's within one's own scopes with `users:write`.
#[utoipa::path(
    delete,
    path = "/v1/users/{id}/consents/{client_id}",
    tag = "users",
    params(
        ("id" = String, Path, description = "The account's id, or `me`", example = "me"),
        ("client_id" = String, Path, description = "The app's id; one that is an address in percent-encoding"),
    ),
    security(("bearer" = ["account:write"]), ("bearer" = ["users:write"])),
    responses(
        (status = 204, description = "Taken back"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_consent(
    app: web::Data<AppState>,
    caller: Caller<Either<AccountWrite, UsersWrite>>,
    path: web::Path<(UserRef, String)>,
) -> Result<HttpResponse, ApiError> {
    let (user, client_id) = path.into_inner();
    let (owner, reach) = user.resolve(&caller)?;
    // Slashes stay encoded on their way here.
    let client_id = client_id.replace("%2F", "/").replace("%2f", "/");
    app.run_revoking(move |conn| {
        let account = crate::users::find(conn, owner)?.ok_or_else(ApiError::not_found)?;
        reach.check(&account)?;
        consents::withdraw(conn, owner, &client_id, &caller.actor)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Deletes a client
///
/// What it holds is dead within a second on every replica.
#[utoipa::path(
    delete,
    path = "/v1/clients/{id}",
    tag = "clients",
    params(("id" = String, Path, description = "The client's id", example = "shop")),
    security(("bearer" = ["clients:write"])),
    responses(
        (status = 204, description = "Deleted"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_client(
    app: web::Data<AppState>,
    caller: Caller<ClientsWrite>,
    id: web::Path<String>,
    precondition: Precondition,
) -> Result<HttpResponse, ApiError> {
    let (id, registry) = (id.into_inner(), app.oauth.registry.clone());
    app.run_revoking(move |conn| {
        super::delete_client(conn, &caller.actor, &id, &precondition)?;
        registry.catch_up(conn);
        Ok(())
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
