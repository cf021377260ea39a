//! The audit table.

use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{QueryFragment, QueryId},
    sql_types::{Jsonb, Nullable, Text, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

use super::Event;
use crate::{db::Window, schema::audit_events};

/// One stored event.
#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_events)]
pub(super) struct EventRow {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub action: String,
    pub actor_id: Option<Uuid>,
    pub subject_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub client_id: Option<String>,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    pub details: Value,
}

/// What a listing is narrowed to.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub action: Option<String>,
    pub actor_id: Option<Uuid>,
    pub subject_id: Option<Uuid>,
}

/// The statement that writes one event; it ends where a `from` may follow.
pub fn insertion(
    event: &Event<'_>,
) -> impl QueryFragment<Pg> + QueryId + RunQueryDsl<PgConnection> {
    diesel::select((
        Uuid::now_v7().into_sql::<SqlUuid>(),
        event.action.name().into_sql::<Text>(),
        event.actor.user_id.into_sql::<Nullable<SqlUuid>>(),
        event.subject_id.into_sql::<Nullable<SqlUuid>>(),
        event.actor.session_id.into_sql::<Nullable<SqlUuid>>(),
        (&event.actor.client_id).into_sql::<Nullable<Text>>(),
        (&event.actor.address).into_sql::<Nullable<Text>>(),
        (&event.actor.user_agent).into_sql::<Nullable<Text>>(),
        (&event.actor.request_id).into_sql::<Nullable<Text>>(),
        (&event.details).into_sql::<Jsonb>(),
    ))
    .insert_into(audit_events::table)
    .into_columns((
        audit_events::id,
        audit_events::action,
        audit_events::actor_id,
        audit_events::subject_id,
        audit_events::session_id,
        audit_events::client_id,
        audit_events::address,
        audit_events::user_agent,
        audit_events::request_id,
        audit_events::details,
    ))
}

/// Writes one event.
///
/// # Errors
/// Postgres.
pub fn record(conn: &mut PgConnection, event: &Event<'_>) -> QueryResult<()> {
    insertion(event).execute(conn)?;
    Ok(())
}

/// Forgets where an erased person acted from; what was done stays, under an id that names nobody any more.
///
/// # Errors
/// Postgres.
pub fn erase_person(conn: &mut PgConnection, user_id: Uuid) -> QueryResult<()> {
    let theirs = audit_events::actor_id.eq(user_id).or(audit_events::actor_id
        .is_null()
        .and(audit_events::subject_id.eq(user_id)));
    diesel::update(audit_events::table.filter(theirs))
        .set((
            audit_events::address.eq(None::<String>),
            audit_events::user_agent.eq(None::<String>),
        ))
        .execute(conn)?;
    Ok(())
}

/// Lists events, newest first.
pub(super) fn list_any_owner(
    conn: &mut PgConnection,
    filter: &Filter,
    window: Window,
) -> QueryResult<Vec<EventRow>> {
    let mut query = audit_events::table
        .select(EventRow::as_select())
        .order(audit_events::id.desc())
        .limit(window.rows)
        .into_boxed();
    if let Some(after) = window.after {
        query = query.filter(audit_events::id.lt(after));
    }
    if let Some(action) = &filter.action {
        query = query.filter(audit_events::action.eq(action.clone()));
    }
    if let Some(actor) = filter.actor_id {
        query = query.filter(audit_events::actor_id.eq(actor));
    }
    if let Some(subject) = filter.subject_id {
        query = query.filter(audit_events::subject_id.eq(subject));
    }
    query.load(conn)
}
