//! Who is subscribed where, in the database: each replica writes down its own, and says that it lives.

use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Bool, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    ChannelName, Kind,
    entry::Draft,
    post::{Attendant, Presence},
    store,
};

/// Seconds after which a replica that was not heard of is none any more.
const LIFE: i32 = 20;

/// Those that are read together: of a channel with more it is enough to know their number.
const MOST_LISTED: i64 = 1_000;

/// Who is on a channel.
#[derive(Clone, Debug)]
pub struct Present {
    /// Each connection, as JSON; at most 1,000 of them.
    pub all: Vec<String>,
    /// How many connections there are.
    pub clients: i64,
    /// How many users these belong to.
    pub users: i64,
}

/// Writes down who comes and who goes.
pub(super) fn write(
    conn: &mut PgConnection,
    replica: Uuid,
    presences: &[&Presence],
) -> QueryResult<()> {
    let (mut comes, mut goes) = (Vec::new(), (Vec::new(), Vec::new()));
    for presence in presences {
        match presence {
            Presence::Comes(attendant) => comes.push(attendant),
            Presence::Goes { channel, client } => {
                goes.0.push(channel.as_ref());
                goes.1.push(*client);
            }
        }
    }
    put(conn, replica, &comes)?;
    // Last: a client that comes and goes in the same trip has gone.
    if !goes.0.is_empty() {
        diesel::sql_query(
            "delete from presences using unnest($1, $2) as gone (channel, client) \
             where presences.channel = gone.channel and presences.client = gone.client",
        )
        .bind::<Array<Text>, _>(goes.0)
        .bind::<Array<SqlUuid>, _>(goes.1)
        .execute(conn)?;
    }
    Ok(())
}

/// Writes down who is there.
pub(super) fn put(
    conn: &mut PgConnection,
    replica: Uuid,
    attendants: &[&Attendant],
) -> QueryResult<()> {
    if attendants.is_empty() {
        return Ok(());
    }
    fn all<'a, T>(attendants: &[&'a Attendant], of: impl Fn(&'a Attendant) -> T) -> Vec<T> {
        attendants.iter().map(|one| of(one)).collect()
    }
    diesel::sql_query(
        "insert into presences (channel, client, replica, info, has_leave) \
         select channel, client, $1, info, has_leave from unnest($2, $3, $4, $5) as come (channel, client, info, has_leave) \
         on conflict (channel, client) do nothing",
    )
    .bind::<SqlUuid, _>(replica)
    .bind::<Array<Text>, _>(all(attendants, |one| one.channel.as_ref()))
    .bind::<Array<SqlUuid>, _>(all(attendants, |one| one.client))
    .bind::<Array<Text>, _>(all(attendants, |one| one.info.as_str()))
    .bind::<Array<Bool>, _>(all(attendants, |one| one.has_leave))
    .execute(conn)?;
    Ok(())
}

/// Reads who is on a channel, of the replicas that live.
pub(super) fn list(
    conn: &mut PgConnection,
    channel: &ChannelName,
    most: i64,
) -> QueryResult<Present> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        info: String,
        #[diesel(sql_type = BigInt)]
        clients: i64,
        #[diesel(sql_type = BigInt)]
        users: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(format!(
        "with here as (select client, info, info::json->>'user' as \"user\" from presences \
         join channel_replicas on channel_replicas.id = replica where channel = $1 and seen_at > clock_timestamp() - interval '{LIFE} s') \
         select info, (select count(*) from here) as clients, (select count(distinct \"user\") from here) as users \
         from here order by client limit $2"
    ))
    .bind::<Text, _>(channel.as_ref())
    .bind::<BigInt, _>(most.clamp(1, MOST_LISTED))
    .load(conn)?;
    let (clients, users) = rows.first().map_or((0, 0), |row| (row.clients, row.users));
    Ok(Present {
        all: rows.into_iter().map(|row| row.info).collect(),
        clients,
        users,
    })
}

/// Says that a replica lives; tells whether that is news.
pub(super) fn live(conn: &mut PgConnection, replica: Uuid) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        is_new: bool,
    }
    let row: Row = diesel::sql_query(
        "insert into channel_replicas (id, seen_at) values ($1, clock_timestamp()) \
         on conflict (id) do update set seen_at = excluded.seen_at returning xmax = 0 as is_new",
    )
    .bind::<SqlUuid, _>(replica)
    .get_result(conn)?;
    Ok(row.is_new)
}

/// Says that a replica lives no more.
pub(super) fn die(conn: &mut PgConnection, replica: Uuid) -> QueryResult<()> {
    diesel::sql_query("delete from channel_replicas where id = $1")
        .bind::<SqlUuid, _>(replica)
        .execute(conn)?;
    Ok(())
}

/// Forgets who was with replicas that live no more, some at a time; whether the others are told something of it.
pub(super) fn forget_dead(conn: &mut PgConnection) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        channel: String,
        #[diesel(sql_type = Text)]
        info: String,
        #[diesel(sql_type = Bool)]
        has_leave: bool,
    }
    conn.transaction(|conn| {
        diesel::sql_query(format!(
            "delete from channel_replicas where seen_at < clock_timestamp() - interval '{LIFE} s'"
        ))
        .execute(conn)?;
        let gone: Vec<Row> = diesel::sql_query(
            "delete from presences where (channel, client) in (select channel, client from presences \
             where not exists (select from channel_replicas where id = replica) limit 1000 for update skip locked) \
             returning channel, info, has_leave",
        )
        .load(conn)?;
        let told = gone.into_iter().filter(|row| row.has_leave);
        let draft = |row: Row| {
            Some(Draft {
                channel: row.channel.parse().ok()?,
                kind: Kind::Leave,
                data: None,
                info: Some(row.info),
                age: None,
            })
        };
        let drafts: Vec<_> = told.filter_map(draft).collect();
        if !drafts.is_empty() {
            store::insert(conn, &drafts.iter().collect::<Vec<_>>())?;
        }
        Ok(!drafts.is_empty())
    })
}
