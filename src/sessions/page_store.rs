//! The sessions of browsers at our own pages, in the table of sessions.

use diesel::{
    dsl::IntervalDsl,
    prelude::*,
    sql_types::{BigInt, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    NewSession, PageChange, SessionRow,
    store::{live, this_second},
};
use crate::{
    db::{before, clock_timestamp, coalesce},
    schema::sessions,
};

/// The browser's session whose cookie has this hash; it lives on, which is written down once a minute.
pub(super) fn find_page_any_owner(
    conn: &mut PgConnection,
    hash: &[u8],
    idle: i64,
) -> QueryResult<Option<SessionRow>> {
    let found: Option<(SessionRow, bool)> = sessions::table
        .filter(sessions::page_hash.assume_not_null().eq(hash))
        .filter(live())
        .select((
            SessionRow::as_select(),
            sessions::last_seen_at.lt(before(clock_timestamp(), 1.minute())),
        ))
        .first(conn)
        .optional()?;
    let Some((session, is_due)) = found else {
        return Ok(None);
    };
    if is_due {
        diesel::sql_query(
            "update sessions set last_seen_at = clock_timestamp(),
                refresh_exp = least(absolute_exp, date_trunc('second', clock_timestamp()) + $2 * interval '1 second')
             where id = $1 and ended_at is null",
        )
        .bind::<SqlUuid, _>(session.id)
        .bind::<BigInt, _>(idle)
        .execute(conn)?;
    }
    Ok(Some(session))
}

/// Lets a browser's session go on under another cookie, after its owner has proved again who they are.
pub(super) fn renew_page(
    conn: &mut PgConnection,
    owner: Uuid,
    id: Uuid,
    page: &PageChange,
    session: &NewSession,
) -> QueryResult<SessionRow> {
    let auth_time = coalesce(session.auth_time, this_second());
    diesel::update(sessions::table.find(id).filter(sessions::user_id.eq(owner)))
        .set((
            sessions::page_hash.eq(&page.hash),
            sessions::acr.eq(&session.acr),
            sessions::amr.eq(&session.amr),
            sessions::auth_time.eq(auth_time),
        ))
        .returning(SessionRow::as_returning())
        .get_result(conn)
}
