//! `/oauth/par`: requests that the client pushes itself (RFC 9126).

use diesel::PgConnection;
use serde_json::{Value, json};

use super::{
    OAuthError, Server,
    authenticate::Authenticated,
    dpop::HeldKey,
    once,
    request::Refusal,
    waiting::{keep, request_uri},
};
use crate::form::Parameters;

/// Seconds in which the browser has to come with it (`OAU-21`).
const LIFETIME: i32 = 90;

/// Parameters that prove who the client is, and that nobody has to see again.
const PROOFS: [&str; 4] = [
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "request_uri",
];

impl Server {
    /// Keeps a request that can be answered; the key of a proof that comes with it binds the code (RFC 9449 section 10.1).
    ///
    /// # Errors
    /// What the authorization endpoint would say.
    pub fn push(
        &self,
        conn: &mut PgConnection,
        authenticated: &Authenticated,
        parameters: &Parameters,
        key: Option<&HeldKey>,
    ) -> Result<Value, OAuthError> {
        if parameters.get("request_uri").is_some() {
            return Err(OAuthError::invalid_request("request_uri can't be pushed"));
        }
        let used: Vec<_> = authenticated
            .assertion
            .iter()
            .chain(key.map(|key| &key.presented))
            .cloned()
            .collect();
        once::take_all(conn, &used)?;
        let client = &authenticated.client;
        let mut pushed = parameters.without(&PROOFS);
        if let Some(key) = key {
            if parameters
                .get("dpop_jkt")
                .is_some_and(|given| given != key.thumbprint)
            {
                let description = "dpop_jkt names another key than the DPoP proof";
                return Err(OAuthError::invalid_request(description));
            }
            let kept = pushed.without(&["dpop_jkt"]);
            let bound = ("dpop_jkt".to_owned(), key.thumbprint.clone());
            pushed = kept
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .chain([bound])
                .collect();
        }
        self.read_request(client, &pushed)
            .map_err(|refusal| match refusal {
                Refusal::Page(error) | Refusal::BadRedirect(error) | Refusal::Client(_, error) => {
                    error
                }
                Refusal::Expired => OAuthError::invalid_request("the request has expired"),
            })?;
        let reference = keep(conn, client, &pushed, true, LIFETIME)?;
        Ok(json!({"request_uri": request_uri(&reference), "expires_in": LIFETIME}))
    }
}
