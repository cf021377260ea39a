//! Profiles: what of an account can be changed, and by whom.

use std::collections::BTreeSet;

use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Account, Reach, keep_an_administrator, locked, store};
use crate::{
    audit::{Action, Actor, Event},
    error::{ApiError, Code, FieldError},
    patch::Patch,
    precondition::Precondition,
};

/// Bytes of an account's larger metadata, as JSON.
const MAX_METADATA: usize = 16_384;

/// What of an account can be changed; also the schema of a merge patch (RFC 7396): left out stays, null removes.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserPatch, example = json!({"name": "Ada", "user_metadata": {"theme": "dark"}}))]
pub struct Profile {
    /// What the person is called.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// The person's language (BCP 47).
    #[schema(
        pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        max_length = 35,
        example = "en"
    )]
    pub locale: Option<String>,
    /// What the account's owner stores; at most 16 KiB.
    #[schema(value_type = HashMap<String, Value>, required = false)]
    pub user_metadata: Value,
    /// What administrators store (`users:write`); at most 16 KiB.
    #[schema(value_type = HashMap<String, Value>, required = false)]
    pub app_metadata: Value,
    /// Whether the account may not sign in (`users:write`); disabling ends its sessions.
    #[schema(required = false)]
    pub disabled: bool,
}

const MEMBERS: &[&str] = &[
    "name",
    "locale",
    "user_metadata",
    "app_metadata",
    "disabled",
];

/// Members of a profile that only holders of `users:write` may change.
const ADMINISTRATIVE: [&str; 2] = ["app_metadata", "disabled"];

/// What changes an account: the patch, the state that it was made for, and how far it may reach.
pub struct Change {
    /// What is to be different.
    pub patch: Patch,
    /// The state that the client has seen.
    pub precondition: Precondition,
    /// By which right the account is reached.
    pub reach: Reach,
    /// Whether also `app_metadata` and `disabled` may be changed.
    pub administrative: bool,
}

/// Changes a profile, inside the caller's transaction.
///
/// # Errors
/// 404, 403 for members or accounts above the caller, 412, 413 for too much metadata, 409 for the last administrator or a
/// failed test, 422.
pub fn patch(
    conn: &mut PgConnection,
    owner: Uuid,
    change: &Change,
    actor: &Actor,
) -> Result<Account, ApiError> {
    let members = change.patch.members(MEMBERS);
    if !change.administrative {
        check_members(&members)?;
    }
    let account = locked(conn, owner)?;
    change.reach.check(&account)?;
    change.precondition.check(Some(account.user.version))?;
    let before = &account.user;
    let mut document = json!(Profile {
        name: before.name.clone(),
        locale: before.locale.clone(),
        user_metadata: before.user_metadata.clone(),
        app_metadata: before.app_metadata.clone(),
        disabled: before.disabled,
    });
    change.patch.apply(&mut document)?;
    let profile: Profile = serde_path_to_error::deserialize(document).map_err(|error| {
        let pointer = match error.path().to_string().as_str() {
            "." => String::new(),
            member => format!("/{member}"),
        };
        let detail = error.into_inner().to_string();
        ApiError::invalid(vec![FieldError::new(pointer, "type", detail)])
    })?;
    for metadata in [&profile.user_metadata, &profile.app_metadata] {
        if metadata.to_string().len() > MAX_METADATA {
            return Err(ApiError::new(
                Code::PayloadTooLarge,
                format!("Metadata has at most {MAX_METADATA} bytes"),
            ));
        }
    }
    if profile.disabled && !before.disabled {
        keep_an_administrator(conn, &account)?;
    }
    let action = match (before.disabled, profile.disabled) {
        (false, true) => Action::UserDisabled,
        (true, false) => Action::UserEnabled,
        _ => Action::UserUpdated,
    };
    let user = store::update_profile(conn, owner, &profile)?;
    if action == Action::UserDisabled {
        super::revoke_tokens(conn, owner)?;
    }
    Event {
        actor,
        action,
        subject_id: Some(owner),
        details: json!({"members": members}),
    }
    .record(conn)?;
    Ok(Account { user, ..account })
}

/// Refuses a patch that touches what only administrators may change.
fn check_members(members: &BTreeSet<String>) -> Result<(), ApiError> {
    let errors: Vec<_> = ADMINISTRATIVE
        .iter()
        .filter(|name| members.contains(**name))
        .map(|name| {
            FieldError::new(
                format!("/{name}"),
                "forbidden",
                "only holders of users:write may change it",
            )
        })
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::with_errors(Code::MemberForbidden, errors))
    }
}
