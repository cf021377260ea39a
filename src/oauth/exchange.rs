//! Token exchange (RFC 8693): an API that was called with a token calls the next one, and says for whom.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Fault, OAuthError, Server, hop, once,
    token::{TokenAnswer, TokenRequest},
};
use crate::{
    audit::{Action, Actor, Event},
    db::{self, Db},
    error::ApiError,
    scope::Scopes,
    tokens::{AccessClaims, Grant, UserGrant, Verified},
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

impl Server {
    pub(super) async fn exchange(
        &self,
        db: &Db,
        request: TokenRequest,
    ) -> Result<TokenAnswer, OAuthError> {
        let verified = self.subject(&request)?;
        let subject = &verified.claims;
        let scopes = narrowed(subject, &request)?;
        let client = request.client();
        let [audience, resource] =
            ["audience", "resource"].map(|name| request.parameters.get(name));
        let first = self.resource(client, audience.or(resource))?;
        if first != self.resource(client, resource.or(audience))? {
            let description = "audience and resource are different: a token is for one API";
            return Err(OAuthError::new(Fault::InvalidTarget, description));
        }
        let audience = first;
        let act = match &subject.act {
            Some(before) => json!({"sub": client.id, "act": before}),
            None => json!({"sub": client.id}),
        };
        let user = user_of(subject);
        let grant = Grant {
            client_id: client.id.clone(),
            scopes: scopes.clone(),
            audience,
            key: request.thumbprint(),
            act: Some(act),
            until: Some(subject.exp),
            user,
        };
        let (used, actor) = (request.used(), request.actor());
        hop(db, move |conn| {
            db::tx::<_, OAuthError>(conn, |conn| {
                once::take_all(conn, &used)?;
                Ok(record(conn, &verified.claims, &actor)?)
            })
        })
        .await?;
        let tokens = &self.rules.tokens;
        let issued = tokens.issue_access(grant, tokens.now())?;
        let answer = TokenAnswer::access(issued.token, issued.expires_in, &scopes, &request);
        Ok(answer.exchanged(ACCESS_TOKEN))
    }

    /// The token that is exchanged: a good one, that was given to this client or is for an API that it is.
    fn subject(&self, request: &TokenRequest) -> Result<Arc<Verified>, OAuthError> {
        for (name, kinds) in [
            ("subject_token_type", [ACCESS_TOKEN, JWT]),
            ("requested_token_type", [ACCESS_TOKEN, JWT]),
        ] {
            let given = request.parameters.get(name);
            let needed = name == "subject_token_type";
            if given.is_none() && needed || given.is_some_and(|given| !kinds.contains(&given)) {
                let description = format!("{name} has to be {ACCESS_TOKEN}");
                return Err(OAuthError::invalid_request(description));
            }
        }
        if request.parameters.get("actor_token").is_some() {
            let description = "actor_token is not taken: who acts is the client";
            return Err(OAuthError::invalid_request(description));
        }
        let tokens = &self.rules.tokens;
        let verified = tokens
            .verify_for_any(request.need("subject_token")?, tokens.now())
            .map_err(|refusal| OAuthError::invalid_grant(format!("subject_token: {refusal}")))?;
        let claims = &verified.claims;
        let client = request.client();
        if claims.client_id != client.id && !client.is_resource(&claims.aud) {
            let description =
                "subject_token was neither given to this client nor is it for an API that it is";
            return Err(OAuthError::invalid_grant(description));
        }
        if claims.sid.is_none() && claims.client_id != client.id {
            // The new one would speak for whoever exchanges it, as if it were the client's own.
            let description = "subject_token speaks for another client, and for nobody else";
            return Err(OAuthError::invalid_grant(description));
        }
        // A bound token is worth something only with its key, which nobody has shown here.
        let key = claims.cnf.as_ref().map(|cnf| cnf.jkt.as_str());
        if key.is_some()
            && key != request.thumbprint().as_deref()
            && !client.is_resource(&claims.aud)
        {
            return Err(OAuthError::invalid_grant(
                "subject_token is bound to another key",
            ));
        }
        Ok(verified)
    }
}

/// What is wished for of what the token may, and the client may ask for.
fn narrowed(subject: &AccessClaims, request: &TokenRequest) -> Result<Scopes, OAuthError> {
    let held = Scopes::from_stored(subject.scope.split(' ')).without_identity();
    let allowed = held.common(&request.client().scopes());
    let refuse = |description: String| OAuthError::new(Fault::InvalidScope, description);
    let scopes = match request.parameters.get("scope") {
        None => allowed.clone(),
        Some(text) => text.parse().map_err(|error| refuse(format!("{error}")))?,
    };
    if scopes.is_within(&allowed) {
        Ok(scopes)
    } else {
        Err(refuse(format!(
            "of this token the client may have: {allowed}"
        )))
    }
}

fn user_of(subject: &AccessClaims) -> Option<UserGrant> {
    Some(UserGrant {
        user_id: subject.sub.user()?,
        user_epoch: subject.uep?,
        roles: subject.roles.clone()?,
        session_id: subject.sid?,
        generation: subject.generation?,
        auth_time: subject.auth_time?,
        acr: subject.acr.clone()?,
        amr: subject.amr.clone()?,
        private: serde_json::Map::new(),
    })
}

fn record(
    conn: &mut diesel::PgConnection,
    subject: &AccessClaims,
    actor: &Actor,
) -> Result<(), ApiError> {
    let details: Value = json!({"jti": subject.jti, "from": subject.client_id});
    Event {
        actor,
        action: Action::TokenExchanged,
        subject_id: subject.sub.user(),
        details,
    }
    .record(conn)?;
    Ok(())
}
