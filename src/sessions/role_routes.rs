//! Roles over HTTP, as far as changing them ends what was given to those who have them.

use actix_web::web;

use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Caller, Json, Tagged},
    precondition::Precondition,
    roles::{Change, RoleContent, RoleName, Saving, routes::Role},
    scope::RolesWrite,
};

/// Replaces or makes a role
///
/// Neither its old nor its new scopes may exceed your own. The access tokens of those who
/// have it die within a second, so what they may do changes at once: they refresh.
#[utoipa::path(
    put,
    path = "/v1/roles/{name}",
    tag = "roles",
    params(("name" = String, Path, description = "The role's name", example = "editor")),
    request_body = RoleContent,
    security(("bearer" = ["roles:write"])),
    responses(
        (status = 200, description = "Replaced", body = Role),
        (status = 201, description = "Made", body = Role, headers(("Location" = String, description = "The role's URI"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn replace_role(
    app: web::Data<AppState>,
    caller: Caller<RolesWrite>,
    name: web::Path<RoleName>,
    precondition: Precondition,
    input: Json<RoleContent>,
) -> Result<Tagged<Role>, ApiError> {
    let (name, Json(content)) = (name.into_inner(), input);
    let saving = Saving::Replace(precondition);
    let (row, change) = app
        .run_revoking(move |conn| {
            let (authority, actor) = (caller.authority(), &caller.actor);
            super::redefine_role(conn, authority, actor, &name, &content, &saving)
        })
        .await?;
    Ok(match change {
        Change::Created => Role::created(row),
        _ => Role::tagged(row),
    })
}
