//! Refreshing: the next pair for a refresh token, without signing out who lost an answer and without hiding a thief.
//!
//! | presented generation | answer |
//! |---|---|
//! | the session's | the next one begins |
//! | one behind, nothing of the current one used yet | the same successor again: the response was lost |
//! | one behind, within 30 s of the rotation, or of the last answer while nothing was used | the same successor again: several tabs |
//! | one behind, later, the current one was used; or two and more behind | theft: the session ends |
//! | ahead, or of another client | refused and written down |
//!
//! The 30 s begin anew with every answer while nothing was used, because whoever lost an answer may come back with several
//! tabs at once, of which one uses what it got before the request of the other arrives.
//!
//! "Used" is what `tokens::Uses` saw. For a token that another API verifies we see no use: there the second row ends after
//! 10 minutes. Successors are the same byte for byte, since all that they are made of stands in the session.

mod desk;
mod store;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use diesel::PgConnection;
use serde_json::json;

use super::{
    EndReason, Pair, Rules, Wish, end_store, ends::record_ends, pair::pair, store as sessions_store,
};
use crate::{
    audit::{Action, Actor, Event},
    db::{self, Db},
    error::{ApiError, Code},
    tokens::{RefreshClaims, Refusal, Tokens},
    users::Holder,
};

pub use desk::Desk;

use store::{Rotated, Rotation};

/// Answers the pair of the generation after the presented one.
///
/// The access token may do what the session may, what the user's roles still allow and, if less is wished for, that.
///
/// # Errors
/// 401 as the table says, or when the session has ended or the account is disabled; 422 for a wish that can't be granted,
/// after which the presented token is as good as before.
pub async fn refresh(
    desk: &Desk,
    db: &Db,
    presented: RefreshClaims,
    wish: &Wish,
    rules: &Rules,
    actor: &Actor,
) -> Result<Pair, ApiError> {
    let rotation = Rotation {
        presented: presented.clone(),
        idle: rules.lifetimes.idle,
        kid: rules.tokens.refresh_kid(),
        external: wish.is_external(&rules.tokens),
        origin: origin(actor),
        key: wish.key.clone(),
    };
    let rotated = if rotation.external {
        let (tokens, wish) = (rules.tokens.clone(), wish.clone());
        db.run(move |conn| rotate_with_token(conn, &rotation, &tokens, &wish))
            .await?
    } else {
        let rotated = desk.rotate(db, rotation).await?;
        rotated
            .map(|rotated| anew(rotated, &rules.tokens, wish))
            .transpose()?
    };
    let Some((pair, begun_elsewhere)) = rotated else {
        let (actor, key, tokens) = (actor.clone(), wish.key.clone(), rules.tokens.clone());
        let refuse = move |conn: &mut _| {
            let refused = refuse(conn, &presented, key.as_deref(), &actor)?;
            tokens.catch_up(conn);
            Ok(refused)
        };
        return Err(db.run(refuse).await?);
    };
    if begun_elsewhere {
        let actor = actor.clone();
        db.run(move |conn| record(conn, Action::RefreshRepeated, &presented, &actor))
            .await?;
    }
    Ok(pair)
}

/// Rotates for another API: only a token that is really handed out makes its unseen uses count.
fn rotate_with_token(
    conn: &mut PgConnection,
    rotation: &Rotation,
    tokens: &Tokens,
    wish: &Wish,
) -> Result<Option<(Pair, bool)>, ApiError> {
    db::tx(conn, |conn| {
        let rotated = store::rotate(conn, std::slice::from_ref(rotation))?.pop();
        rotated
            .map(|rotated| anew(rotated, tokens, wish))
            .transpose()
    })
}

/// The pair of a generation, and whether somebody elsewhere began it.
fn anew(rotated: Rotated, tokens: &Tokens, wish: &Wish) -> Result<(Pair, bool), ApiError> {
    let holder = Holder::from(rotated.holder);
    let pair = pair(tokens, &holder, &rotated.generation, wish)?;
    Ok((pair, rotated.begun_elsewhere))
}

/// Where a request comes from, so that two places can be told apart but not read.
fn origin(actor: &Actor) -> String {
    let place = format!("{:?}", (&actor.address, &actor.user_agent));
    let hash = digest::digest(&digest::SHA256, place.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..12).unwrap_or_default())
}

/// Finds out why nothing matched, and ends a session whose token was stolen.
fn refuse(
    conn: &mut PgConnection,
    presented: &RefreshClaims,
    key: Option<&str>,
    actor: &Actor,
) -> Result<ApiError, ApiError> {
    let owner = presented.sub;
    db::tx(conn, |conn| {
        let standing = sessions_store::standing(conn, owner, presented.sid, &presented.client_id)?;
        match standing {
            Some((.., Some(reason))) => Ok(refused_for(EndReason::from_name(&reason))),
            Some((_, Some(bound), None)) if key != Some(&bound) => {
                record(conn, Action::RefreshRefused, presented, actor)?;
                Ok(refused("the refresh token is bound to another key"))
            }
            Some((current, _, None)) if presented.generation < current => {
                let reason = EndReason::RefreshTokenReused;
                let which = end_store::Which::One(presented.sid);
                let ended = end_store::end(conn, owner, &which, reason.name())?;
                record_ends(conn, owner, &ended, actor)?;
                Ok(refused_for(Some(reason)))
            }
            Some((current, _, None)) if presented.generation > current => {
                record(conn, Action::RefreshRefused, presented, actor)?;
                Ok(refused_for(None))
            }
            _ => Ok(refused_for(None)),
        }
    })
}

fn record(
    conn: &mut PgConnection,
    action: Action,
    presented: &RefreshClaims,
    actor: &Actor,
) -> Result<(), ApiError> {
    let details = json!({"session_id": presented.sid, "generation": presented.generation});
    Event {
        actor,
        action,
        subject_id: Some(presented.sub),
        details,
    }
    .record(conn)?;
    Ok(())
}

fn refused_for(reason: Option<EndReason>) -> ApiError {
    refused(reason.map_or("the session has ended", EndReason::words))
}

/// Refuses a token that was given to another client, and writes down who presented it.
pub async fn refuse_foreign(db: &Db, presented: RefreshClaims, actor: &Actor) -> ApiError {
    let actor = actor.clone();
    let recorded = db
        .run(move |conn| record(conn, Action::RefreshRefused, &presented, &actor))
        .await;
    recorded.err().unwrap_or_else(|| refusal(Refusal::Audience))
}

/// The error for a refresh token that fails a check.
pub fn refusal(refusal: Refusal) -> ApiError {
    refused(match refusal {
        Refusal::Undecided => return Code::DatabaseUnavailable.into(),
        Refusal::Expired => "the refresh token is expired",
        _ => "the refresh token is not one of ours",
    })
}

/// The error for a request without any refresh token.
pub fn missing() -> ApiError {
    refused("no refresh token came, neither in the body nor in a cookie")
}

fn refused(reason: &'static str) -> ApiError {
    ApiError::new(Code::InvalidGrant, reason).challenge(&format!(
        ", error=\"invalid_token\", error_description=\"{reason}\""
    ))
}
