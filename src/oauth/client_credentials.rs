//! The grant `client_credentials` (RFC 6749 section 4.4): a client for itself, without a person and without a database.

use super::{
    Fault, OAuthError, Server, hop, once,
    request::read_scopes,
    token::{TokenAnswer, TokenRequest},
};
use crate::{db::Db, tokens::Grant};

impl Server {
    pub(super) async fn client_credentials(
        &self,
        db: &Db,
        request: TokenRequest,
    ) -> Result<TokenAnswer, OAuthError> {
        let client = request.client();
        let asked = read_scopes(client, &request.parameters)?;
        // There is nobody whom it could learn anything of.
        let scopes = asked.without_identity();
        if asked != scopes && request.parameters.get("scope").is_some() {
            let description = "without a person there is nothing of OpenID Connect";
            return Err(OAuthError::new(Fault::InvalidScope, description));
        }
        let grant = Grant {
            client_id: client.id.clone(),
            scopes: scopes.clone(),
            audience: self.resource(client, request.parameters.get("resource"))?,
            user: None,
            key: request.thumbprint(),
            act: None,
            until: None,
        };
        let used = request.used();
        if !used.is_empty() {
            hop(db, move |conn| once::take_all(conn, &used)).await?;
        }
        let tokens = &self.rules.tokens;
        let issued = tokens.issue_access(grant, tokens.now())?;
        Ok(TokenAnswer::access(
            issued.token,
            issued.expires_in,
            &scopes,
            &request,
        ))
    }
}
