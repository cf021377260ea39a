//! The one statement of refreshing.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Nullable, Text, Untyped, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    audit::Actor,
    db::push_array,
    sessions::{Generation, Rules, Wish},
    tokens::RefreshClaims,
    users::JoinedHolder,
};

/// A refresh token that was presented, and what its successor is to be like.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The presented token.
    pub presented: RefreshClaims,
    /// Seconds that the next refresh token lives.
    pub idle: i64,
    /// The key that signs it.
    pub kid: Option<String>,
    /// Whether the access token is for an API whose uses of it we don't see.
    pub external: bool,
    /// From where it is presented, hashed.
    pub origin: String,
    /// The thumbprint of the key that whoever presents it has proved to hold.
    pub key: Option<String>,
    /// Who presents it.
    pub actor: Actor,
}

impl Rotation {
    /// What is to become of a presented token.
    pub(super) fn new(presented: RefreshClaims, wish: &Wish, rules: &Rules, actor: &Actor) -> Self {
        Self {
            presented,
            idle: rules.lifetimes.idle,
            kid: rules.tokens.refresh_kid(),
            external: wish.is_external(&rules.tokens),
            origin: origin(actor),
            key: wish.key.clone(),
            actor: actor.clone(),
        }
    }
}

/// Where a request comes from, so that two places can be told apart but not read.
fn origin(actor: &Actor) -> String {
    let place = format!("{:?}", (&actor.address, &actor.user_agent));
    let hash = digest::digest(&digest::SHA256, place.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..12).unwrap_or_default())
}

/// The session in its current generation, and whose it is.
#[derive(Debug, QueryableByName)]
pub struct Rotated {
    #[diesel(embed)]
    pub generation: Generation,
    #[diesel(embed)]
    pub holder: JoinedHolder,
    /// Whether somebody elsewhere began this generation.
    #[diesel(sql_type = Bool)]
    pub begun_elsewhere: bool,
}

/// Puts each session into the generation after the presented one, where the table of this room allows it; sessions that it
/// does not allow are not answered. No session may be there twice.
///
/// # Errors
/// Postgres.
pub(super) fn rotate(
    conn: &mut PgConnection,
    rotations: &[Arc<Rotation>],
) -> QueryResult<Vec<Rotated>> {
    Statement::of(rotations).get_results(conn)
}

/// One statement, so that of parallel uses the first begins the generation and the others find it begun; a type of its
/// own, so that Postgres plans it once per connection.
#[derive(Debug, Default)]
struct Statement<'a> {
    generations: Vec<i64>,
    sids: Vec<Uuid>,
    subs: Vec<Uuid>,
    clients: Vec<&'a str>,
    idles: Vec<i64>,
    kids: Vec<Option<&'a str>>,
    externals: Vec<bool>,
    origins: Vec<&'a str>,
    keys: Vec<Option<&'a str>>,
}

impl<'a> Statement<'a> {
    fn of(rotations: &'a [Arc<Rotation>]) -> Self {
        let mut statement = Self::default();
        for rotation in rotations {
            let presented = &rotation.presented;
            statement.generations.push(presented.generation);
            statement.sids.push(presented.sid);
            statement.subs.push(presented.sub);
            statement.clients.push(&presented.client_id);
            statement.idles.push(rotation.idle);
            statement.kids.push(rotation.kid.as_deref());
            statement.externals.push(rotation.external);
            statement.origins.push(&rotation.origin);
            statement.keys.push(rotation.key.as_deref());
        }
        statement
    }
}

impl QueryId for Statement<'_> {
    type QueryId = Statement<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Statement<'_> {}

impl QueryFragment<Pg> for Statement<'_> {
    /// `rotated_at` is cut to whole seconds, hence 31 for the 30 seconds that are promised.
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "update sessions set
                gen = case when gen = presented then gen + 1 else gen end,
                rotated_at = case when gen = presented then date_trunc('second', clock_timestamp()) else rotated_at end,
                refresh_exp = case when gen = presented then least(absolute_exp,
                    date_trunc('second', clock_timestamp()) + idle * interval '1 second') else refresh_exp end,
                refresh_kid = case when gen = presented then kid else refresh_kid end,
                external = is_external or resource is not null or gen <> presented and external,
                last_seen_at = clock_timestamp(),
                rotated_from = case when gen = presented then origin else rotated_from end,
                reopened_at = case when gen = presented then null
                    when gen_acked < gen then clock_timestamp() else reopened_at end
            from unnest(",
        );
        push_array::<BigInt, _>(&mut out, &self.generations)?;
        out.push_sql(", ");
        push_array::<SqlUuid, _>(&mut out, &self.sids)?;
        out.push_sql(", ");
        push_array::<SqlUuid, _>(&mut out, &self.subs)?;
        out.push_sql(", ");
        push_array::<Text, _>(&mut out, &self.clients)?;
        out.push_sql(", ");
        push_array::<BigInt, _>(&mut out, &self.idles)?;
        out.push_sql(", ");
        push_array::<Nullable<Text>, _>(&mut out, &self.kids)?;
        out.push_sql(", ");
        push_array::<Bool, _>(&mut out, &self.externals)?;
        out.push_sql(", ");
        push_array::<Text, _>(&mut out, &self.origins)?;
        out.push_sql(", ");
        push_array::<Nullable<Text>, _>(&mut out, &self.keys)?;
        out.push_sql(
            ") as tokens (presented, sid, sub, client, idle, kid, is_external, origin, key), users
            where sessions.id = sid and user_id = sub and client_id = client
                and (cnf is null or cnf = key)
                and users.id = sub and not users.disabled
                and ended_at is null and refresh_exp > clock_timestamp()
                and (gen = presented or gen = presented + 1 and (
                    rotated_at >= clock_timestamp() - interval '31 seconds'
                    or (gen_acked < gen or reopened_at >= clock_timestamp() - interval '31 seconds')
                        and (not external or rotated_at >= clock_timestamp() - interval '10 minutes')))
            returning sessions.id as session_id, sessions.scopes, gen as generation, rotated_at, refresh_exp, refresh_kid,
                auth_time, acr, amr, client_id, resource, claims, coalesce(rotated_from <> origin, false) as begun_elsewhere, ",
        );
        JoinedHolder::push("", &mut out);
        Ok(())
    }
}
