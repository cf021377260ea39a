//! Authorization requests as they are understood (OpenID Connect Core section 3.1.2.1, RFC 7636, 8707, 9207, 9449).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Failing, Fault, OAuthError, ResponseMode, Server, Target};
use crate::{
    clients::{Client, GrantType, Kind, same_redirect},
    error::ApiError,
    form::Parameters,
    scope::Scopes,
    tokens::IdentityHint,
    users::scope_of_claim,
};

/// Characters of the longest `state` and `nonce`.
const LONGEST_TEXT: usize = 2_000;

/// What the person has to see or do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prompts {
    /// Nothing at all.
    pub none: bool,
    /// Prove again who they are.
    pub login: bool,
    /// Say again what the client may.
    pub consent: bool,
    /// Say who they are of several.
    pub select_account: bool,
}

/// A request that a known client makes with an address of its own.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The client.
    pub client: Arc<Client>,
    /// Where its answer goes.
    pub target: Target,
    /// What it asks for.
    pub scopes: Scopes,
    /// What the ID token has to repeat.
    pub nonce: Option<String>,
    /// The hash of what redeems the code (RFC 7636).
    pub challenge: String,
    /// What the person has to do.
    pub prompts: Prompts,
    /// Seconds after which who they are has to be proved again.
    pub max_age: Option<i64>,
    /// Who probably signs in.
    pub login_hint: Option<String>,
    /// Who has to be signed in.
    pub hint: Option<IdentityHint>,
    /// In which languages to speak.
    pub ui_locales: Option<String>,
    /// Claims that it asks for by name, as far as it may.
    pub claims: Option<Value>,
    /// The API that the tokens are for, when it is another one.
    pub resource: Option<String>,
    /// The thumbprint of the key that the code is bound to.
    pub key: Option<String>,
}

/// Why a request is refused, and who is told.
#[derive(Debug)]
pub enum Refusal {
    /// The person, on a page: something can't be told to the client.
    Page(OAuthError),
    /// The person, on a page: the address is not the client's.
    BadRedirect(OAuthError),
    /// The person, on a page: they took too long.
    Expired,
    /// The client, at its own address.
    Client(Box<Target>, OAuthError),
}

impl Failing for Refusal {
    fn into_ours(self) -> Result<ApiError, Self> {
        match self {
            Self::Page(error) => error.into_ours().map_err(Self::Page),
            other => Err(other),
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Page(error.into())
    }
}

impl From<diesel::result::Error> for Refusal {
    fn from(error: diesel::result::Error) -> Self {
        Self::Page(error.into())
    }
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        Self::Page(error)
    }
}

impl Server {
    /// Reads the parameters of a request; whether it may be one that was not pushed is the caller's to check.
    ///
    /// # Errors
    /// A page while the client's address is not known to be its own; else what the client is told.
    pub(super) fn read_request(
        &self,
        client: &Arc<Client>,
        parameters: &Parameters,
    ) -> Result<Authorization, Refusal> {
        let target = self.read_target(client, parameters)?;
        match self.read_wishes(client, parameters, &target) {
            Ok(authorization) => Ok(authorization),
            Err(error) => Err(Refusal::Client(Box::new(target), error)),
        }
    }

    fn read_target(&self, client: &Client, parameters: &Parameters) -> Result<Target, Refusal> {
        let redirect_uri = parameters
            .get("redirect_uri")
            .ok_or_else(|| Refusal::BadRedirect(OAuthError::missing("redirect_uri")))?;
        let registered = &client.metadata.redirect_uris;
        if !registered
            .iter()
            .any(|one| same_redirect(one, redirect_uri))
        {
            let description = "redirect_uri is none of the addresses that the client registered";
            return Err(Refusal::BadRedirect(OAuthError::invalid_request(
                description,
            )));
        }
        let mode = match parameters.get("response_mode") {
            Some("form_post") => ResponseMode::FormPost,
            _ => ResponseMode::Query,
        };
        let state = parameters.get("state").map(str::to_owned);
        if state
            .as_ref()
            .is_some_and(|state| state.len() > LONGEST_TEXT)
        {
            return Err(OAuthError::invalid_request("state is too long").into());
        }
        Ok(Target {
            redirect_uri: redirect_uri.to_owned(),
            mode,
            state,
            is_vouched_for: client.kind == Kind::Managed,
            issuer: self.issuer().to_owned(),
        })
    }

    fn read_wishes(
        &self,
        client: &Arc<Client>,
        parameters: &Parameters,
        target: &Target,
    ) -> Result<Authorization, OAuthError> {
        check_kind(client, parameters)?;
        let nonce = parameters.get("nonce");
        if nonce.is_some_and(|nonce| nonce.len() > LONGEST_TEXT) {
            return Err(OAuthError::invalid_request("nonce is too long"));
        }
        let claims = parameters.get("claims").map(read_claims).transpose()?;
        let claims = claims.map(|claims| within(claims, &client.scopes()));
        let mut scopes = read_scopes(client, parameters)?;
        if let Some(claims) = &claims {
            // What it asks for by name, people are told as they are told of scopes.
            scopes.extend(Scopes::from_stored(scopes_of(claims)));
        }
        let hint = match parameters.get("id_token_hint") {
            None => None,
            Some(token) => Some(self.rules.tokens.read_hint(token).map_err(|refusal| {
                OAuthError::invalid_request(format!("id_token_hint: {refusal}"))
            })?),
        };
        let text = |name| parameters.get(name).map(str::to_owned);
        Ok(Authorization {
            target: target.clone(),
            scopes,
            nonce: text("nonce"),
            challenge: read_challenge(parameters)?,
            prompts: read_prompts(parameters.get("prompt"))?,
            max_age: read_max_age(parameters)?.or(client.metadata.default_max_age),
            login_hint: text("login_hint"),
            hint,
            ui_locales: text("ui_locales"),
            claims,
            resource: self.resource(client, parameters.get("resource"))?,
            key: read_key(parameters)?,
            client: Arc::clone(client),
        })
    }
}

/// Refuses what no client may ask here (OAuth 2.1 section 4.1).
fn check_kind(client: &Client, parameters: &Parameters) -> Result<(), OAuthError> {
    if parameters.get("request").is_some() {
        let description = "request objects are not taken; push the request instead";
        return Err(OAuthError::new(Fault::RequestNotSupported, description));
    }
    match parameters.get("response_type") {
        Some("code") => {}
        Some(_) => {
            let description = "response_type has to be code";
            return Err(OAuthError::new(Fault::UnsupportedResponseType, description));
        }
        None => return Err(OAuthError::missing("response_type")),
    }
    if !matches!(
        parameters.get("response_mode"),
        None | Some("query" | "form_post")
    ) {
        return Err(OAuthError::invalid_request(
            "response_mode has to be query or form_post",
        ));
    }
    if !client.may(GrantType::AuthorizationCode) {
        let description = "the client is not registered for authorization_code";
        return Err(OAuthError::new(Fault::UnauthorizedClient, description));
    }
    Ok(())
}

/// What a client asks for; all that it may when it does not say.
pub(super) fn read_scopes(client: &Client, parameters: &Parameters) -> Result<Scopes, OAuthError> {
    let allowed = client.scopes();
    let Some(text) = parameters.get("scope") else {
        return Ok(allowed);
    };
    let refuse = |description: String| OAuthError::new(Fault::InvalidScope, description);
    let asked: Scopes = text.parse().map_err(|error| refuse(format!("{error}")))?;
    // Who registered itself asks for what it read somewhere, as MCP clients do: it gets what there is of it.
    let asked = match client.kind {
        Kind::Managed => asked,
        Kind::Registered | Kind::Document => asked.common(&allowed),
    };
    if asked.is_empty() || !asked.is_within(&allowed) {
        return Err(refuse(format!("the client may ask for: {allowed}")));
    }
    Ok(asked)
}

fn read_challenge(parameters: &Parameters) -> Result<String, OAuthError> {
    let challenge = parameters.get("code_challenge").ok_or_else(|| {
        OAuthError::invalid_request("code_challenge is missing: PKCE is needed (RFC 7636)")
    })?;
    if parameters.get("code_challenge_method") != Some("S256") {
        return Err(OAuthError::invalid_request(
            "code_challenge_method has to be S256",
        ));
    }
    if challenge.len() != 43 || !challenge.bytes().all(is_url_safe) {
        return Err(OAuthError::invalid_request(
            "code_challenge is no SHA-256 in base64url",
        ));
    }
    Ok(challenge.to_owned())
}

const fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn read_prompts(given: Option<&str>) -> Result<Prompts, OAuthError> {
    let mut prompts = Prompts::default();
    for prompt in given
        .unwrap_or_default()
        .split(' ')
        .filter(|one| !one.is_empty())
    {
        match prompt {
            "none" => prompts.none = true,
            "login" => prompts.login = true,
            "consent" => prompts.consent = true,
            "select_account" => prompts.select_account = true,
            _ => return Err(OAuthError::invalid_request("an unknown prompt")),
        }
    }
    if prompts.none && (prompts.login || prompts.consent || prompts.select_account) {
        return Err(OAuthError::invalid_request("prompt=none stands alone"));
    }
    Ok(prompts)
}

fn read_max_age(parameters: &Parameters) -> Result<Option<i64>, OAuthError> {
    let read = |text: &str| text.parse().ok().filter(|seconds| *seconds >= 0);
    match parameters.get("max_age") {
        None => Ok(None),
        Some(text) => read(text)
            .map(Some)
            .ok_or_else(|| OAuthError::invalid_request("max_age is a number of seconds")),
    }
}

fn read_key(parameters: &Parameters) -> Result<Option<String>, OAuthError> {
    match parameters.get("dpop_jkt") {
        Some(key) if key.len() == 43 && key.bytes().all(is_url_safe) => Ok(Some(key.to_owned())),
        Some(_) => Err(OAuthError::invalid_request("dpop_jkt is no thumbprint")),
        None => Ok(None),
    }
}

/// The `claims` parameter (OpenID Connect Core section 5.5).
fn read_claims(text: &str) -> Result<Map<String, Value>, OAuthError> {
    let bad = || OAuthError::invalid_request("claims is no JSON object of userinfo and id_token");
    let text = crate::strict_json::check(text.as_bytes()).map_err(|_fault| bad())?;
    let claims: Map<String, Value> = serde_json::from_str(text).map_err(|_no_object| bad())?;
    if claims.values().all(Value::is_object) {
        Ok(claims)
    } else {
        Err(bad())
    }
}

/// What of the claims a client may ask for: those that a scope of its own would show.
fn within(claims: Map<String, Value>, allowed: &Scopes) -> Value {
    let kept = |names: &Value| -> Map<String, Value> {
        let names = names.as_object().into_iter().flatten();
        names
            .filter(|(name, _)| scope_of_claim(name).is_some_and(|scope| allowed.contains(scope)))
            .map(|(name, wish)| (name.clone(), wish.clone()))
            .collect()
    };
    ["userinfo", "id_token"]
        .into_iter()
        .filter_map(|place| Some((place.to_owned(), Value::Object(kept(claims.get(place)?)))))
        .collect::<Map<_, _>>()
        .into()
}

/// The scopes that show these claims.
fn scopes_of(claims: &Value) -> impl Iterator<Item = &'static str> {
    let places = claims.as_object().into_iter().flatten();
    places
        .filter_map(|(_, names)| names.as_object())
        .flatten()
        .filter_map(|(name, _)| scope_of_claim(name))
}
