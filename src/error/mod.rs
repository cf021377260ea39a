//! Errors: the only table from an error to its status and body (RFC 9457).

mod code;
mod table;

use std::borrow::Cow;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use serde::Serialize;
use utoipa::ToSchema;

pub use code::Code;
pub use table::Entry;

/// One fault of the input: where (a JSON Pointer, RFC 6901; a query parameter as `/name`), which rule, and in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer to the faulty member; for a query parameter its name after a slash.
    #[schema(example = "/password")]
    pub pointer: String,
    /// The rule that was broken, stable.
    #[schema(example = "minLength")]
    pub code: String,
    /// The same in words.
    pub detail: String,
}

impl FieldError {
    /// Makes a fault at `pointer`.
    pub fn new(pointer: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: shortened(pointer.into()),
            code: code.to_owned(),
            detail: shortened(detail.into()),
        }
    }
}

/// Bytes of what one fault repeats of the input, which may name its members as it likes.
const LONGEST: usize = 1_000;

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

/// An error body, RFC 9457 `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "http://localhost:8080/problems/not-found",
    "title": "There is nothing here",
    "status": 404,
    "detail": "There is nothing here",
    "instance": "019ab0c8-5a7e-7c3e-9b5e-2f2f6b0e7a11",
}))]
pub struct Problem {
    /// A stable URI that documents itself.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    pub kind: String,
    /// One short phrase, the same for every problem of this type.
    pub title: String,
    /// The HTTP status again.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// The request's id, as in `X-Request-Id` and the log.
    pub instance: String,
    /// Every fault of the input, for input errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// The version that the resource has now, when a precondition failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<i64>,
}

/// An error on its way to the caller: its row of the table and what only this case knows.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", code.entry().slug)]
pub struct ApiError {
    /// The row of the table.
    pub code: Code,
    /// What went wrong this time, for the caller.
    pub detail: Cow<'static, str>,
    /// Every fault of the input.
    pub errors: Vec<FieldError>,
    /// Headers that the status asks for, as `www-authenticate`, `retry-after` and `allow`.
    pub headers: Vec<(&'static str, String)>,
    /// The version that the resource has now.
    pub current_version: Option<i64>,
    /// The cause, for the log only.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// Makes an error with a detail of its own.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let unavailable = code.entry().status == 503;
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            headers: unavailable
                .then(|| ("retry-after", "1".to_owned()))
                .into_iter()
                .collect(),
            current_version: None,
            cause: None,
        }
    }

    /// The same error for somebody else whom the same befell; the cause is in the log once.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::new(self.code, self.detail.clone())
    }

    /// What does not exist, or is not the caller's to see.
    pub fn not_found() -> Self {
        Code::NotFound.into()
    }

    /// Faults of the input, all at once.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self::with_errors(Code::ValidationFailed, errors)
    }

    /// An error that points at places of the input.
    pub fn with_errors(code: Code, errors: Vec<FieldError>) -> Self {
        let none = Self::new(code, "");
        none.pointing(errors)
    }

    /// The same error at other places.
    #[must_use]
    pub fn pointing(self, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} faults, see errors", several.len()),
        };
        Self {
            errors,
            detail: detail.into(),
            ..self
        }
    }

    /// The same error of something that is below `place`.
    #[must_use]
    pub fn below(mut self, place: &str) -> Self {
        if self.errors.is_empty() {
            return self;
        }
        let mut errors = std::mem::take(&mut self.errors);
        for fault in &mut errors {
            fault.pointer = format!("{place}{}", fault.pointer);
        }
        self.pointing(errors)
    }

    /// A refused try that may be repeated after `seconds`.
    pub fn too_many_attempts(seconds: u64) -> Self {
        let detail = format!("Too many failed tries; try again in {seconds} s");
        Self::new(Code::TooManyAttempts, detail).header("retry-after", seconds.to_string())
    }

    /// A fault of ours; `cause` goes to the log only.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Code::Internal.into()
        }
    }

    /// A database that does not answer; `cause` goes to the log only.
    pub fn database(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Code::DatabaseUnavailable.into()
        }
    }

    /// Whether something failed on our side, which no page about the try itself can tell.
    pub fn is_ours(&self) -> bool {
        matches!(self.code, Code::Internal | Code::DatabaseUnavailable)
    }

    /// The same error with a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same error with a challenge that says what is wrong with the credentials (RFC 6750 section 3).
    #[must_use]
    pub fn challenge(self, parameters: &str) -> Self {
        self.header(
            "www-authenticate",
            format!("Bearer realm=\"tollgate\"{parameters}"),
        )
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Self::new(code, code.entry().title)
    }
}

impl From<DieselError> for ApiError {
    /// The named constraint decides; whatever means that Postgres can't serve is a 503, never a 404 or a 500.
    fn from(error: DieselError) -> Self {
        let DieselError::DatabaseError(kind, information) = &error else {
            return match error {
                DieselError::BrokenTransactionManager
                | DieselError::RollbackErrorOnCommit { .. } => Self::database(error),
                other => Self::internal(other),
            };
        };
        let constraint = information.constraint_name().unwrap_or_default();
        match (kind, constraint) {
            (DatabaseErrorKind::UniqueViolation, "users_email_key") => Code::EmailTaken.into(),
            (DatabaseErrorKind::UniqueViolation, "clients_pkey") => Code::ClientExists.into(),
            (DatabaseErrorKind::UniqueViolation, "roles_pkey") => Code::RoleExists.into(),
            (DatabaseErrorKind::UniqueViolation, "collections_type_name_key") => {
                Code::TypeNameTaken.into()
            }
            (DatabaseErrorKind::ForeignKeyViolation, "user_roles_role_fkey") => {
                Code::RoleInUse.into()
            }
            // Of a table of records: one that is to be deleted.
            (DatabaseErrorKind::ForeignKeyViolation, name) if is_reference(name) => {
                Code::RecordReferenced.into()
            }
            (
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::ExclusionViolation
                | DatabaseErrorKind::RestrictViolation,
                _,
            ) => Self::internal(error),
            // Somebody else holds what this needs, for longer than it waits.
            (DatabaseErrorKind::Unknown, _) if is_contended(information.message()) => {
                let detail = "Others held what this needs for too long.";
                Self {
                    cause: Some(error.into()),
                    ..Self::new(Code::Overloaded, detail)
                }
            }
            _ => Self::database(error),
        }
    }
}

/// Whether Postgres refused a statement for what was to be written: nothing of it was done, and a part of it may go well all the same.
pub fn is_refusal(error: &DieselError) -> bool {
    let DieselError::DatabaseError(kind, information) = error else {
        return false;
    };
    // Of others than those, and of a server that goes down; diesel knows no kinds of this, either.
    let others = ["canceling", "deadlock", "terminating", "server closed"];
    let message = information.message();
    match kind {
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation
        | DatabaseErrorKind::ExclusionViolation => true,
        DatabaseErrorKind::Unknown => !others.iter().any(|word| message.starts_with(word)),
        _ => false,
    }
}

/// Whether Postgres gave up waiting for others; diesel knows no kinds of this.
fn is_contended(message: &str) -> bool {
    matches!(
        message,
        "deadlock detected" | "canceling statement due to lock timeout"
    )
}

/// Whether a constraint is of records that refer to others: `c<serial>_r<number>_fkey`.
fn is_reference(constraint: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = constraint
        .strip_prefix('c')
        .and_then(|rest| rest.strip_suffix("_fkey"))
        .and_then(|rest| rest.split_once("_r"));
    numbers.is_some_and(|(serial, number)| is_number(serial) && is_number(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_database_is_unavailable_and_never_not_found() {
        let closed = DieselError::DatabaseError(
            DatabaseErrorKind::ClosedConnection,
            Box::new("server closed the connection unexpectedly".to_owned()),
        );
        assert_eq!(ApiError::from(closed).code, Code::DatabaseUnavailable);
    }
}
