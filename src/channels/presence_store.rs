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

/// Who came or went, of those of whom the others are told.
#[derive(QueryableByName)]
struct Moved {
    #[diesel(sql_type = Text)]
    channel: String,
    #[diesel(sql_type = Text)]
    info: String,
    #[diesel(sql_type = Bool)]
    is_told: bool,
}

/// Writes down who comes and who goes; what the others are to be told of it.
pub(super) fn write(
    conn: &mut PgConnection,
    replica: Uuid,
    presences: &[&Presence],
) -> QueryResult<Vec<Draft>> {
    let (mut comes, mut goes) = (Vec::new(), Vec::new());
    for presence in presences {
        match presence {
            Presence::Comes(attendant) => comes.push(attendant),
            Presence::Goes(attendant) => goes.push(attendant),
        }
    }
    let mut drafts = put(conn, replica, &comes)?;
    drafts.extend(take(conn, &goes)?);
    Ok(drafts)
}

/// Writes down who is there; what the others are to be told of those who were not.
pub(super) fn put(
    conn: &mut PgConnection,
    replica: Uuid,
    attendants: &[&Attendant],
) -> QueryResult<Vec<Draft>> {
    if attendants.is_empty() {
        return Ok(Vec::new());
    }
    let come: Vec<Moved> = diesel::sql_query(
        "insert into presences (channel, client, replica, ticket, info, is_told) \
         select distinct on (channel, client) channel, client, $1, ticket, info, is_told \
         from unnest($2, $3, $4, $5, $6) as come (channel, client, ticket, info, is_told) order by channel, client, ticket desc \
         on conflict (channel, client) do update set replica = excluded.replica, ticket = excluded.ticket, info = excluded.info, \
         is_told = excluded.is_told where presences.ticket < excluded.ticket returning channel, info, is_told and xmax = 0 as is_told",
    )
    .bind::<SqlUuid, _>(replica)
    .bind::<Array<Text>, _>(all(attendants, |one| one.channel.as_ref()))
    .bind::<Array<SqlUuid>, _>(all(attendants, |one| one.client))
    .bind::<Array<BigInt>, _>(all(attendants, |one| one.ticket))
    .bind::<Array<Text>, _>(all(attendants, |one| one.info.as_str()))
    .bind::<Array<Bool>, _>(all(attendants, |one| one.is_told))
    .load(conn)?;
    Ok(drafts(come, Kind::Join))
}

/// Writes down who is there no more, unless they have come again since; what the others are to be told of it.
pub(super) fn take(conn: &mut PgConnection, attendants: &[&Attendant]) -> QueryResult<Vec<Draft>> {
    if attendants.is_empty() {
        return Ok(Vec::new());
    }
    let gone: Vec<Moved> = diesel::sql_query(
        "delete from presences using unnest($1, $2, $3) as gone (channel, client, ticket) where presences.channel = gone.channel \
         and presences.client = gone.client and presences.ticket = gone.ticket returning presences.channel, info, is_told",
    )
    .bind::<Array<Text>, _>(all(attendants, |one| one.channel.as_ref()))
    .bind::<Array<SqlUuid>, _>(all(attendants, |one| one.client))
    .bind::<Array<BigInt>, _>(all(attendants, |one| one.ticket))
    .load(conn)?;
    Ok(drafts(gone, Kind::Leave))
}

fn all<'a, T>(attendants: &[&'a Attendant], of: impl Fn(&'a Attendant) -> T) -> Vec<T> {
    attendants.iter().map(|one| of(one)).collect()
}

fn drafts(moved: Vec<Moved>, kind: Kind) -> Vec<Draft> {
    let told = moved.into_iter().filter(|one| one.is_told);
    let draft = |one: Moved| {
        Some(Draft {
            channel: one.channel.parse().ok()?,
            kind,
            data: None,
            info: Some(one.info),
            age: None,
        })
    };
    told.filter_map(draft).collect()
}

/// The subscriptions that a replica has written down.
pub(super) fn written(
    conn: &mut PgConnection,
    replica: Uuid,
) -> QueryResult<Vec<(String, Uuid, i64)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        channel: String,
        #[diesel(sql_type = SqlUuid)]
        client: Uuid,
        #[diesel(sql_type = BigInt)]
        ticket: i64,
    }
    let rows: Vec<Row> =
        diesel::sql_query("select channel, client, ticket from presences where replica = $1")
            .bind::<SqlUuid, _>(replica)
            .load(conn)?;
    let written = rows.into_iter();
    Ok(written
        .map(|row| (row.channel, row.client, row.ticket))
        .collect())
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

/// Says that a replica lives; which ones do.
pub(super) fn live(conn: &mut PgConnection, replica: Uuid) -> QueryResult<Vec<Uuid>> {
    #[derive(QueryableByName)]
    struct Living {
        #[diesel(sql_type = SqlUuid)]
        id: Uuid,
    }
    diesel::sql_query(
        "insert into channel_replicas (id, seen_at) values ($1, clock_timestamp()) \
         on conflict (id) do update set seen_at = excluded.seen_at",
    )
    .bind::<SqlUuid, _>(replica)
    .execute(conn)?;
    let living: Vec<Living> = diesel::sql_query(format!(
        "select id from channel_replicas where seen_at > clock_timestamp() - interval '{LIFE} s'"
    ))
    .load(conn)?;
    Ok(living.into_iter().map(|one| one.id).collect())
}

/// Says that a replica lives no more.
pub(super) fn die(conn: &mut PgConnection, replica: Uuid) -> QueryResult<()> {
    diesel::sql_query("delete from channel_replicas where id = $1")
        .bind::<SqlUuid, _>(replica)
        .execute(conn)?;
    Ok(())
}

/// Forgets who was with replicas that live no more, some at a time; what the others are to be told of it.
pub(super) fn forget_dead(conn: &mut PgConnection) -> QueryResult<Vec<Draft>> {
    diesel::sql_query(format!(
        "delete from channel_replicas where seen_at < clock_timestamp() - interval '{LIFE} s'"
    ))
    .execute(conn)?;
    let gone: Vec<Moved> = diesel::sql_query(
        "delete from presences where (channel, client) in (select channel, client from presences \
         where not exists (select from channel_replicas where id = replica) limit 1000 for update skip locked) \
         returning channel, info, is_told",
    )
    .load(conn)?;
    Ok(drafts(gone, Kind::Leave))
}
