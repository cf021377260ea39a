//! Changing an account over HTTP.

use actix_web::{HttpResponse, web};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    app::AppState,
    error::{ApiError, FieldError, Problem},
    http::{Caller, Json, JsonPatch, PatchOf, Tagged},
    precondition::Precondition,
    scope::{AccountWrite, Either, Named, UsersWrite},
    users::{
        Change, Profile, Reach,
        routes::{User, UserRef},
    },
};

/// Another password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current_password": "correct horse battery staple", "new_password": "another long sentence"}))]
pub struct PasswordChange {
    /// The password until now; needed for one's own account.
    #[schema(value_type = Option<String>, format = Password, max_length = 1024)]
    current_password: Option<SecretString>,
    /// At least 8 characters, at most 1,024 bytes, none of the commonly used ones.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    new_password: SecretString,
}

/// Changes an account
///
/// A merge patch (RFC 7396: what is left out stays, null removes) or a JSON Patch (RFC 6902). One's own profile with `account:write`; anyone's
/// within one's own scopes, and also `app_metadata` and `disabled`, with `users:write`. Disabling ends the sessions.
#[utoipa::path(
    patch,
    path = "/v1/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The account's id, or `me`", example = "me")),
    request_body(content(
        (Profile = "application/merge-patch+json"),
        (Profile = "application/json"),
        (JsonPatch = "application/json-patch+json"),
    )),
    security(("bearer" = ["account:write"]), ("bearer" = ["users:write"])),
    responses(
        (status = 200, description = "Changed", body = User, headers(("Content-Location" = String, description = "The account's URI, for `me`"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn update_user(
    app: web::Data<AppState>,
    caller: Caller<Either<AccountWrite, UsersWrite>>,
    path: web::Path<UserRef>,
    precondition: Precondition,
    patch: PatchOf<Profile>,
) -> Result<Tagged<User>, ApiError> {
    let asked = path.into_inner();
    let (owner, reach) = asked.resolve(&caller)?;
    let change = Change {
        patch: patch.0,
        precondition,
        reach,
        administrative: caller.authority().may(UsersWrite::NAME),
    };
    let may_end_sessions = change.patch.members(&["disabled"]).contains("disabled");
    let patch = move |conn: &mut _| super::patch(conn, owner, &change, &caller.actor);
    let account = if may_end_sessions {
        app.run_revoking(patch).await?
    } else {
        app.db.run(patch).await?
    };
    Ok(User::tagged(account, asked))
}

/// Changes a password
///
/// One's own with the current one, anyone's within one's own scopes with `users:write`. Ends all other sessions.
#[utoipa::path(
    put,
    path = "/v1/users/{id}/password",
    tag = "users",
    params(("id" = String, Path, description = "The account's id, or `me`", example = "me")),
    request_body = PasswordChange,
    security(("bearer" = ["account:write"]), ("bearer" = ["users:write"])),
    responses(
        (status = 204, description = "Changed"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many passwords to hash just now", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn replace_password(
    app: web::Data<AppState>,
    caller: Caller<Either<AccountWrite, UsersWrite>>,
    path: web::Path<UserRef>,
    input: Json<PasswordChange>,
) -> Result<HttpResponse, ApiError> {
    let (owner, reach) = path.into_inner().resolve(&caller)?;
    // Also a holder of users:write proves the current password when it is their own: a found laptop is no reset.
    let own = owner == caller.user_id();
    let reach = if own { Reach::Own } else { reach };
    let Json(PasswordChange {
        current_password,
        new_password,
    }) = input;
    let ticket = app.passwords.admit()?;
    let limits = app.config.limits.clone();
    let account = {
        let (reach, limits) = (reach.clone(), limits.clone());
        app.db
            .run(move |conn| super::begin_password_change(conn, owner, &reach, &limits))
            .await?
    };
    if own {
        let current = current_password.ok_or_else(|| {
            let detail = "the current password is needed for one's own account";
            ApiError::invalid(vec![FieldError::new(
                "/current_password",
                "required",
                detail,
            )])
        })?;
        let verdict = ticket
            .verify(current, Some(&account.user.password_hash))
            .await?;
        if !verdict.matches {
            return Err(ApiError::invalid(vec![FieldError::new(
                "/current_password",
                "password",
                "not the current password",
            )]));
        }
    }
    let about = [Some(account.user.email.clone()), account.user.name.clone()]
        .into_iter()
        .flatten()
        .collect();
    let hash = ticket.hash(new_password, about, "/new_password").await?;
    let old = account.user.password_hash;
    app.run_revoking(move |conn| {
        super::finish_password_change(conn, owner, &reach, &old, &hash, &caller.actor, &limits)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
