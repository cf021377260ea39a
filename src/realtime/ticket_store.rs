//! Tickets: what stands for a token once, and for half a minute, where no token can be sent.

use base64::{Engine, engine::general_purpose::STANDARD};
use diesel::{PgConnection, dsl::sql, prelude::*, sql_types::Timestamptz};

use crate::{
    error::{ApiError, Code},
    keys::MasterKeys,
    schema::tickets,
    secret::Secret,
};

/// Seconds that a ticket is good for.
pub(super) const LIFETIME: i32 = 30;

/// What the sealed token belongs to.
const PURPOSE: &str = "ticket";

/// Makes a ticket for a token. Of it the database knows the hash, and the token as only the ticket opens it.
pub(super) fn create(conn: &mut PgConnection, token: &str) -> Result<String, ApiError> {
    let ticket = Secret::generate()?;
    let sealed = key(&ticket.text)?.seal(PURPOSE, token.as_bytes());
    let sealed = sealed.ok_or_else(|| ApiError::internal("no randomness"))?;
    let expiry = format!("clock_timestamp() + interval '{LIFETIME} s'");
    diesel::insert_into(tickets::table)
        .values((
            tickets::id.eq(&ticket.hash),
            tickets::token.eq(sealed),
            tickets::expires_at.eq(sql::<Timestamptz>(&expiry)),
        ))
        .execute(conn)?;
    Ok(ticket.text)
}

/// Takes what a ticket stands for, which it does no more.
///
/// # Errors
/// 401 where it is unknown, used or old.
pub(super) fn redeem(conn: &mut PgConnection, ticket: &str) -> Result<String, ApiError> {
    let ticket_row = tickets::table.filter(tickets::id.eq(Secret::hash(ticket)));
    let sealed: Option<Vec<u8>> =
        diesel::delete(
            ticket_row.filter(tickets::expires_at.gt(sql::<Timestamptz>("clock_timestamp()"))),
        )
        .returning(tickets::token)
        .get_result(conn)
        .optional()?;
    let unknown = || {
        let detail = "The ticket is unknown, was used, or is older than 30 seconds";
        ApiError::new(Code::InvalidToken, detail).challenge(", error=\"invalid_token\"")
    };
    let token = key(ticket)?.open(PURPOSE, &sealed.ok_or_else(unknown)?);
    String::from_utf8(token.map_err(ApiError::internal)?).map_err(ApiError::internal)
}

/// Forgets those that nobody has used.
///
/// # Errors
/// Postgres.
pub fn purge(conn: &mut PgConnection) -> QueryResult<usize> {
    diesel::delete(
        tickets::table.filter(tickets::expires_at.lt(sql::<Timestamptz>("clock_timestamp()"))),
    )
    .execute(conn)
}

/// The key that only the ticket knows: what is stored of it is another hash.
fn key(ticket: &str) -> Result<MasterKeys, ApiError> {
    let key = Secret::hash(&format!("key of {ticket}"));
    MasterKeys::parse(&STANDARD.encode(key)).map_err(ApiError::internal)
}
