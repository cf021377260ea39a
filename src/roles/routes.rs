//! Roles over HTTP.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{RoleContent, RoleName, RoleRow, Saving};
use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Caller, Idempotency, Json, Page, Tagged},
    idempotency::{self, Answer},
    precondition::Precondition,
    scope::{RolesRead, RolesWrite, Scope},
    timestamp::Timestamp,
};

/// A named set of scopes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "editor",
    "description": "Edits what others wrote",
    "scopes": ["articles:edit", "users:read"],
    "built_in": false,
    "version": 1,
    "created_at": "2026-11-24T09:00:00.000Z",
    "updated_at": "2026-11-24T09:00:00.000Z",
}))]
pub struct Role {
    /// Its name, for ever.
    pub name: String,
    /// What it is for, in words.
    pub description: String,
    /// What it allows; `admin` allows everything, whatever stands here.
    pub scopes: Vec<String>,
    /// Whether Tollgate needs it: `user` and `admin` can't be deleted.
    pub built_in: bool,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl From<RoleRow> for Role {
    fn from(row: RoleRow) -> Self {
        Self {
            name: row.name,
            description: row.description,
            scopes: row.scopes,
            built_in: row.built_in,
            version: row.version,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

impl Role {
    /// A role with the tag of its version.
    pub fn tagged(row: RoleRow) -> Tagged<Self> {
        let version = row.version;
        Tagged::versioned(row.into(), version)
    }

    /// A role that was just made.
    pub fn created(row: RoleRow) -> Tagged<Self> {
        let location = super::location(&row.name);
        Self::tagged(row).created(location)
    }
}

/// A role to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// Its name, for ever.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9_-]{0,62}$", example = "editor")]
    name: RoleName,
    /// What it is for, in words.
    #[serde(default)]
    #[schema(max_length = 500, example = "Edits what others wrote")]
    description: String,
    /// What it allows; any `resource:action`, also those of your own services.
    #[schema(max_items = 200)]
    scopes: Vec<Scope>,
}

/// Lists the roles
///
/// Every role with its scopes, by name, on one page.
#[utoipa::path(
    get,
    path = "/v1/roles",
    tag = "roles",
    security(("bearer" = ["roles:read"])),
    responses(
        (status = 200, description = "Every role", body = Page<Role>),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_roles(
    app: web::Data<AppState>,
    _caller: Caller<RolesRead>,
) -> Result<web::Json<Page<Role>>, ApiError> {
    let rows = app.db.run_again(|conn| Ok(super::list(conn)?)).await?;
    let roles = rows.into_iter().map(Role::from).collect();
    Ok(web::Json(Page::whole(roles)))
}

/// Makes a role
///
/// Its scopes must be within your own: nobody gives what they don't have.
#[utoipa::path(
    post,
    path = "/v1/roles",
    tag = "roles",
    request_body = NewRole,
    security(("bearer" = ["roles:write"])),
    responses(
        (status = 201, description = "Made", body = Role, headers(("Location" = String, description = "The role's URI"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_role(
    app: web::Data<AppState>,
    caller: Caller<RolesWrite>,
    idempotency: Idempotency,
    input: Json<NewRole>,
) -> Result<Tagged<Box<RawValue>>, ApiError> {
    let Json(NewRole {
        name,
        description,
        scopes,
    }) = input;
    let content = RoleContent {
        description,
        scopes,
    };
    let key = idempotency.of(&caller);
    let make = move |conn: &mut _| {
        let (authority, actor) = (caller.authority(), &caller.actor);
        let (row, _made) = super::save(conn, authority, actor, &name, &content, &Saving::New)?;
        let role = Role::from(row);
        Answer::new(super::location(&role.name), role.version, &role)
    };
    let answer = app
        .db
        .run(move |conn| idempotency::once(conn, key.as_ref(), make))
        .await?;
    Ok(answer.into())
}

/// Reads a role
///
/// One role with its scopes.
#[utoipa::path(
    get,
    path = "/v1/roles/{name}",
    tag = "roles",
    params(("name" = String, Path, description = "The role's name", example = "user")),
    security(("bearer" = ["roles:read"])),
    responses(
        (status = 200, description = "The role", body = Role),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_role(
    app: web::Data<AppState>,
    _caller: Caller<RolesRead>,
    name: web::Path<RoleName>,
) -> Result<Tagged<Role>, ApiError> {
    let name = name.into_inner();
    let row = app
        .db
        .run_again(move |conn| Ok(super::find(conn, name.as_ref())?))
        .await?;
    row.map(Role::tagged).ok_or_else(ApiError::not_found)
}

/// Deletes a role
///
/// Only a role that nobody has, and none that is built in.
#[utoipa::path(
    delete,
    path = "/v1/roles/{name}",
    tag = "roles",
    params(("name" = String, Path, description = "The role's name", example = "editor")),
    security(("bearer" = ["roles:write"])),
    responses(
        (status = 204, description = "Deleted"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_role(
    app: web::Data<AppState>,
    caller: Caller<RolesWrite>,
    name: web::Path<RoleName>,
    precondition: Precondition,
) -> Result<HttpResponse, ApiError> {
    let name = name.into_inner();
    app.db
        .run(move |conn| {
            let (authority, actor) = (caller.authority(), &caller.actor);
            super::delete(conn, authority, actor, &name, &precondition)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
