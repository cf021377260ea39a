//! `/oauth/logout` (OpenID Connect RP-Initiated Logout): signing out at our pages, from an app.

use diesel::PgConnection;
use uuid::Uuid;

use super::{OAuthError, Server, authorize::Visitor};
use crate::{
    audit::Actor,
    clients::Kind,
    db,
    form::Parameters,
    sessions::{self, EndReason},
    tokens::IdentityHint,
};

/// A request to sign out, as it is understood.
#[derive(Clone, Debug)]
pub struct SigningOut {
    hint: Option<IdentityHint>,
    /// The app that asks, as far as it says.
    pub client_id: Option<String>,
    /// Where the person goes then: an address that the app has registered for it.
    pub then: Option<String>,
    /// Whether somebody here has registered the app; with others the person says whether they go there.
    pub is_vouched_for: bool,
}

impl Server {
    /// Reads a request to sign out.
    ///
    /// # Errors
    /// `invalid_request` for two different clients, or an address that the client has not registered.
    pub async fn read_logout(&self, parameters: &Parameters) -> Result<SigningOut, OAuthError> {
        // A hint that is not good is none (section 4): then the person is asked.
        let hint = parameters
            .get("id_token_hint")
            .and_then(|token| self.rules.tokens.read_hint(token).ok());
        let hinted = hint.as_ref().map(|hint| hint.client_id.as_str());
        let named = parameters.get("client_id");
        if hinted.is_some() && named.is_some() && hinted != named {
            return Err(OAuthError::invalid_request(
                "client_id is not that of id_token_hint",
            ));
        }
        let client = match hinted.or(named) {
            Some(id) => self.find_client(id).await,
            None => None,
        };
        let then = match parameters.get("post_logout_redirect_uri") {
            None => None,
            Some(uri) => {
                let known = client.as_ref().is_some_and(|client| {
                    let registered = &client.metadata.post_logout_redirect_uris;
                    registered.iter().any(|one| one == uri)
                });
                if !known {
                    let description =
                        "post_logout_redirect_uri is none that the client has registered";
                    return Err(OAuthError::invalid_request(description));
                }
                Some(with_state(uri, parameters.get("state")))
            }
        };
        Ok(SigningOut {
            is_vouched_for: client
                .as_ref()
                .is_none_or(|client| client.kind == Kind::Managed),
            client_id: client.map(|client| client.id.clone()),
            hint,
            then,
        })
    }
}

impl SigningOut {
    /// Whether the app has shown that it is about this very person: only then nobody is asked (`OAU-26`).
    pub fn is_certain(&self, visitor: Option<&Visitor>) -> bool {
        self.hint
            .as_ref()
            .is_some_and(|hint| visitor.is_none_or(|visitor| visitor.account.user.id == hint.sub))
    }

    /// Signs out: the browser, the apps that it let in, and the app that asks.
    ///
    /// # Errors
    /// Postgres.
    pub fn sign_out(
        &self,
        conn: &mut PgConnection,
        visitor: Option<&Visitor>,
        actor: &Actor,
    ) -> Result<(), OAuthError> {
        db::tx(conn, |conn| {
            let mut end = |owner: Uuid, id: Uuid| {
                sessions::end_one(conn, owner, id, EndReason::SignedOut, actor)
            };
            if let Some(visitor) = visitor {
                end(visitor.account.user.id, visitor.page.id)?;
            }
            if let Some(hint) = &self.hint {
                end(hint.sub, hint.sid)?;
            }
            Ok(())
        })
    }
}

fn with_state(uri: &str, state: Option<&str>) -> String {
    let Some(state) = state else {
        return uri.to_owned();
    };
    let separator = if uri.contains('?') { '&' } else { '?' };
    let state: String = form_urlencoded::byte_serialize(state.as_bytes()).collect();
    format!("{uri}{separator}state={state}")
}
