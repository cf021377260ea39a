//! What a client registers: the names of RFC 7591, OpenID Connect Registration and their extensions, and our own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{AuthMethod, GrantType, Kind, Signing, uri};
use crate::{config::check_origin, error::FieldError, jose::PublicKeys, scope::Scopes};

/// What a client is, as it registered.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = ClientMetadata, example = json!({
    "client_name": "Shop",
    "redirect_uris": ["https://shop.example.com/callback"],
    "token_endpoint_auth_method": "none",
    "grant_types": ["authorization_code", "refresh_token"],
    "scope": "openid profile email",
    "allowed_origins": ["https://shop.example.com"],
}))]
pub struct Metadata {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100)]
    pub client_name: Option<String>,
    /// Where people are sent back to, compared byte for byte; of `http://127.0.0.1` any port counts.
    #[schema(max_items = 20, required = false)]
    pub redirect_uris: Vec<String>,
    /// Where people are sent after signing out.
    #[schema(max_items = 20, required = false)]
    pub post_logout_redirect_uris: Vec<String>,
    /// How it proves who it is.
    #[schema(required = false)]
    pub token_endpoint_auth_method: AuthMethod,
    /// How its tokens of `private_key_jwt` are signed; any that its keys allow when left out.
    #[schema(max_length = 20)]
    pub token_endpoint_auth_signing_alg: Option<String>,
    /// How it may come by tokens.
    #[schema(required = false)]
    pub grant_types: Vec<GrantType>,
    /// What the authorization endpoint answers it: `code`, and nothing else.
    #[schema(max_items = 1, required = false)]
    pub response_types: Vec<String>,
    /// What it may ask for, separated by spaces.
    #[schema(max_length = 2000)]
    pub scope: Option<String>,
    /// Its public keys (RFC 7517), for `private_key_jwt`.
    #[schema(value_type = Option<Object>)]
    pub jwks: Option<Value>,
    /// Where its public keys are.
    #[schema(max_length = 2000)]
    pub jwks_uri: Option<String>,
    /// `web`, or `native` for an app on a person's own machine.
    #[schema(pattern = "^(web|native)$")]
    pub application_type: Option<String>,
    /// Its page for people.
    #[schema(max_length = 2000)]
    pub client_uri: Option<String>,
    /// Its picture; kept, and shown nowhere.
    #[schema(max_length = 2000)]
    pub logo_uri: Option<String>,
    /// What it does with people's data.
    #[schema(max_length = 2000)]
    pub policy_uri: Option<String>,
    /// Its terms.
    #[schema(max_length = 2000)]
    pub tos_uri: Option<String>,
    /// Who is responsible for it.
    #[schema(max_items = 10, required = false)]
    pub contacts: Vec<String>,
    /// What software it is.
    #[schema(max_length = 200)]
    pub software_id: Option<String>,
    /// And which version.
    #[schema(max_length = 200)]
    pub software_version: Option<String>,
    /// How subjects look to it: `public`, the same for every client.
    #[schema(pattern = "^public$")]
    pub subject_type: Option<String>,
    /// How its ID tokens are signed.
    pub id_token_signed_response_alg: Option<Signing>,
    /// Whether, and how, what it learns of users is signed.
    pub userinfo_signed_response_alg: Option<Signing>,
    /// Whether, and how, what it learns of tokens is signed (RFC 9701).
    pub introspection_signed_response_alg: Option<Signing>,
    /// Seconds after which people have to sign in again for it, unless it says otherwise.
    #[schema(minimum = 0)]
    pub default_max_age: Option<i64>,
    /// Whether it must push its requests (RFC 9126).
    #[schema(required = false)]
    pub require_pushed_authorization_requests: bool,
    /// Whether its tokens must be bound to a key (RFC 9449).
    #[schema(required = false)]
    pub dpop_bound_access_tokens: bool,
    /// Where it wants to be told that a session has ended.
    #[schema(max_length = 2000)]
    pub backchannel_logout_uri: Option<String>,
    /// Whether it needs to know which one; it is told in any case.
    #[schema(required = false)]
    pub backchannel_logout_session_required: bool,
    /// Origins whose pages may use the API with its tokens.
    #[schema(max_items = 20, required = false)]
    pub allowed_origins: Vec<String>,
    /// The configured APIs that it may ask tokens for; any when left out.
    #[schema(max_items = 50)]
    pub audiences: Option<Vec<String>>,
    /// The APIs that it is: it may introspect, and exchange, tokens for these.
    #[schema(max_items = 50, required = false)]
    pub resources: Vec<String>,
    /// Whether it is one of our own apps: people are not asked what it may, and its origins may use cookies.
    #[schema(required = false)]
    pub first_party: bool,
    /// Whether its `private_key_jwt` may also be addressed to the token endpoint, as older libraries do.
    #[schema(required = false)]
    pub token_endpoint_audience: bool,
    /// Whether ID tokens hold what otherwise only userinfo tells.
    #[schema(required = false)]
    pub id_token_claims: bool,
}

impl Default for Metadata {
    /// RFC 7591 section 2's defaults.
    fn default() -> Self {
        Self {
            client_name: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            token_endpoint_auth_method: AuthMethod::default(),
            token_endpoint_auth_signing_alg: None,
            grant_types: vec![GrantType::AuthorizationCode],
            response_types: vec!["code".to_owned()],
            scope: None,
            jwks: None,
            jwks_uri: None,
            application_type: None,
            client_uri: None,
            logo_uri: None,
            policy_uri: None,
            tos_uri: None,
            contacts: Vec::new(),
            software_id: None,
            software_version: None,
            subject_type: None,
            id_token_signed_response_alg: None,
            userinfo_signed_response_alg: None,
            introspection_signed_response_alg: None,
            default_max_age: None,
            require_pushed_authorization_requests: false,
            dpop_bound_access_tokens: false,
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            allowed_origins: Vec::new(),
            audiences: None,
            resources: Vec::new(),
            first_party: false,
            token_endpoint_audience: false,
            id_token_claims: false,
        }
    }
}

/// Bytes of the longest set of keys.
const LONGEST_JWKS: usize = 65_536;

/// What only an administrator may say of a client.
pub const PRIVILEGED: [&str; 5] = [
    "audiences",
    "resources",
    "first_party",
    "token_endpoint_audience",
    "id_token_claims",
];

impl Metadata {
    /// Reads what is stored; what a newer version stored beside it is left out.
    ///
    /// # Errors
    /// What does not fit.
    pub fn from_stored(stored: Value) -> serde_json::Result<Self> {
        serde_json::from_value(Value::Object(Self::known(stored, &[])))
    }

    /// Reads what a client says of itself: what we don't understand is ignored (RFC 7591 section 2), and what only an
    /// administrator may say, too.
    ///
    /// # Errors
    /// What does not fit.
    pub fn from_registration(given: Value) -> serde_json::Result<Self> {
        serde_json::from_value(Value::Object(Self::known(given, &PRIVILEGED)))
    }

    fn known(given: Value, without: &[&str]) -> Map<String, Value> {
        let (Value::Object(mut given), Value::Object(known)) = (given, json!(Self::default()))
        else {
            return Map::new();
        };
        // Null is left out, also where a list is expected.
        given.retain(|name, value| {
            known.contains_key(name) && !without.contains(&name.as_str()) && !value.is_null()
        });
        given
    }

    /// What can't be, all at once.
    pub(super) fn faults(&self, kind: Kind) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let mut fault = |pointer: String, detail: &str| {
            faults.push(FieldError::new(pointer, "invalid", detail));
        };
        for (name, uris) in [
            ("redirect_uris", &self.redirect_uris),
            ("post_logout_redirect_uris", &self.post_logout_redirect_uris),
        ] {
            if uris.len() > 20 {
                fault(format!("/{name}"), "at most 20");
            }
            for (index, one) in uris.iter().enumerate() {
                if let Err(detail) = uri::check_redirect(one) {
                    fault(format!("/{name}/{index}"), detail);
                }
            }
        }
        for (name, given) in [
            ("client_uri", &self.client_uri),
            ("logo_uri", &self.logo_uri),
            ("policy_uri", &self.policy_uri),
            ("tos_uri", &self.tos_uri),
            ("jwks_uri", &self.jwks_uri),
            ("backchannel_logout_uri", &self.backchannel_logout_uri),
        ] {
            if let Some(Err(detail)) = given.as_deref().map(uri::check_web) {
                fault(format!("/{name}"), detail);
            }
        }
        for (index, origin) in self.allowed_origins.iter().enumerate() {
            if let Err(detail) = check_origin(origin) {
                fault(format!("/allowed_origins/{index}"), &detail);
            }
        }
        if let Some(Err(error)) = self.scope.as_deref().map(str::parse::<Scopes>) {
            fault("/scope".to_owned(), &error.to_string());
        }
        self.size_faults(&mut fault);
        self.grant_faults(kind, &mut fault);
        self.proof_faults(kind, &mut fault);
        faults
    }

    /// What the schema says of bodies of ours, also for what comes another way.
    fn size_faults(&self, fault: &mut impl FnMut(String, &str)) {
        for (name, text, most) in [
            ("client_name", &self.client_name, 100),
            ("software_id", &self.software_id, 200),
            ("software_version", &self.software_version, 200),
            ("scope", &self.scope, 2_000),
        ] {
            let length = text.as_ref().map(|text| text.chars().count());
            if length.is_some_and(|length| length > most || length == 0 && name == "client_name") {
                fault(format!("/{name}"), &format!("1 to {most} characters"));
            }
        }
        for (name, list, most) in [
            ("allowed_origins", &self.allowed_origins, 20),
            ("contacts", &self.contacts, 10),
        ] {
            if list.len() > most || list.iter().any(|one| one.len() > 2_000) {
                let detail = format!("at most {most}, each of at most 2,000 characters");
                fault(format!("/{name}"), &detail);
            }
        }
        for (name, given, known) in [
            (
                "application_type",
                &self.application_type,
                &["web", "native"][..],
            ),
            ("subject_type", &self.subject_type, &["public"]),
        ] {
            if given
                .as_ref()
                .is_some_and(|given| !known.contains(&given.as_str()))
            {
                fault(format!("/{name}"), &known.join(" or "));
            }
        }
        if self
            .jwks
            .as_ref()
            .is_some_and(|jwks| jwks.to_string().len() > LONGEST_JWKS)
        {
            fault("/jwks".to_owned(), "at most 64 KiB");
        }
    }

    fn grant_faults(&self, kind: Kind, fault: &mut impl FnMut(String, &str)) {
        let may = |grant| self.grant_types.contains(&grant);
        if may(GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            let detail = "needed for authorization_code";
            fault("/redirect_uris".to_owned(), detail);
        }
        if self.response_types.iter().any(|one| one != "code") {
            fault("/response_types".to_owned(), "code, and nothing else");
        }
        let is_public = self.token_endpoint_auth_method == AuthMethod::None;
        let alone = may(GrantType::ClientCredentials) || may(GrantType::TokenExchange);
        if is_public && alone {
            let detail = "a client without a secret can't use client_credentials or token-exchange";
            fault("/grant_types".to_owned(), detail);
        }
        if kind != Kind::Managed && alone {
            // Nobody would be asked.
            let detail =
                "only an administrator registers clients for client_credentials or token-exchange";
            fault("/grant_types".to_owned(), detail);
        }
        let unique: BTreeSet<_> = self.grant_types.iter().map(|grant| grant.name()).collect();
        if unique.len() < self.grant_types.len() {
            fault("/grant_types".to_owned(), "each once");
        }
    }

    fn proof_faults(&self, kind: Kind, fault: &mut impl FnMut(String, &str)) {
        let is_key = self.token_endpoint_auth_method == AuthMethod::PrivateKeyJwt;
        match (&self.jwks, &self.jwks_uri) {
            (Some(_), Some(_)) => fault("/jwks_uri".to_owned(), "not beside jwks"),
            (None, None) if is_key => fault("/jwks".to_owned(), "needed for private_key_jwt"),
            (Some(jwks), None) => {
                if let Err(error) = PublicKeys::parse(jwks) {
                    fault("/jwks".to_owned(), &error.to_string());
                }
            }
            _ => {}
        }
        if kind == Kind::Document && self.token_endpoint_auth_method.is_secret() {
            // Nobody could have given it one.
            let detail = "none or private_key_jwt";
            fault("/token_endpoint_auth_method".to_owned(), detail);
        }
        if let Some(algorithm) = &self.token_endpoint_auth_signing_alg
            && !crate::jose::ALGORITHMS.contains(&algorithm.as_str())
        {
            let detail = crate::jose::ALGORITHMS.join(", ");
            fault("/token_endpoint_auth_signing_alg".to_owned(), &detail);
        }
        let by_secret_and_bound = self.default_max_age.is_some_and(|seconds| seconds < 0);
        if by_secret_and_bound {
            fault("/default_max_age".to_owned(), "0 or more");
        }
    }
}
