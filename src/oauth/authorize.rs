//! `/oauth/authorize`: whether a request is answered at once, refused, or shown to the person first.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::PgConnection;

use super::{
    Answer, Authorization, Fault, OAuthError, Server, Target, consents,
    request::Refusal,
    store::{self, NewCode},
    waiting::{PATIENCE, Pending, Reference, keep},
};
use crate::{
    audit::Actor,
    clients::{Client, Kind},
    form::Parameters,
    scope::Scopes,
    secret::Secret,
    sessions::SessionRow,
    users::Account,
};

/// Who is signed in at our pages, in this browser.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The browser's session.
    pub page: SessionRow,
    /// Whose it is.
    pub account: Account,
}

/// What the person has done for the request so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// They said that it is them.
    pub chosen: bool,
    /// They allowed what the client asks for.
    pub allowed: bool,
}

/// Which page comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Signing in, also again.
    SignIn,
    /// Saying who of several.
    SelectAccount,
    /// Saying what the client may.
    Consent,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The client is answered.
    Answer(Answer),
    /// The person is shown a page, about the request that this names.
    Page(Step, Reference),
}

impl Server {
    /// Begins with a request as it came.
    ///
    /// # Errors
    /// What is shown to the person, or what the client is told.
    pub fn begin(
        &self,
        conn: &mut PgConnection,
        client: &Arc<Client>,
        parameters: &Parameters,
        visitor: Option<&Visitor>,
        actor: &Actor,
    ) -> Result<Outcome, Refusal> {
        let (authorization, parameters) = self.open(conn, client, parameters)?;
        let decided = self.decide(conn, &authorization, visitor, None, Done::default(), actor);
        match decided {
            Ok(Decision::Answer(answer)) => Ok(Outcome::Answer(answer)),
            Ok(Decision::Page(step)) => {
                let reference = keep(conn, client, &parameters, false, PATIENCE)?;
                Ok(Outcome::Page(step, reference))
            }
            Err(error) => Err(refuse(authorization.target, error)),
        }
    }

    /// Reads a request, and takes it where it was pushed.
    pub(super) fn open(
        &self,
        conn: &mut PgConnection,
        client: &Arc<Client>,
        parameters: &Parameters,
    ) -> Result<(Authorization, Parameters), Refusal> {
        let pushed = match parameters.get("request_uri") {
            Some(uri) => Some(self.take_pushed(conn, client, uri)?),
            None => None,
        };
        let is_pushed = pushed.is_some();
        let parameters = pushed.unwrap_or_else(|| parameters.clone());
        let authorization = self.read_request(client, &parameters)?;
        if client.metadata.require_pushed_authorization_requests && !is_pushed {
            let description = "this client pushes its requests (RFC 9126)";
            let error = OAuthError::invalid_request(description);
            return Err(Refusal::Client(Box::new(authorization.target), error));
        }
        Ok((authorization, parameters))
    }

    /// Goes on with a request, after the person has done something.
    ///
    /// # Errors
    /// What the client is told.
    pub fn go_on(
        &self,
        conn: &mut PgConnection,
        pending: &Pending,
        visitor: Option<&Visitor>,
        done: Done,
        actor: &Actor,
    ) -> Result<Outcome, Refusal> {
        let authorization = &pending.authorization;
        let since = Some(pending.since);
        match self.decide(conn, authorization, visitor, since, done, actor) {
            Ok(Decision::Answer(answer)) => {
                store::forget_request(conn, &Secret::hash(&pending.reference.secret))
                    .map_err(OAuthError::from)?;
                Ok(Outcome::Answer(answer))
            }
            Ok(Decision::Page(step)) => Ok(Outcome::Page(step, pending.reference.clone())),
            Err(error) => Err(refuse(authorization.target.clone(), error)),
        }
    }

    fn decide(
        &self,
        conn: &mut PgConnection,
        authorization: &Authorization,
        visitor: Option<&Visitor>,
        since: Option<DateTime<Utc>>,
        done: Done,
        actor: &Actor,
    ) -> Result<Decision, OAuthError> {
        let prompts = authorization.prompts;
        let ask = |step: Step, fault: Fault, description: &'static str| {
            if prompts.none {
                Err(OAuthError::new(fault, description))
            } else {
                Ok(Decision::Page(step))
            }
        };
        let Some(visitor) = visitor.filter(|one| self.is_fresh(authorization, one, since)) else {
            return ask(Step::SignIn, Fault::LoginRequired, "nobody is signed in");
        };
        let is_meant = authorization
            .hint
            .as_ref()
            .is_none_or(|hint| hint.sub == visitor.account.user.id);
        if !is_meant {
            return ask(
                Step::SignIn,
                Fault::LoginRequired,
                "somebody else is signed in",
            );
        }
        let signed_in_for_it =
            since.is_some_and(|since| visitor.page.auth_time.timestamp() >= since.timestamp());
        if prompts.select_account && !done.chosen && !signed_in_for_it {
            return ask(
                Step::SelectAccount,
                Fault::AccountSelectionRequired,
                "who is meant?",
            );
        }
        let scopes = authorization.scopes.for_roles(&visitor.account.scopes);
        if scopes.is_empty() {
            let description = "the roles of this account allow nothing of what the client asks for";
            return Err(OAuthError::new(Fault::AccessDenied, description));
        }
        if !done.allowed && needs_consent(conn, authorization, visitor, &scopes)? {
            return ask(
                Step::Consent,
                Fault::ConsentRequired,
                "the person was not asked yet",
            );
        }
        if done.allowed {
            consents::give(
                conn,
                visitor.account.user.id,
                &authorization.client.id,
                &scopes,
                authorization.resource.as_deref(),
                actor,
            )?;
        }
        self.grant(conn, authorization, visitor, &scopes)
            .map(Decision::Answer)
    }

    /// Whether who somebody is was proved recently enough.
    fn is_fresh(
        &self,
        authorization: &Authorization,
        visitor: &Visitor,
        since: Option<DateTime<Utc>>,
    ) -> bool {
        let proved = visitor.page.auth_time.timestamp();
        if since.is_some_and(|since| proved >= since.timestamp()) {
            return true;
        }
        let age = self.rules.tokens.now().timestamp() - proved;
        !authorization.prompts.login && authorization.max_age.is_none_or(|most| age <= most)
    }

    fn grant(
        &self,
        conn: &mut PgConnection,
        authorization: &Authorization,
        visitor: &Visitor,
        scopes: &Scopes,
    ) -> Result<Answer, OAuthError> {
        let code = Secret::generate()?;
        let target = &authorization.target;
        let new = NewCode {
            id: &code.hash,
            client_id: &authorization.client.id,
            user_id: visitor.account.user.id,
            page: &visitor.page,
            redirect_uri: &target.redirect_uri,
            scopes: &scopes.names(),
            challenge: &authorization.challenge,
            nonce: authorization.nonce.as_deref(),
            key: authorization.key.as_deref(),
            resource: authorization.resource.as_deref(),
            claims: authorization.claims.as_ref(),
        };
        store::insert_code(conn, &new)?;
        Ok(target.answer(vec![("code", code.text)]))
    }
}

enum Decision {
    Answer(Answer),
    Page(Step),
}

/// Tells the client, unless it is our side that failed.
fn refuse(target: Target, error: OAuthError) -> Refusal {
    if error.is_ours() {
        Refusal::Page(error)
    } else {
        Refusal::Client(Box::new(target), error)
    }
}

/// People are asked unless they were, or it is one of our own apps. Whoever can't be told from an impostor is asked each
/// time (RFC 8252 section 8.6).
fn needs_consent(
    conn: &mut PgConnection,
    authorization: &Authorization,
    visitor: &Visitor,
    scopes: &Scopes,
) -> Result<bool, OAuthError> {
    let client = &authorization.client;
    if authorization.prompts.consent {
        return Ok(true);
    }
    if !client.needs_consent() {
        return Ok(false);
    }
    // At an address on the person's own machine, any program there may answer; what is developed there is a page with a port.
    let (uri, kind) = (
        &authorization.target.redirect_uri,
        client.metadata.application_type.as_deref(),
    );
    let is_page = uri.starts_with("http://localhost:") && kind != Some("native");
    let is_anybody = client.is_public() && !uri.starts_with("https://") && !is_page;
    if is_anybody || client.kind != Kind::Managed {
        return Ok(true);
    }
    let owner = visitor.account.user.id;
    let resource = authorization.resource.as_deref();
    Ok(!consents::covers(
        conn, owner, &client.id, scopes, resource,
    )?)
}
