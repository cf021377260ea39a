//! Roles over HTTP, as far as changing them ends what was given to those who have them.

use actix_web::{HttpResponse, http::header, web};

use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Caller, Json},
    roles::{Change, RoleContent, RoleName, routes::Role},
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
    input: Json<RoleContent>,
) -> Result<HttpResponse, ApiError> {
    let (name, Json(content)) = (name.into_inner(), input);
    let (row, change) = app
        .run_revoking(move |conn| {
            super::redefine_role(conn, caller.authority(), &caller.actor, &name, &content)
        })
        .await?;
    let role = Role::from(row);
    Ok(match change {
        Change::Created => HttpResponse::Created()
            .insert_header((header::LOCATION, format!("/v1/roles/{}", role.name)))
            .json(role),
        _ => HttpResponse::Ok().json(role),
    })
}
