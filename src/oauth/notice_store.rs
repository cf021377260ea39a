//! The table of clients that are still to be told of the end of a session.

use diesel::{dsl::sql, prelude::*};
use uuid::Uuid;

use crate::{db::clock_timestamp, schema::logout_notices};

/// A client that is to be told that a session has ended.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = logout_notices)]
pub(super) struct NoticeRow {
    pub id: Uuid,
    pub client_id: String,
    pub session_id: Uuid,
    pub user_id: Uuid,
    pub attempts: i32,
}

/// Takes notices that are due; they come again unless they are forgotten, later each time.
pub(super) fn take_notices(conn: &mut PgConnection, most: i64) -> QueryResult<Vec<NoticeRow>> {
    let due = logout_notices::table
        .filter(logout_notices::next_at.le(clock_timestamp()))
        .order(logout_notices::next_at)
        .limit(most)
        .for_update()
        .skip_locked()
        .select(logout_notices::id);
    let ids: Vec<Uuid> = due.load(conn)?;
    diesel::update(logout_notices::table.filter(logout_notices::id.eq_any(ids)))
        .set((
            logout_notices::attempts.eq(logout_notices::attempts + 1),
            logout_notices::next_at.eq(sql(
                "clock_timestamp() + interval '1 second' * least(10 * power(3, attempts), 21600)",
            )),
        ))
        .returning(NoticeRow::as_returning())
        .get_results(conn)
}

pub(super) fn forget_notices(conn: &mut PgConnection, ids: &[Uuid]) -> QueryResult<()> {
    diesel::delete(logout_notices::table.filter(logout_notices::id.eq_any(ids))).execute(conn)?;
    Ok(())
}
