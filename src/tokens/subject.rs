//! For whom a token speaks.

use aws_lc_rs::digest;
use serde::Serialize;
use uuid::Uuid;

/// The `sub` of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Subject {
    /// A user.
    User(Uuid),
    /// A client that acts for itself (RFC 9068 section 2.2).
    Client(String),
}

impl Subject {
    /// Reads a `sub`: a token with a session speaks for a user, one without for its own client.
    pub(super) fn read(text: String, has_session: bool, client_id: &str) -> Option<Self> {
        match has_session {
            true => text.parse().ok().map(Self::User),
            false => (text == client_id).then_some(Self::Client(text)),
        }
    }

    /// An id that no other subject has: no user is called like a client.
    pub fn id(&self) -> Uuid {
        match self {
            Self::User(id) => *id,
            Self::Client(client_id) => {
                let hash = digest::digest(&digest::SHA256, client_id.as_bytes());
                let bytes = hash.as_ref().first_chunk().copied().unwrap_or_default();
                Uuid::new_v8(bytes)
            }
        }
    }

    /// The user, when it is one.
    pub fn user(&self) -> Option<Uuid> {
        match self {
            Self::User(id) => Some(*id),
            Self::Client(_) => None,
        }
    }
}
