//! `/oauth/token`: which grant it is, and what every answer looks like (RFC 6749 section 5.1).

use serde::Serialize;
use utoipa::ToSchema;

use super::{Fault, OAuthError, Presented, Server, authenticate::Authenticated, dpop::HeldKey};
use crate::{
    audit::Actor,
    clients::{Client, GrantType},
    db::Db,
    form::Parameters,
    scope::Scopes,
    sessions::{IdentityWish, Pair, Wish},
};

/// Tokens for a client, RFC 6749 section 5.1; deliberately not to be printed.
#[derive(Serialize, ToSchema)]
#[schema(as = OAuthTokens, example = json!({
    "access_token": "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln",
    "token_type": "Bearer",
    "expires_in": 600,
    "scope": "openid email",
    "refresh_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.e30.c2ln",
    "id_token": "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2ln",
}))]
pub struct TokenAnswer {
    /// Goes into `Authorization: Bearer …`, or `DPoP …` with a proof.
    access_token: String,
    /// `Bearer`, or `DPoP` for one that is bound to a key.
    token_type: &'static str,
    /// Seconds until it expires.
    expires_in: i64,
    /// What it may do.
    scope: String,
    /// Brings the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Who signed in, with the scope `openid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    /// What was issued, of token exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

/// A request for tokens whose client has proved who it is.
pub struct TokenRequest {
    /// Who asks.
    pub authenticated: Authenticated,
    /// What it sends.
    pub parameters: Parameters,
    /// The key that it holds.
    pub key: Option<HeldKey>,
    /// Where the request comes from.
    pub actor: Actor,
}

impl TokenRequest {
    pub(super) fn client(&self) -> &Client {
        &self.authenticated.client
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, OAuthError> {
        self.parameters
            .get(name)
            .ok_or_else(|| OAuthError::missing(name))
    }

    pub(super) fn thumbprint(&self) -> Option<String> {
        self.key.as_ref().map(|key| key.thumbprint.clone())
    }

    /// What of the request may not be used again.
    pub(super) fn used(&self) -> Vec<Presented> {
        let proof = self.key.as_ref().map(|key| &key.presented);
        self.authenticated
            .assertion
            .iter()
            .chain(proof)
            .cloned()
            .collect()
    }

    /// The actor, with the client.
    pub(super) fn actor(&self) -> Actor {
        Actor {
            client_id: Some(self.client().id.clone()),
            ..self.actor.clone()
        }
    }

    /// What the client wants of its tokens.
    pub(super) fn wish(&self, server: &Server) -> Result<Wish, OAuthError> {
        let refuse = |error| OAuthError::new(Fault::InvalidScope, format!("{error}"));
        let scopes = self.parameters.get("scope").map(str::parse::<Scopes>);
        let scopes = scopes.transpose().map_err(refuse)?;
        Ok(Wish {
            scopes,
            most: Some(self.client().scopes()),
            audience: server.resource(self.client(), self.parameters.get("resource"))?,
            key: self.thumbprint(),
            identity: IdentityWish {
                nonce: None,
                with_claims: self.client().metadata.id_token_claims,
            },
        })
    }
}

impl TokenAnswer {
    /// The answer with a pair of tokens; the refresh token only for clients that may use it.
    pub(super) fn of(pair: Pair, request: &TokenRequest) -> Self {
        let may_refresh = request.client().may(GrantType::RefreshToken);
        Self {
            refresh_token: Some(pair.refresh_token).filter(|_| may_refresh),
            id_token: pair.id_token,
            ..Self::access(pair.access_token, pair.expires_in, &pair.scopes, request)
        }
    }

    /// The answer with an access token alone.
    pub(super) fn access(
        access_token: String,
        expires_in: i64,
        scopes: &Scopes,
        request: &TokenRequest,
    ) -> Self {
        Self {
            access_token,
            token_type: if request.key.is_some() {
                "DPoP"
            } else {
                "Bearer"
            },
            expires_in,
            scope: scopes.to_string(),
            refresh_token: None,
            id_token: None,
            issued_token_type: None,
        }
    }

    /// The same with what kind of token it is (RFC 8693 section 2.2.1).
    pub(super) fn exchanged(self, kind: &'static str) -> Self {
        Self {
            issued_token_type: Some(kind),
            ..self
        }
    }
}

impl Server {
    /// Answers a request for tokens.
    ///
    /// # Errors
    /// RFC 6749 section 5.2's, and those of the grant.
    pub async fn token(&self, db: &Db, request: TokenRequest) -> Result<TokenAnswer, OAuthError> {
        let name = request.need("grant_type")?;
        let grant = GrantType::from_name(name).ok_or_else(|| {
            OAuthError::new(Fault::UnsupportedGrantType, "there is no such grant here")
        })?;
        let client = request.client();
        if !client.may(grant) {
            let description = format!("the client is not registered for {}", grant.name());
            return Err(OAuthError::new(Fault::UnauthorizedClient, description));
        }
        if client.metadata.dpop_bound_access_tokens && request.key.is_none() {
            let description = "this client's tokens are bound to a key: send a DPoP proof";
            return Err(OAuthError::new(Fault::InvalidDpopProof, description));
        }
        match grant {
            GrantType::AuthorizationCode => self.redeem_code(db, request).await,
            GrantType::RefreshToken => self.refresh(db, request).await,
            GrantType::ClientCredentials => self.client_credentials(db, request).await,
            GrantType::DeviceCode => self.redeem_device(db, request).await,
            GrantType::TokenExchange => self.exchange(db, request).await,
        }
    }
}
