//! The table of what people have allowed apps.

use chrono::{DateTime, Utc};
use diesel::{dsl::sql, prelude::*};
use uuid::Uuid;

use crate::{db::clock_timestamp, schema::consents};

/// One app that a person has let in.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = consents)]
pub struct ConsentRow {
    /// Which app.
    pub client_id: String,
    /// What it may.
    pub scopes: Vec<String>,
    /// At which APIs, as the version before wrote it down.
    pub(super) resources: Vec<String>,
    /// The same by API: each the API (our own is empty), a space, and a scope.
    pub(super) grants: Vec<String>,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// When they were last asked.
    pub updated_at: DateTime<Utc>,
}

/// How a scope at an API is stored.
pub(super) fn grant(resource: &str, scope: &str) -> String {
    format!("{resource} {scope}")
}

pub(super) fn find_consent(
    conn: &mut PgConnection,
    owner: Uuid,
    client_id: &str,
) -> QueryResult<Option<ConsentRow>> {
    consents::table
        .find((owner, client_id))
        .select(ConsentRow::as_select())
        .first(conn)
        .optional()
}

pub(super) fn list_consents(conn: &mut PgConnection, owner: Uuid) -> QueryResult<Vec<ConsentRow>> {
    consents::table
        .filter(consents::user_id.eq(owner))
        .select(ConsentRow::as_select())
        .order(consents::client_id)
        .load(conn)
}

/// Adds scopes to what a person has allowed an app.
pub(super) fn give_consent(
    conn: &mut PgConnection,
    owner: Uuid,
    client_id: &str,
    scopes: &[String],
    resource: &str,
) -> QueryResult<usize> {
    let grants: Vec<_> = scopes.iter().map(|scope| grant(resource, scope)).collect();
    diesel::insert_into(consents::table)
        .values((
            consents::user_id.eq(owner),
            consents::client_id.eq(client_id),
            consents::scopes.eq(scopes),
            // Read by the version before; goes when nobody runs that any more.
            consents::resources.eq(vec![resource]),
            consents::grants.eq(grants),
        ))
        .on_conflict((consents::user_id, consents::client_id))
        .do_update()
        .set((
            consents::scopes.eq(sql(
                "array(select distinct unnest(consents.scopes || excluded.scopes) order by 1)",
            )),
            consents::resources.eq(sql(
                "array(select distinct unnest(consents.resources || excluded.resources) order by 1)",
            )),
            consents::grants.eq(sql(
                "array(select distinct unnest(consents.grants || excluded.grants) order by 1)",
            )),
            consents::updated_at.eq(clock_timestamp()),
        ))
        .execute(conn)
}

pub(super) fn withdraw_consent(
    conn: &mut PgConnection,
    owner: Uuid,
    client_id: &str,
) -> QueryResult<bool> {
    Ok(diesel::delete(consents::table.find((owner, client_id))).execute(conn)? == 1)
}

/// Forgets what everybody has allowed an app.
pub(super) fn forget_client(conn: &mut PgConnection, client_id: &str) -> QueryResult<usize> {
    diesel::delete(consents::table)
        .filter(consents::client_id.eq(client_id))
        .execute(conn)
}
