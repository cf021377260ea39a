//! The table of clients.

use chrono::{DateTime, Utc};
use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use serde_json::{Value, json};

use super::{Client, Draft, Kind, Metadata};
use crate::{
    db,
    error::ApiError,
    schema::{client_changes, clients},
};

/// One stored client.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = clients)]
pub struct ClientRow {
    /// Its `client_id`.
    pub id: String,
    kind: String,
    metadata: Value,
    secret_hash: Option<Vec<u8>>,
    /// The hash of the token with which it manages itself.
    pub registration_hash: Option<Vec<u8>>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl ClientRow {
    /// The client that the row tells of.
    ///
    /// # Errors
    /// 500 for a damaged row.
    pub fn client(&self) -> Result<Client, ApiError> {
        Ok(Client {
            id: self.id.clone(),
            kind: match self.kind.as_str() {
                "managed" => Kind::Managed,
                _ => Kind::Registered,
            },
            metadata: Metadata::from_stored(self.metadata.clone()).map_err(ApiError::internal)?,
            secret_hash: self.secret_hash.clone(),
        })
    }
}

/// Counts a change and lets no other begin until the caller's transaction ends.
pub(super) fn count_change(conn: &mut PgConnection) -> QueryResult<()> {
    let _number: i64 = diesel::update(client_changes::table.find(1))
        .set(client_changes::number.eq(client_changes::number + 1))
        .returning(client_changes::number)
        .get_result(conn)?;
    db::notify_replicas(conn)
}

/// How often the clients have changed.
pub(super) fn changes(conn: &mut PgConnection) -> QueryResult<i64> {
    client_changes::table
        .find(1)
        .select(client_changes::number)
        .first(conn)
}

pub(super) fn insert(conn: &mut PgConnection, draft: &Draft) -> QueryResult<ClientRow> {
    diesel::insert_into(clients::table)
        .values((
            clients::id.eq(&draft.id),
            clients::kind.eq(draft.kind.name()),
            clients::metadata.eq(json!(draft.metadata)),
            clients::secret_hash.eq(&draft.secret_hash),
            clients::registration_hash.eq(&draft.registration_hash),
        ))
        .returning(ClientRow::as_returning())
        .get_result(conn)
}

/// Changes a client; a secret is left as it is unless there is another.
pub(super) fn update(conn: &mut PgConnection, draft: &Draft) -> QueryResult<ClientRow> {
    let secret = draft.secret_hash.as_ref();
    let registration = draft.registration_hash.as_ref();
    diesel::update(clients::table.find(&draft.id))
        .set((
            clients::metadata.eq(json!(draft.metadata)),
            secret.map(|hash| clients::secret_hash.eq(hash)),
            registration.map(|hash| clients::registration_hash.eq(hash)),
            clients::version.eq(clients::version + 1),
            clients::updated_at.eq(diesel::dsl::now),
        ))
        .returning(ClientRow::as_returning())
        .get_result(conn)
}

pub(super) fn find(conn: &mut PgConnection, id: &str) -> QueryResult<Option<ClientRow>> {
    clients::table
        .find(id)
        .select(ClientRow::as_select())
        .first(conn)
        .optional()
}

pub(super) fn list(conn: &mut PgConnection) -> QueryResult<Vec<ClientRow>> {
    clients::table
        .select(ClientRow::as_select())
        .order(clients::id)
        .load(conn)
}

pub(super) fn delete(conn: &mut PgConnection, id: &str) -> QueryResult<usize> {
    diesel::delete(clients::table.find(id)).execute(conn)
}

pub(super) fn count_registered(conn: &mut PgConnection) -> QueryResult<i64> {
    clients::table
        .filter(clients::kind.eq(Kind::Registered.name()))
        .count()
        .get_result(conn)
}

pub(super) fn with_logout_uri(conn: &mut PgConnection, ids: &[String]) -> QueryResult<Vec<String>> {
    clients::table
        .filter(clients::id.eq_any(ids))
        .filter(sql::<Bool>(
            "metadata ->> 'backchannel_logout_uri' is not null",
        ))
        .select(clients::id)
        .load(conn)
}
