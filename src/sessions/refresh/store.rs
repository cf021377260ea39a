//! The one statement of refreshing.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Nullable, Text, Untyped, Uuid as SqlUuid},
};

use crate::{sessions::SessionRow, tokens::RefreshClaims, users::JoinedHolder};

/// Puts a session into the generation after the presented one, where the table of this room allows it.
///
/// One statement, so that of parallel uses the first begins the generation and the others find it begun; a type of its
/// own, so that Postgres plans it once per connection.
#[derive(Debug)]
pub(super) struct Rotation<'a> {
    /// The presented token.
    pub presented: &'a RefreshClaims,
    /// Seconds that the next refresh token lives.
    pub idle: i64,
    /// The key that signs it.
    pub kid: Option<String>,
    /// Whether the access token is for an API whose uses of it we don't see.
    pub external: bool,
    /// From where it is presented, hashed.
    pub origin: String,
}

/// The session in its current generation, and whose it is.
#[derive(Debug, QueryableByName)]
pub(super) struct Rotated {
    #[diesel(embed)]
    pub session: SessionRow,
    #[diesel(embed)]
    pub holder: JoinedHolder,
    /// Whether somebody elsewhere began this generation.
    #[diesel(sql_type = Bool)]
    pub begun_elsewhere: bool,
}

impl QueryId for Rotation<'_> {
    type QueryId = Rotation<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Rotation<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Rotation<'_> {}

impl QueryFragment<Pg> for Rotation<'_> {
    /// `$1` is the presented generation. `rotated_at` is cut to whole seconds, hence 31 for the 30 seconds that are promised.
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let presented = self.presented;
        out.push_sql("update sessions set gen = case when gen = ");
        out.push_bind_param::<BigInt, _>(&presented.generation)?;
        out.push_sql(
            " then gen + 1 else gen end,
            rotated_at = case when gen = $1 then date_trunc('second', clock_timestamp()) else rotated_at end,
            refresh_exp = case when gen = $1 then least(absolute_exp,
                date_trunc('second', clock_timestamp()) + interval '1 second' * ",
        );
        out.push_bind_param::<BigInt, _>(&self.idle)?;
        out.push_sql(") else refresh_exp end, refresh_kid = case when gen = $1 then ");
        out.push_bind_param::<Nullable<Text>, _>(&self.kid)?;
        out.push_sql(" else refresh_kid end, external = ");
        out.push_bind_param::<Bool, _>(&self.external)?;
        out.push_sql(
            " or gen <> $1 and external, last_seen_at = clock_timestamp(), rotated_from = case when gen = $1 then ",
        );
        out.push_bind_param::<Text, _>(&self.origin)?;
        out.push_sql(
            " else rotated_from end, reopened_at = case when gen = $1 then null
                when gen_acked < gen then clock_timestamp() else reopened_at end
            from users where users.id = user_id and not users.disabled and sessions.id = ",
        );
        out.push_bind_param::<SqlUuid, _>(&presented.sid)?;
        out.push_sql(" and user_id = ");
        out.push_bind_param::<SqlUuid, _>(&presented.sub)?;
        out.push_sql(" and client_id = ");
        out.push_bind_param::<Text, _>(&presented.client_id)?;
        out.push_sql(
            " and ended_at is null and refresh_exp > clock_timestamp()
            and (gen = $1 or gen = $1 + 1 and (
                rotated_at >= clock_timestamp() - interval '31 seconds'
                or (gen_acked < gen or reopened_at >= clock_timestamp() - interval '31 seconds')
                    and (not external or rotated_at >= clock_timestamp() - interval '10 minutes')))
            returning sessions.id, user_id, client_id, scopes, gen as generation, rotated_at, refresh_exp, auth_time, acr, amr,
                user_agent, address, sessions.created_at, last_seen_at, refresh_kid, ended_at, end_reason, rotated_from <> $5 as begun_elsewhere, ",
        );
        out.push_sql(JoinedHolder::COLUMNS);
        Ok(())
    }
}
