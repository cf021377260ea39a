//! What this server can do, for those who ask (RFC 8414, OpenID Connect Discovery, RFC 9728): only what works as configured.

use serde_json::{Value, json};

use super::Server;
use crate::{
    clients::{AuthMethod, GrantType},
    config::Registration,
    jose,
    scope::{BUILT_IN, IDENTITY},
    users,
};

const AUTH_METHODS: [AuthMethod; 4] = [
    AuthMethod::None,
    AuthMethod::ClientSecretBasic,
    AuthMethod::ClientSecretPost,
    AuthMethod::PrivateKeyJwt,
];

/// What every ID token says.
const IDENTITY_CLAIMS: [&str; 10] = [
    "sub",
    "iss",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "sid",
];

impl Server {
    /// The metadata of the authorization server.
    pub fn metadata(&self) -> Value {
        let methods: Vec<_> = AUTH_METHODS.iter().map(|method| method.name()).collect();
        let grants: Vec<_> = GrantType::ALL.iter().map(|grant| grant.name()).collect();
        let claims: Vec<_> = IDENTITY_CLAIMS
            .into_iter()
            .chain(users::claims_known())
            .collect();
        let mut metadata = json!({
            "issuer": self.issuer(),
            "authorization_endpoint": self.at("/oauth/authorize"),
            "token_endpoint": self.at("/oauth/token"),
            "userinfo_endpoint": self.at("/oauth/userinfo"),
            "jwks_uri": self.at("/.well-known/jwks.json"),
            "pushed_authorization_request_endpoint": self.at("/oauth/par"),
            "revocation_endpoint": self.at("/oauth/revoke"),
            "introspection_endpoint": self.at("/oauth/introspect"),
            "device_authorization_endpoint": self.at("/oauth/device_authorization"),
            "end_session_endpoint": self.at("/oauth/logout"),
            "scopes_supported": self.scopes(),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "grant_types_supported": grants,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "userinfo_signing_alg_values_supported": ["RS256"],
            "introspection_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": jose::ALGORITHMS,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": jose::ALGORITHMS,
            // Public clients prove nothing, so they learn nothing of tokens.
            "introspection_endpoint_auth_methods_supported": methods.get(1..),
            "introspection_endpoint_auth_signing_alg_values_supported": jose::ALGORITHMS,
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "acr_values_supported": ["1"],
            "claim_types_supported": ["normal"],
            "claims_supported": claims,
            "claims_parameter_supported": true,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "require_pushed_authorization_requests": false,
            "require_request_uri_registration": false,
            "authorization_response_iss_parameter_supported": true,
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
            "dpop_signing_alg_values_supported": jose::ALGORITHMS,
            "ui_locales_supported": ["en", "ko"],
            "client_id_metadata_document_supported": self.config.client_documents,
            "protected_resources": [self.rules.tokens.audience()],
        });
        if let (Value::Object(metadata), true) =
            (&mut metadata, self.config.registration != Registration::Off)
        {
            let endpoint = self.at("/oauth/register");
            metadata.insert("registration_endpoint".to_owned(), endpoint.into());
        }
        metadata
    }

    /// The metadata of our own API as a protected resource.
    pub fn resource_metadata(&self) -> Value {
        json!({
            "resource": self.rules.tokens.audience(),
            "authorization_servers": [self.issuer()],
            "jwks_uri": self.at("/.well-known/jwks.json"),
            "scopes_supported": BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            "bearer_methods_supported": ["header"],
            "resource_name": "Tollgate",
            "resource_documentation": self.at("/docs/"),
            "dpop_signing_alg_values_supported": jose::ALGORITHMS,
            "dpop_bound_access_tokens_required": false,
        })
    }

    /// Where that metadata is: behind the origin of the resource, before its path (RFC 9728 section 3.1).
    pub fn resource_metadata_uri(&self) -> String {
        let path = path_of(self.rules.tokens.audience());
        let slash = if path.is_empty() { "" } else { "/" };
        self.at(&format!(
            "/.well-known/oauth-protected-resource{slash}{path}"
        ))
    }

    /// Whether what follows the well-known name is the path of our API (RFC 9728 section 3.1).
    pub fn is_own_path(&self, tail: &str) -> bool {
        path_of(self.rules.tokens.audience()) == tail.trim_end_matches('/')
    }

    fn scopes(&self) -> Vec<&'static str> {
        IDENTITY
            .iter()
            .chain(BUILT_IN)
            .map(|(name, _)| *name)
            .collect()
    }
}

/// The path of an address, without the slashes around it.
fn path_of(address: &str) -> &str {
    let authority = address.find("://").map_or(0, |at| at + 3);
    let rest = address.get(authority..).unwrap_or_default();
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    path.trim_end_matches('/')
}
