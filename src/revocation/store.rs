//! The table of revocations.

use diesel::{
    dsl::sql,
    pg::PgRowByRowLoadingMode,
    prelude::*,
    sql_types::{Array, BigInt, Bool, Nullable, Text},
};

use super::Revocation;
use crate::schema::revocations;

/// One stored revocation and the oldest transaction that was still running when it was read.
#[derive(QueryableByName)]
pub(super) struct Row {
    #[diesel(sql_type = BigInt)]
    pub horizon: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub kind: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub id: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub epoch: Option<i64>,
}

/// How long an access token may outlive a revocation: the longest lifetime there ever was, leeway, skewed clocks. Where
/// no server has started yet, the longest that a configuration may name.
const LIFETIME: &str = "clock_timestamp() + interval '1 minute' + interval '1 second' *
    coalesce((select seconds from longest_lifetimes where purpose = 'access'), 86400)";

pub(super) fn insert(conn: &mut PgConnection, dead: &[Revocation]) -> QueryResult<usize> {
    let (mut kinds, mut ids, mut epochs) = (Vec::new(), Vec::new(), Vec::new());
    for revocation in dead {
        let (kind, id, epoch) = match revocation {
            Revocation::Session(id) => ("sid", id.to_string(), None),
            Revocation::User { id, epoch } => ("user", id.to_string(), Some(*epoch)),
            Revocation::Client(id) => ("client", id.clone(), None),
            Revocation::Token(id) => ("jti", id.to_string(), None),
            Revocation::Key(id) => ("kid", id.clone(), None),
        };
        kinds.push(kind);
        ids.push(id);
        epochs.push(epoch);
    }
    // Sorted, so that two transactions that revoke the same ones can't wait for each other.
    diesel::sql_query(format!(
        "insert into revocations (kind, id, epoch, until)
         select kind, id, max(epoch), {LIFETIME} from unnest($1, $2, $3) as dead (kind, id, epoch)
         group by kind, id order by kind, id
         on conflict on constraint revocations_pkey do update set
            epoch = greatest(revocations.epoch, excluded.epoch), until = excluded.until, xid = excluded.xid"
    ))
    .bind::<Array<Text>, _>(kinds)
    .bind::<Array<Text>, _>(ids)
    .bind::<Array<Nullable<BigInt>>, _>(epochs)
    .execute(conn)
}

/// Advances the epochs of the role's holders and revokes what they held, in one statement.
pub(super) fn advance_epochs(conn: &mut PgConnection, role: &str) -> QueryResult<usize> {
    diesel::sql_query(format!(
        "with holders as (
            select users.id from users
            where exists (select from user_roles where user_id = users.id and role = $1)
                and exists (select from sessions where user_id = users.id
                    and last_seen_at > clock_timestamp() - ({LIFETIME} - clock_timestamp()))
            order by users.id for no key update),
         advanced as (
            update users set epoch = epoch + 1 from holders where users.id = holders.id returning users.id, epoch)
         insert into revocations (kind, id, epoch, until)
         select 'user', id::text, epoch, {LIFETIME} from advanced order by id
         on conflict on constraint revocations_pkey do update set
            epoch = greatest(revocations.epoch, excluded.epoch), until = excluded.until, xid = excluded.xid"
    ))
    .bind::<Text, _>(role)
    .execute(conn)
}

/// Everything that committed since `horizon`, an earlier answer's; 0 for all. Never misses what was slow to commit, and may
/// answer something twice. Row by row, since there may be many.
pub(super) fn since(
    conn: &mut PgConnection,
    horizon: i64,
    mut each: impl FnMut(Row),
) -> QueryResult<()> {
    let rows = diesel::sql_query(
        "select now.horizon, revocations.kind, revocations.id, revocations.epoch
         from (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as horizon) as now
         left join revocations on revocations.xid >= $1 and until > clock_timestamp()",
    )
    .bind::<BigInt, _>(horizon)
    .load_iter::<Row, PgRowByRowLoadingMode>(conn)?;
    for row in rows {
        each(row?);
    }
    Ok(())
}

/// Whether the tokens of a client are refused at this time.
pub(super) fn is_client_revoked(conn: &mut PgConnection, id: &str) -> QueryResult<bool> {
    let entry = revocations::table
        .filter(revocations::kind.eq("client"))
        .filter(revocations::id.eq(id))
        .filter(sql::<Bool>("until > clock_timestamp()"));
    diesel::select(diesel::dsl::exists(entry)).get_result(conn)
}

pub(super) fn dead_keys(conn: &mut PgConnection) -> QueryResult<Vec<String>> {
    revocations::table
        .filter(revocations::kind.eq("kid"))
        .select(revocations::id)
        .load(conn)
}

/// Deletes what has expired, some thousand at a time, until little is left.
pub(super) fn purge(conn: &mut PgConnection) -> QueryResult<usize> {
    const SOME: usize = 10_000;
    let mut purged = 0;
    loop {
        let gone = diesel::sql_query(
            "delete from revocations where until < clock_timestamp() and ctid = any (array(
                select ctid from revocations where until < clock_timestamp() limit 10000))",
        )
        .execute(conn)?;
        purged += gone;
        if gone < SOME {
            return Ok(purged);
        }
    }
}
