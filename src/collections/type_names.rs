//! What the types of a collection are called in the OpenAPI document, and what they can't be called.

use std::collections::BTreeSet;

use diesel::PgConnection;

use super::store;
use crate::error::{ApiError, Code, FieldError};

/// The types of a collection's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeNames {
    /// A record as it is shown.
    pub record: String,
    /// A document, as it is sent.
    pub new: String,
    /// A merge patch of it.
    pub patch: String,
    /// A page of records.
    pub list: String,
}

impl TypeNames {
    /// Those of a declared type.
    pub fn of(type_name: &str) -> Self {
        Self {
            record: type_name.to_owned(),
            new: format!("New{type_name}"),
            patch: format!("{type_name}Patch"),
            list: format!("{type_name}List"),
        }
    }

    /// As they are compared: generators make modules and files of them that differ by more than their capitals.
    fn folded(&self) -> BTreeSet<String> {
        let all = [&self.record, &self.new, &self.patch, &self.list];
        all.map(|name| name.to_ascii_lowercase()).into()
    }
}

/// The names of the API's own types, but for those with `_`, which no other type has; a test holds them against the document.
pub const OURS: &[&str] = &[
    "AccessClaims",
    "AggregateFigure",
    "Aggregated",
    "Aggregation",
    "Algorithm",
    "AuditEvent",
    "AuthMethod",
    "BatchAction",
    "BatchOperation",
    "BatchOutcome",
    "BatchOutcomes",
    "ChannelAttendant",
    "ChannelHistory",
    "ChannelInput",
    "ChannelPresence",
    "ChannelPublication",
    "ChannelPublished",
    "Client",
    "ClientMetadata",
    "Confirmation",
    "Consent",
    "Declaration",
    "Declared",
    "DeclaredCollection",
    "DeviceCodes",
    "DeviceForm",
    "Document",
    "DryRun",
    "Email",
    "EndReason",
    "EventsTicket",
    "Explanation",
    "FieldError",
    "GivenForm",
    "GrantType",
    "Health",
    "IndexState",
    "Introspection",
    "JsonPatch",
    "JsonPatchStep",
    "Jwk",
    "Jwks",
    "KeySource",
    "KeyState",
    "LogoutForm",
    "NewClient",
    "NewKey",
    "NewRole",
    "NewSession",
    "NewUser",
    "OAuthRefusal",
    "OAuthTokens",
    "OnOwnerDelete",
    "PasswordChange",
    "Problem",
    "Purpose",
    "PushForm",
    "Pushed",
    "Readiness",
    "Record",
    "RecordBatch",
    "RecordChange",
    "RecordChangeKind",
    "RecordChanges",
    "RecordPage",
    "Refresh",
    "RegisteredClient",
    "Role",
    "RoleContent",
    "RuleTexts",
    "Scope",
    "ServerSentEvent",
    "Session",
    "Signing",
    "SigningKey",
    "Timestamp",
    "TokenForm",
    "TokenPair",
    "Transport",
    "User",
    "UserInfo",
    "UserPatch",
    "Version",
];

/// Refuses a type's name of which the API has one of the types already.
pub(super) fn refuse_ours(type_name: &str) -> Result<(), ApiError> {
    let names = TypeNames::of(type_name).folded();
    let ours = OURS
        .iter()
        .find(|name| names.contains(&name.to_ascii_lowercase()));
    let Some(ours) = ours else {
        return Ok(());
    };
    let detail = format!("the API has a type `{ours}` already");
    let fault = FieldError::new("/type_name", "reserved", detail);
    Err(ApiError::invalid(vec![fault]))
}

/// Refuses a type's name of which another collection has one of the types; nobody else declares types meanwhile.
pub(super) fn refuse_taken(
    conn: &mut PgConnection,
    collection: &str,
    type_name: &str,
) -> Result<(), ApiError> {
    store::hold_types(conn)?;
    let names = TypeNames::of(type_name).folded();
    let others = store::type_names(conn)?.into_iter();
    let is_taken = others
        .filter(|(name, _)| name != collection)
        .any(|(_, other)| !TypeNames::of(&other).folded().is_disjoint(&names));
    if is_taken {
        return Err(Code::TypeNameTaken.into());
    }
    Ok(())
}
