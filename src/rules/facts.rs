//! What an expression is evaluated on.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use uuid::Uuid;

use super::tree::Fault;

/// Who asks, what is sent, and when.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The claims of the token, an object; one without `sub` for the anonymous.
    pub auth: &'a Json,
    /// The document that is to be stored, where one is.
    pub input: Option<&'a Json>,
    /// The time of the request; the language knows it to the millisecond.
    pub now: DateTime<Utc>,
}

/// How well a token is known before it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claims {
    /// These are its claims.
    All,
    /// It may have others.
    Some,
}

/// A record as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its id.
    pub id: Uuid,
    /// To whom it belongs.
    pub owner: Option<Uuid>,
    /// How often it was written.
    pub version: i64,
    /// When it was written first.
    pub created_at: DateTime<Utc>,
    /// When it was written last.
    pub updated_at: DateTime<Utc>,
    /// The document, an object.
    pub data: &'a Json,
}

/// What an expression came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It could not be told, which grants nothing.
    Error(Fault),
}

impl From<Result<bool, Fault>> for Verdict {
    fn from(result: Result<bool, Fault>) -> Self {
        match result {
            Ok(true) => Self::True,
            Ok(false) => Self::False,
            Err(fault) => Self::Error(fault),
        }
    }
}
