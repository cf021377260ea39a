//! Clients: the apps that ask for tokens, what they have registered and how they prove who they are.

mod kinds;
mod metadata;
mod registry;
pub mod routes;
mod store;
mod uri;

use diesel::{PgConnection, QueryResult};
use serde_json::json;

pub use kinds::{AuthMethod, GrantType, Signing};
pub use metadata::{Metadata, PRIVILEGED};
pub use registry::Registry;
pub use store::ClientRow;
pub use uri::{check_redirect, same_redirect};

use crate::{
    audit::{Action, Actor, Event},
    db,
    error::{ApiError, Code, FieldError},
    precondition::Precondition,
    revocation::{self, Revocation},
    scope::{Authority, Scopes},
    tokens::{FIRST_PARTY_CLIENT, PAGES_CLIENT},
};

/// How a client came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An administrator made it.
    Managed,
    /// It registered itself (RFC 7591).
    Registered,
    /// It is the document that its id names (Client ID Metadata Document).
    Document,
}

impl Kind {
    /// The stored name; documents are not stored.
    const fn name(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::Registered => "registered",
            Self::Document => "document",
        }
    }
}

/// An app that asks for tokens.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// How it came to us.
    pub kind: Kind,
    /// What it registered.
    pub metadata: Metadata,
    /// The hash of its secret, when it has one.
    pub secret_hash: Option<Vec<u8>>,
}

impl Client {
    /// The client that a document describes; `None` when it can't be one.
    pub fn document(id: &str, metadata: Metadata) -> Option<Self> {
        let kind = Kind::Document;
        metadata.faults(kind).is_empty().then(|| Self {
            id: id.to_owned(),
            kind,
            metadata,
            secret_hash: None,
        })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        self.metadata.client_name.as_deref().unwrap_or(&self.id)
    }

    /// Whether it can't keep a secret (RFC 6749 section 2.1).
    pub fn is_public(&self) -> bool {
        self.metadata.token_endpoint_auth_method == AuthMethod::None
    }

    /// Whether it may use a grant.
    pub fn may(&self, grant: GrantType) -> bool {
        self.metadata.grant_types.contains(&grant)
    }

    /// Whether people are asked before it gets anything: all but our own apps, which an administrator has named so.
    pub fn needs_consent(&self) -> bool {
        !(self.metadata.first_party && self.kind == Kind::Managed)
    }

    /// What it may ask for.
    pub fn scopes(&self) -> Scopes {
        let scope = self.metadata.scope.as_deref().unwrap_or_default();
        Scopes::from_stored(scope.split(' '))
    }

    /// Whether it may ask for tokens for this API, which is configured.
    pub fn may_address(&self, audience: &str) -> bool {
        let audiences = self.metadata.audiences.as_ref();
        audiences.is_none_or(|audiences| audiences.iter().any(|one| one == audience))
    }

    /// Whether it is this API, and may know what tokens for it are worth.
    pub fn is_resource(&self, audience: &str) -> bool {
        self.id == audience || self.metadata.resources.iter().any(|one| one == audience)
    }
}

/// How a client may be saved.
#[derive(Clone, Debug)]
pub enum Saving {
    /// Only where there is none of this id.
    New,
    /// Only in place of one, under a condition.
    Replace(Precondition),
}

/// A client to save.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its `client_id`.
    pub id: String,
    /// How it comes to us.
    pub kind: Kind,
    /// What it is to be.
    pub metadata: Metadata,
    /// The hash of another secret; `None` leaves it as it is.
    pub secret_hash: Option<Vec<u8>>,
    /// The hash of another token with which it manages itself.
    pub registration_hash: Option<Vec<u8>>,
}

/// Makes a client, or changes it.
///
/// # Errors
/// 409 for an id that is taken, 404, 412, 422 for what it can't be, 403 for scopes that are above the caller's own.
pub fn save(
    conn: &mut PgConnection,
    authority: &Authority,
    actor: &Actor,
    draft: &Draft,
    saving: &Saving,
) -> Result<ClientRow, ApiError> {
    check(draft)?;
    let scope = draft.metadata.scope.as_deref().unwrap_or_default();
    let own = Scopes::from_stored(scope.split(' ')).without_identity();
    // A client that acts for itself may do what it is registered for, and of one of our own nobody asks its user; any other
    // may only what its user has and has seen.
    let acts_alone = draft
        .metadata
        .grant_types
        .contains(&GrantType::ClientCredentials);
    let is_trusted = draft.kind == Kind::Managed && draft.metadata.first_party;
    if (acts_alone || is_trusted) && !authority.covers(&own, &[]) {
        return Err(Code::AboveOwnScopes.into());
    }
    db::tx(conn, |conn| {
        store::count_change(conn)?;
        let (row, action) = match saving {
            Saving::New => {
                if revocation::is_client_revoked(conn, &draft.id)? {
                    // Its tokens would be refused, too.
                    let detail = "a client of this id was deleted just now; the id is free again when its tokens have run out";
                    return Err(ApiError::new(Code::ClientExists, detail));
                }
                (store::insert(conn, draft)?, Action::ClientCreated)
            }
            Saving::Replace(precondition) => {
                let stored = find(conn, &draft.id)?.ok_or_else(ApiError::not_found)?;
                precondition.check(Some(stored.version))?;
                (store::update(conn, draft)?, Action::ClientUpdated)
            }
        };
        record(conn, action, actor, &draft.id)?;
        Ok(row)
    })
}

/// Deletes a client; what it holds is dead.
///
/// # Errors
/// 404, 412.
pub fn delete(
    conn: &mut PgConnection,
    actor: &Actor,
    id: &str,
    precondition: &Precondition,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        store::count_change(conn)?;
        let stored = find(conn, id)?.ok_or_else(ApiError::not_found)?;
        precondition.check(Some(stored.version))?;
        store::delete(conn, id)?;
        revocation::revoke(conn, &[Revocation::Client(id.to_owned())])?;
        record(conn, Action::ClientDeleted, actor, id)
    })
}

/// Begins a change: every other one waits until the caller's transaction ends, and then replicas look what has changed.
///
/// # Errors
/// Postgres.
pub fn begin_change(conn: &mut PgConnection) -> QueryResult<()> {
    store::count_change(conn)
}

/// Finds a client.
///
/// # Errors
/// Postgres.
pub fn find(conn: &mut PgConnection, id: &str) -> QueryResult<Option<ClientRow>> {
    if is_id(id) {
        store::find(conn, id)
    } else {
        Ok(None)
    }
}

/// Lists every client by id.
///
/// # Errors
/// Postgres.
pub fn list(conn: &mut PgConnection) -> QueryResult<Vec<ClientRow>> {
    store::list(conn)
}

/// How many clients have registered themselves.
///
/// # Errors
/// Postgres.
pub fn count_registered(conn: &mut PgConnection) -> QueryResult<i64> {
    store::count_registered(conn)
}

/// Those of these clients that want to be told when a session of theirs ends, with where.
///
/// # Errors
/// Postgres.
pub fn find_told_of_logout(conn: &mut PgConnection, ids: &[String]) -> QueryResult<Vec<String>> {
    store::with_logout_uri(conn, ids)
}

fn record(
    conn: &mut PgConnection,
    action: Action,
    actor: &Actor,
    id: &str,
) -> Result<(), ApiError> {
    let details = json!({"client_id": id});
    Event {
        actor,
        action,
        subject_id: None,
        details,
    }
    .record(conn)?;
    Ok(())
}

/// Characters of the longest `client_id`.
const LONGEST_ID: usize = 200;

/// Whether a text can be the id of a stored client.
fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(plain)
}

/// Names under which sessions without a registered client are opened.
const RESERVED: [&str; 2] = [FIRST_PARTY_CLIENT, PAGES_CLIENT];

fn check(draft: &Draft) -> Result<(), ApiError> {
    let mut faults = draft.metadata.faults(draft.kind);
    let id = &draft.id;
    if !is_id(id) || RESERVED.contains(&id.as_str()) {
        let detail = "1 to 200 of letters, digits, `.`, `_`, `~` and `-`, and not one of our own";
        faults.push(FieldError::new("/client_id", "format", detail));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(faults))
    }
}
