//! The grant `authorization_code` (RFC 6749 section 4.1.3, RFC 7636 section 4.5): a code is good once.

use aws_lc_rs::{constant_time, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use diesel::PgConnection;
use serde_json::json;

use super::{
    OAuthError, Server, consents, hop, once,
    store::{self, CodeRow},
    token::{TokenAnswer, TokenRequest},
};
use crate::{
    audit::{Action, Event},
    clients::{Client, GrantType},
    db::{self, Db},
    error::ApiError,
    scope::Scopes,
    secret::Secret,
    sessions::{self, EndReason, Lifetimes, NewSession, Rules, Wish},
};

impl Server {
    pub(super) async fn redeem_code(
        &self,
        db: &Db,
        request: TokenRequest,
    ) -> Result<TokenAnswer, OAuthError> {
        let code = Secret::hash(request.need("code")?);
        request.need("code_verifier")?;
        let server = self.clone();
        hop(db, move |conn| {
            let answered = match server.redeem_at_once(conn, &code, &request) {
                Ok(None) => server.redeem(conn, &code, &request),
                answered => answered.and_then(|answer| answer.ok_or_else(unknown)),
            };
            if answered.is_err() {
                // It may have been used twice.
                server.rules.tokens.catch_up(conn);
            }
            answered
        })
        .await
    }

    /// Redeems a good code of a client that nothing else has to be asked about, by one statement that holds the code only
    /// where it is still good then. What is wrong with any other is told by `redeem`.
    fn redeem_at_once(
        &self,
        conn: &mut PgConnection,
        code: &[u8],
        request: &TokenRequest,
    ) -> Result<Option<TokenAnswer>, OAuthError> {
        let client = request.client();
        if client.needs_consent() || !request.used().is_empty() {
            return Ok(None);
        }
        match store::find_code(conn, code, &client.id)? {
            Some(found)
                if found.code.session_id.is_none() && check(&found.code, request).is_ok() =>
            {
                db::go_on()?;
                self.open_for(conn, code, found.code, request)
            }
            _ => Ok(None),
        }
    }

    fn redeem(
        &self,
        conn: &mut PgConnection,
        code: &[u8],
        request: &TokenRequest,
    ) -> Result<TokenAnswer, OAuthError> {
        // What ends by a second use has to stay ended, so this transaction commits also when it refuses.
        db::tx(conn, |conn| {
            let used = request.used();
            once::take_all(conn, &used)?;
            let client_id = &request.client().id;
            let Some(held) = store::hold_code(conn, code, client_id)? else {
                return Ok(Err(unknown()));
            };
            if let Some(session_id) = held.code.session_id {
                end_reused(conn, &held.code, session_id, request)?;
                return Ok(Err(unknown()));
            }
            if !held.is_good {
                return Ok(Err(unknown()));
            }
            if let Err(refusal) = check(&held.code, request) {
                return Ok(Err(refusal));
            }
            if held.is_gone {
                return Ok(Err(gone()));
            }
            let open = |conn: &mut _| {
                let opened = self.open_for(conn, code, held.code, request)?;
                opened.ok_or_else(unknown)
            };
            if used.is_empty() {
                open(conn).map(Ok)
            } else {
                once::keeping(conn, open)
            }
        })
        .and_then(|answered: Result<TokenAnswer, OAuthError>| answered)
    }

    fn open_for(
        &self,
        conn: &mut PgConnection,
        code: &[u8],
        row: CodeRow,
        request: &TokenRequest,
    ) -> Result<Option<TokenAnswer>, OAuthError> {
        let scopes = Scopes::from_stored(&row.scopes);
        let client = request.client();
        if client.needs_consent()
            && !consents::covers(
                conn,
                row.user_id,
                &client.id,
                &scopes,
                row.resource.as_deref(),
            )?
        {
            let description = "the person has taken back what they allowed";
            return Err(OAuthError::invalid_grant(description));
        }
        let mut wish = request.wish(self)?;
        wish.identity.nonce = row.nonce;
        let session = NewSession {
            client_id: request.client().id.clone(),
            scopes,
            auth_time: Some(row.auth_time),
            acr: row.acr,
            amr: row.amr,
            page_hash: None,
            parent_id: Some(row.page_id),
            key: request
                .thumbprint()
                .filter(|_| request.client().is_public()),
            resource: self.settled(request.client(), row.resource, &wish),
            claims: row.claims,
        };
        let rules = self.rules_for(request);
        let purpose = store::redeeming(code, &client.id);
        let (owner, actor) = (row.user_id, request.actor());
        let pair = sessions::open_for(conn, owner, &session, &wish, &actor, &rules, purpose)?;
        Ok(pair.map(|pair| TokenAnswer::of(pair, request)))
    }

    /// The API that a session is for: a client that people let in gets no tokens for one that they were not asked about
    /// (RFC 8707 section 2.2).
    pub(super) fn settled(
        &self,
        client: &Client,
        asked: Option<String>,
        wish: &Wish,
    ) -> Option<String> {
        asked.or_else(|| {
            if client.needs_consent() {
                Some(self.rules.tokens.audience().to_owned())
            } else {
                wish.audience.clone()
            }
        })
    }

    /// A session that nothing refreshes ends with its access token.
    pub(super) fn rules_for(&self, request: &TokenRequest) -> Rules {
        let mut rules = self.rules.clone();
        if !request.client().may(GrantType::RefreshToken) {
            let idle = rules.tokens.access_lifetime();
            rules.lifetimes = Lifetimes {
                idle,
                ..rules.lifetimes
            };
        }
        rules
    }
}

fn unknown() -> OAuthError {
    OAuthError::invalid_grant("the code is unknown, expired, used, or not this client's")
}

/// Whoever has signed out meanwhile is not signed in again.
fn gone() -> OAuthError {
    OAuthError::invalid_grant("the account can't be used any more")
}

/// Whether the code is redeemed by whom it was given to; a wrong guess leaves it as it was.
fn check(row: &CodeRow, request: &TokenRequest) -> Result<(), OAuthError> {
    // OAuth 2.1 needs it no more; what is sent has to be right.
    if request
        .parameters
        .get("redirect_uri")
        .is_some_and(|uri| uri != row.redirect_uri)
    {
        return Err(OAuthError::invalid_grant(
            "redirect_uri is another than the code was sent to",
        ));
    }
    let verifier = request.need("code_verifier")?;
    let hash = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let matches = constant_time::verify_slices_are_equal(hash.as_bytes(), row.challenge.as_bytes());
    if matches.is_err() || !(43..=128).contains(&verifier.len()) {
        return Err(OAuthError::invalid_grant(
            "code_verifier does not fit the code_challenge",
        ));
    }
    if row.cnf.is_some() && row.cnf != request.thumbprint() {
        return Err(OAuthError::invalid_grant(
            "the code is bound to another key",
        ));
    }
    Ok(())
}

/// A code that comes twice was stolen: what it was redeemed for ends (RFC 6749 section 4.1.2).
fn end_reused(
    conn: &mut PgConnection,
    row: &CodeRow,
    session_id: uuid::Uuid,
    request: &TokenRequest,
) -> Result<(), ApiError> {
    let actor = request.actor();
    sessions::end_one(conn, row.user_id, session_id, EndReason::CodeReused, &actor)?;
    Event {
        actor: &actor,
        action: Action::CodeReused,
        subject_id: Some(row.user_id),
        details: json!({"session_id": session_id}),
    }
    .record(conn)?;
    Ok(())
}
