//! Ending sessions in their table, and whom to tell.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    dsl::sql,
    expression::SqlLiteral,
    pg::Pg,
    prelude::*,
    sql_types::{Bool, Text, Timestamptz},
};
use uuid::Uuid;

use crate::schema::{device_codes, logout_notices, sessions};

/// The scope of apps that stay signed in when the browser signs out (OpenID Connect Back-Channel Logout section 2.7).
const OFFLINE: &str = "offline_access";

/// Which of a user's sessions are meant.
pub(super) enum Which {
    One(Uuid),
    AllBut(Option<Uuid>),
    /// Those that were opened out of these browsers' sessions and don't outlive them.
    OpenedOutOf(Vec<Uuid>),
    /// Those of an app.
    OfClient(String),
}

/// The sessions that a leaked key of refresh tokens may have reached.
pub(super) enum Exposed {
    /// Begun or refreshed at this time or later.
    Since(DateTime<Utc>),
    /// Those whose refresh token it signed.
    SignedBy(String),
}

type Those<'a> = Box<dyn BoxableExpression<sessions::table, Pg, SqlType = Bool> + 'a>;

/// A session that was ended just now, and the reason that is stored.
#[derive(Debug, Queryable)]
pub(super) struct Ended {
    pub id: Uuid,
    pub user_id: Uuid,
    pub client_id: String,
    pub reason: Option<String>,
}

/// Ends those of the owner's sessions that may have a living token.
pub(super) fn end(
    conn: &mut PgConnection,
    owner: Uuid,
    which: &Which,
    reason: &str,
) -> QueryResult<Vec<Ended>> {
    let owned = sessions::user_id.eq(owner);
    let those: Those<'_> = match which {
        Which::One(id) => Box::new(owned.and(sessions::id.eq(*id))),
        Which::AllBut(None) => Box::new(owned),
        Which::OfClient(client) => Box::new(owned.and(sessions::client_id.eq(client))),
        Which::OpenedOutOf(parents) => {
            let stays = sessions::scopes.contains(vec![OFFLINE]);
            let opened = sessions::parent_id.assume_not_null().eq_any(parents);
            Box::new(owned.and(opened).and(diesel::dsl::not(stays)))
        }
        Which::AllBut(Some(kept)) => Box::new(owned.and(sessions::id.ne(*kept))),
    };
    match which {
        // Apps that refresh nothing want to hear of it as long as the browser was signed in.
        Which::OpenedOutOf(_) => end_living_any_owner(
            conn,
            those,
            sql("ended_at is null and absolute_exp > clock_timestamp()"),
            reason,
        ),
        _ => end_those_any_owner(conn, those, reason),
    }
}

/// Ends the sessions that a leaked key may have reached and that may have a living token.
pub(super) fn end_exposed_any_owner(
    conn: &mut PgConnection,
    exposed: &Exposed,
    reason: &str,
) -> QueryResult<Vec<Ended>> {
    let those: Those<'_> = match exposed {
        // Written down in whole seconds.
        Exposed::Since(time) => Box::new(sessions::rotated_at.gt(*time - TimeDelta::seconds(1))),
        Exposed::SignedBy(kid) => Box::new(sessions::refresh_kid.assume_not_null().eq(kid)),
    };
    end_those_any_owner(conn, those, reason)
}

/// Ends everybody's sessions of an app that is gone.
pub(super) fn end_of_client_any_owner(
    conn: &mut PgConnection,
    client_id: &str,
    reason: &str,
) -> QueryResult<Vec<Ended>> {
    let those: Those<'_> = Box::new(sessions::client_id.eq(client_id.to_owned()));
    end_those_any_owner(conn, those, reason)
}

fn end_those_any_owner(
    conn: &mut PgConnection,
    those: Those<'_>,
    reason: &str,
) -> QueryResult<Vec<Ended>> {
    // An access token may outlive its session's last refresh token, by a day at most.
    let may_have_tokens =
        sql("ended_at is null and refresh_exp > clock_timestamp() - interval '1 day 1 minute'");
    end_living_any_owner(conn, those, may_have_tokens, reason)
}

/// Those that had run out by themselves keep that reason.
fn end_living_any_owner(
    conn: &mut PgConnection,
    those: Those<'_>,
    living: SqlLiteral<Bool>,
    reason: &str,
) -> QueryResult<Vec<Ended>> {
    diesel::update(sessions::table)
        .set((
            sessions::ended_at
                .eq(sql::<Timestamptz>("least(clock_timestamp(), refresh_exp)").nullable()),
            sessions::end_reason.eq(sql::<Text>(
                "case when refresh_exp <= clock_timestamp() then 'expired' else ",
            )
            .bind::<Text, _>(reason)
            .sql(" end")
            .nullable()),
        ))
        .filter(living)
        .filter(those)
        .returning((
            sessions::id,
            sessions::user_id,
            sessions::client_id,
            sessions::end_reason,
        ))
        .get_results(conn)
}

/// Lets in no device that `owner` has allowed and that has not come yet: there is no session to end.
pub(super) fn refuse_devices(conn: &mut PgConnection, owner: Uuid) -> QueryResult<usize> {
    diesel::update(device_codes::table)
        .filter(device_codes::user_id.eq(owner))
        .filter(device_codes::session_id.is_null())
        .set(device_codes::allowed.eq(false))
        .execute(conn)
}

/// Keeps for later that these clients are to be told of the end of these sessions.
pub(super) fn keep_notices_any_owner(
    conn: &mut PgConnection,
    notices: &[(Uuid, Uuid, &str)],
) -> QueryResult<usize> {
    let rows: Vec<_> = notices
        .iter()
        .map(|(session_id, user_id, client_id)| {
            (
                logout_notices::id.eq(Uuid::now_v7()),
                logout_notices::session_id.eq(*session_id),
                logout_notices::user_id.eq(*user_id),
                logout_notices::client_id.eq(*client_id),
            )
        })
        .collect();
    diesel::insert_into(logout_notices::table)
        .values(rows)
        .execute(conn)
}
