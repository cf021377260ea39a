//! Who did what, when and from where: one row in the transaction of every change.

pub mod routes;
mod store;

use diesel::{PgConnection, QueryResult};
use serde_json::Value;
use uuid::Uuid;

pub use store::{erase_person, insertion, record};

/// Who acts, and from where.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// The signed-in user.
    pub user_id: Option<Uuid>,
    /// Their session.
    pub session_id: Option<Uuid>,
    /// The app they use.
    pub client_id: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
    /// What the app calls itself.
    pub user_agent: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

impl Actor {
    /// The server itself, by the clock.
    pub fn clock() -> Self {
        Self {
            client_id: Some("clock".to_owned()),
            ..Self::default()
        }
    }

    /// The operator at the command line.
    pub fn operator() -> Self {
        Self {
            client_id: Some("command-line".to_owned()),
            ..Self::default()
        }
    }
}

/// What was done; the name is stored and filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// An account was made.
    UserCreated,
    /// An account was changed.
    UserUpdated,
    /// An account was disabled.
    UserDisabled,
    /// An account was enabled again.
    UserEnabled,
    /// An account was erased.
    UserDeleted,
    /// A password was changed.
    PasswordChanged,
    /// A role was given.
    RoleGiven,
    /// A role was taken away.
    RoleTaken,
    /// A role was made.
    RoleCreated,
    /// A role was changed.
    RoleUpdated,
    /// A role was deleted.
    RoleDeleted,
    /// Somebody signed in.
    SessionCreated,
    /// Somebody failed to sign in.
    SessionRefused,
    /// A refresh token was refused that can't be one of an honest client.
    RefreshRefused,
    /// A refresh token that had been used was answered again, to another address or app.
    RefreshRepeated,
    /// A session ended.
    SessionEnded,
    /// A signing key was made and published.
    KeyCreated,
    /// A signing key began to sign.
    KeyActivated,
    /// A signing key that nothing is configured for any more stopped to sign.
    KeyRetiring,
    /// A signing key ended in its time.
    KeyRetired,
    /// A signing key was retired at once, and what it had signed with it.
    KeyRevoked,
    /// A signing key was sealed with another master key.
    KeyResealed,
    /// An app was registered.
    ClientCreated,
    /// An app was changed.
    ClientUpdated,
    /// An app was deleted.
    ClientDeleted,
    /// An app failed to prove who it is.
    ClientRefused,
    /// A person let an app do something.
    ConsentGiven,
    /// A person, or a clock, took that back.
    ConsentWithdrawn,
    /// An access token was revoked by the app that had it.
    TokenRevoked,
    /// An app exchanged a token for one of its own.
    TokenExchanged,
    /// A code was presented a second time.
    CodeReused,
    /// Another provider's account was linked.
    IdentityLinked,
    /// A collection was declared.
    CollectionCreated,
    /// A collection was declared anew.
    CollectionUpdated,
    /// A collection was deleted with its records.
    CollectionDeleted,
}

impl Action {
    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserCreated => "user.created",
            Self::UserUpdated => "user.updated",
            Self::UserDisabled => "user.disabled",
            Self::UserEnabled => "user.enabled",
            Self::UserDeleted => "user.deleted",
            Self::PasswordChanged => "user.password_changed",
            Self::RoleGiven => "user.role_given",
            Self::RoleTaken => "user.role_taken",
            Self::RoleCreated => "role.created",
            Self::RoleUpdated => "role.updated",
            Self::RoleDeleted => "role.deleted",
            Self::SessionCreated => "session.created",
            Self::SessionRefused => "session.refused",
            Self::RefreshRefused => "session.refresh_refused",
            Self::RefreshRepeated => "session.refresh_repeated",
            Self::SessionEnded => "session.ended",
            Self::KeyCreated => "key.created",
            Self::KeyActivated => "key.activated",
            Self::KeyRetiring => "key.retiring",
            Self::KeyRetired => "key.retired",
            Self::KeyRevoked => "key.revoked",
            Self::KeyResealed => "key.resealed",
            Self::ClientCreated => "client.created",
            Self::ClientUpdated => "client.updated",
            Self::ClientDeleted => "client.deleted",
            Self::ClientRefused => "client.refused",
            Self::ConsentGiven => "consent.given",
            Self::ConsentWithdrawn => "consent.withdrawn",
            Self::TokenRevoked => "token.revoked",
            Self::TokenExchanged => "token.exchanged",
            Self::CodeReused => "code.reused",
            Self::IdentityLinked => "user.identity_linked",
            Self::CollectionCreated => "collection.created",
            Self::CollectionUpdated => "collection.updated",
            Self::CollectionDeleted => "collection.deleted",
        }
    }
}

/// One thing that was done.
#[derive(Debug)]
pub struct Event<'a> {
    /// Who did it.
    pub actor: &'a Actor,
    /// What was done.
    pub action: Action,
    /// Whose account it was done to.
    pub subject_id: Option<Uuid>,
    /// More, as a JSON object; never a secret, never an address for mail.
    pub details: Value,
}

impl Event<'_> {
    /// Writes the row; the caller's transaction decides whether it stays.
    ///
    /// # Errors
    /// Postgres.
    pub fn record(self, conn: &mut PgConnection) -> QueryResult<()> {
        record(conn, &self)
    }
}
