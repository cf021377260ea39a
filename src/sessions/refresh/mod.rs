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

mod store;

use std::{collections::HashMap, sync::Arc};

use diesel::PgConnection;
use serde_json::json;
use uuid::Uuid;

use super::{
    EndReason, Pair, Rules, Wish, end_store, ends::record_ends, pair::pair, store as sessions_store,
};
use crate::{
    audit::{Action, Actor, Event},
    db::{self, Db, Errand},
    error::{ApiError, Code},
    tokens::{RefreshClaims, Refusal, Tokens},
    users::Holder,
};

use store::{Rotated, Rotation};

/// Where refreshes wait for the database, so fifty tabs that wake up together hold one connection and not fifty.
pub type Desk = db::Desk<Rotation>;

/// What becomes of a rotation: the session in its new generation, or the refusal.
type Answer = Result<Rotated, ApiError>;

impl Errand for Rotation {
    type Office = Tokens;
    type Line = ();
    type Answer = Rotated;

    const IS_REPEATABLE: bool = true;

    fn line(&self) -> Option<()> {
        Some(())
    }

    fn subject(&self) -> Option<Uuid> {
        Some(self.presented.sid)
    }

    fn run(
        tokens: &Tokens,
        conn: &mut PgConnection,
        rotations: &[Arc<Self>],
    ) -> Result<Vec<db::Told<Self>>, ApiError> {
        let answers = rotate(conn, rotations)?;
        if answers.iter().any(Result::is_err) {
            // Some may have ended.
            tokens.catch_up(conn);
        }
        Ok(answers.into_iter().map(|answer| answer.map(Some)).collect())
    }

    fn run_alone(
        self: Arc<Self>,
        tokens: &Tokens,
        conn: &mut PgConnection,
    ) -> Result<Rotated, ApiError> {
        let rotated = rotate_one(conn, self)?;
        if rotated.is_err() {
            tokens.catch_up(conn);
        }
        rotated
    }
}

/// Answers the pair of the generation after the presented one, together with others who refresh just now.
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
    let tokens = &rules.tokens;
    if wish.is_external(tokens) {
        let (wish, rules, actor) = (wish.clone(), rules.clone(), actor.clone());
        return db
            .run(move |conn| {
                let answer = refresh_alone(conn, presented, &wish, &rules, &actor)?;
                if answer.is_err() {
                    rules.tokens.catch_up(conn);
                }
                Ok(answer)
            })
            .await?;
    }
    let rotation = Rotation::new(presented, wish, rules, actor);
    let rotated = desk.send(rotation).await?;
    new_pair(rotated, tokens, wish)
}

/// The same alone and in the caller's hop. What is done because of a refusal, which is the answer then, is to stay; for another
/// API the token is made before the session is rotated for good, since only one that is really handed out makes its unseen
/// uses count.
///
/// # Errors
/// 422 for a wish that can't be granted; Postgres. Nothing is done then.
pub fn refresh_alone(
    conn: &mut PgConnection,
    presented: RefreshClaims,
    wish: &Wish,
    rules: &Rules,
    actor: &Actor,
) -> Result<Result<Pair, ApiError>, ApiError> {
    let rotation = Rotation::new(presented, wish, rules, actor);
    db::tx(conn, |conn| match rotate_one(conn, Arc::new(rotation))? {
        Ok(rotated) => new_pair(rotated, &rules.tokens, wish).map(Ok),
        Err(failed) if failed.is_ours() => Err(failed),
        Err(refused) => Ok(Err(refused)),
    })
}

fn rotate_one(conn: &mut PgConnection, rotation: Arc<Rotation>) -> Result<Answer, ApiError> {
    let answer = rotate(conn, &[rotation])?.pop();
    answer.ok_or_else(|| ApiError::internal("a refresh got no answer"))
}

/// Rotates each session where the table allows it, and finds out of the others why not; one answer for each, also for whom
/// that fails.
fn rotate(conn: &mut PgConnection, rotations: &[Arc<Rotation>]) -> Result<Vec<Answer>, ApiError> {
    let rotated = store::rotate(conn, rotations)?.into_iter();
    let mut rotated: HashMap<_, _> = rotated
        .map(|rotated| (rotated.generation.session_id, rotated))
        .collect();
    let answers = rotations.iter().map(|rotation| {
        let Some(rotated) = rotated.remove(&rotation.presented.sid) else {
            return Err(refuse(conn, rotation).unwrap_or_else(|failed| failed));
        };
        if rotated.begun_elsewhere {
            let (presented, actor) = (&rotation.presented, &rotation.actor);
            record(conn, Action::RefreshRepeated, presented, actor)?;
        }
        Ok(rotated)
    });
    Ok(answers.collect())
}

fn new_pair(rotated: Rotated, tokens: &Tokens, wish: &Wish) -> Result<Pair, ApiError> {
    let holder = Holder::from(rotated.holder);
    pair(tokens, &holder, &rotated.generation, wish)
}

/// Finds out why nothing matched, and ends a session whose token was stolen.
fn refuse(conn: &mut PgConnection, rotation: &Rotation) -> Result<ApiError, ApiError> {
    let Rotation {
        presented,
        key,
        actor,
        ..
    } = rotation;
    let owner = presented.sub;
    db::tx(conn, |conn| {
        let standing = sessions_store::standing(conn, owner, presented.sid, &presented.client_id)?;
        match standing {
            Some((.., Some(reason))) => Ok(refused_for(EndReason::from_name(&reason))),
            Some((_, Some(bound), None)) if key.as_ref() != Some(&bound) => {
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
