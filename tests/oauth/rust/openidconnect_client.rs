//! The `openidconnect` crate against the server: discovery, code with PKCE, ID token, userinfo, refresh, introspection,
//! revocation (over https), client credentials. It knows neither PAR nor DPoP.
//!
//! Environment, as `tests/oauth/run` sets it: ISSUER, CLIENTS (a file), OPEN (a program that signs a new user in at an
//! address and prints where they were sent). Prints a line a step.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test program takes its settings from the environment and says what it did"
)]

use std::{collections::HashMap, env, error::Error, fs, process::ExitCode};

use openidconnect::{
    AccessTokenHash, AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, IntrospectionUrl, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, RevocationUrl, Scope,
    TokenIntrospectionResponse as _, TokenResponse as _,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreErrorResponseType, CoreIdTokenClaims,
        CoreProviderMetadata, CoreRevocableToken, CoreUserInfoClaims,
    },
    http,
};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn check(holds: bool, what: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn text(value: &Value, name: &str) -> Outcome<String> {
    Ok(value
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("no {name}"))?
        .to_owned())
}

/// Sends what the crate asks for; follows no redirect, as the crate demands.
async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, SendError> {
    let response = client.execute(request.try_into()?).await?;
    let mut builder = http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        builder = builder.header(name, value);
    }
    Ok(builder.body(response.bytes().await?.to_vec())?)
}

#[derive(Debug)]
struct SendError(Box<dyn Error>);

impl std::fmt::Display for SendError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Error for SendError {}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        Self(error.into())
    }
}

impl From<http::Error> for SendError {
    fn from(error: http::Error) -> Self {
        Self(error.into())
    }
}

/// Lets a new user sign in at an address: who it was, and what the client was given.
async fn open(address: &str) -> Outcome<(Value, HashMap<String, String>)> {
    let program = env::var("OPEN")?;
    let mut words = program.split_whitespace();
    let output = tokio::process::Command::new(words.next().ok_or("OPEN is empty")?)
        .args(words)
        .arg(address)
        .output()
        .await?;
    check(
        output.status.success(),
        &String::from_utf8_lossy(&output.stderr),
    )?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let given = openidconnect::url::Url::parse(&text(&said, "back")?)?
        .query_pairs()
        .into_owned()
        .collect();
    Ok((said, given))
}

async fn run() -> Outcome<()> {
    let issuer = env::var("ISSUER")?;
    let clients: Value = serde_json::from_str(&fs::read_to_string(env::var("CLIENTS")?)?)?;
    let programs = clients.get("programs").ok_or("no programs")?;
    let own = programs.get("rust").ok_or("no client")?;
    let web = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let http = |request| send(web.clone(), request);

    let metadata =
        CoreProviderMetadata::discover_async(IssuerUrl::new(issuer.clone())?, &http).await?;
    check(
        metadata.token_endpoint().is_some() && metadata.userinfo_endpoint().is_some(),
        "endpoints",
    )?;
    check(!metadata.jwks().keys().is_empty(), "keys")?;
    println!("ok      discovery, with its JWKS");

    // What the crate's metadata doesn't name.
    let all: Value = web
        .get(format!("{issuer}/.well-known/openid-configuration"))
        .send()
        .await?
        .json()
        .await?;
    let client = CoreClient::from_provider_metadata(
        metadata.clone(),
        ClientId::new(text(own, "client_id")?),
        Some(ClientSecret::new(text(own, "client_secret")?)),
    )
    .set_redirect_uri(RedirectUrl::new(text(own, "redirect_uri")?)?)
    .set_introspection_url(IntrospectionUrl::new(text(
        &all,
        "introspection_endpoint",
    )?)?)
    .set_revocation_url(RevocationUrl::new(text(&all, "revocation_endpoint")?)?);

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (address, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scopes(
            ["profile", "email", "offline_access", "account:read"]
                .map(|one| Scope::new(one.to_owned())),
        )
        .set_pkce_challenge(challenge)
        .url();
    let (user, given) = open(address.as_str()).await?;
    check(given.get("state") == Some(state.secret()), "state")?;
    check(given.get("iss") == Some(&issuer), "iss")?;
    let code = given.get("code").ok_or("no code")?;
    println!("ok      authorization: state and iss");

    let tokens = client
        .exchange_code(AuthorizationCode::new(code.clone()))?
        .set_pkce_verifier(PkceCodeVerifier::new(verifier.secret().clone()))
        .request_async(&http)
        .await?;
    check(
        tokens.expires_in().is_some() && tokens.refresh_token().is_some(),
        "expiry and refresh token",
    )?;
    println!("ok      code and verifier for tokens");

    let id_token = tokens.id_token().ok_or("no ID token")?;
    let id_verifier = client.id_token_verifier();
    let claims: &CoreIdTokenClaims = id_token.claims(&id_verifier, &nonce)?;
    check(claims.subject().as_str() == text(&user, "id")?, "subject")?;
    if let Some(expected) = claims.access_token_hash() {
        let actual = AccessTokenHash::from_token(
            tokens.access_token(),
            id_token.signing_alg()?,
            id_token.signing_key(&id_verifier)?,
        )?;
        check(actual == *expected, "at_hash")?;
    }
    check(
        id_token.claims(&id_verifier, &Nonce::new_random()).is_err(),
        "another nonce",
    )?;
    println!("ok      the ID token: signature, issuer, audience, nonce, at_hash");

    let info: CoreUserInfoClaims = client
        .user_info(
            tokens.access_token().clone(),
            Some(claims.subject().clone()),
        )?
        .request_async(&http)
        .await?;
    check(
        info.email().map(|email| email.as_str()) == Some(&text(&user, "email")?),
        "email",
    )?;
    check(
        info.email_verified().is_some(),
        "email_verified is a boolean",
    )?;
    println!("ok      userinfo");

    let again = client
        .exchange_code(AuthorizationCode::new(code.clone()))?
        .set_pkce_verifier(verifier)
        .request_async(&http)
        .await;
    let is_refused = matches!(&again, Err(RequestTokenError::ServerResponse(said)) if *said.error() == CoreErrorResponseType::InvalidGrant);
    check(is_refused, "a code is good once")?;
    println!("ok      a code is good once: invalid_grant");

    // What the replay of the code ended is no matter here: somebody signs in anew.
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (address, _, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scopes(["email", "offline_access"].map(|one| Scope::new(one.to_owned())))
        .set_pkce_challenge(challenge)
        .url();
    let (_, given) = open(address.as_str()).await?;
    let code = given.get("code").ok_or("no code")?;
    let tokens = client
        .exchange_code(AuthorizationCode::new(code.clone()))?
        .set_pkce_verifier(verifier)
        .request_async(&http)
        .await?;
    let refresh = tokens.refresh_token().ok_or("no refresh token")?;
    let next = client
        .exchange_refresh_token(refresh)?
        .request_async(&http)
        .await?;
    check(
        next.access_token().secret() != tokens.access_token().secret(),
        "a new access token",
    )?;
    if let Some(id_token) = next.id_token() {
        // A refreshed ID token may or may not repeat the nonce.
        id_token.claims(&id_verifier, |given: Option<&Nonce>| match given {
            Some(given) if given.secret() != nonce.secret() => Err("another nonce".to_owned()),
            _ => Ok(()),
        })?;
    }
    println!("ok      refresh");

    let seen = client
        .introspect(next.access_token())
        .request_async(&http)
        .await?;
    check(
        seen.active() && seen.client_id().map(|id| id.as_str()) == Some("rust"),
        "active",
    )?;
    check(
        seen.exp().is_some() && seen.iat().is_some() && seen.scopes().is_some(),
        "exp, iat, scope",
    )?;
    println!("ok      introspection");

    // The crate revokes over https alone.
    if issuer.starts_with("https:") {
        let token = next.refresh_token().ok_or("no refresh token")?.clone();
        client
            .revoke_token(CoreRevocableToken::RefreshToken(token.clone()))?
            .request_async(&http)
            .await?;
        let dead = client
            .exchange_refresh_token(&token)?
            .request_async(&http)
            .await;
        let is_dead = matches!(&dead, Err(RequestTokenError::ServerResponse(said)) if *said.error() == CoreErrorResponseType::InvalidGrant);
        check(is_dead, "a revoked refresh token")?;
        println!("ok      revocation");
    }

    let own = programs.get("machine").ok_or("no client")?;
    let machine = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(text(own, "client_id")?),
        Some(ClientSecret::new(text(own, "client_secret")?)),
    )
    .set_auth_type(AuthType::BasicAuth);
    let tokens = machine
        .exchange_client_credentials()?
        .add_scope(Scope::new("records:read".to_owned()))
        .add_extra_param("resource", env::var("RESOURCE")?)
        .request_async(&http)
        .await?;
    check(
        tokens.refresh_token().is_none() && tokens.scopes().is_some_and(|all| all.len() == 1),
        "one scope, no refresh token",
    )?;
    println!("ok      client credentials");
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED  {error}: {error:?}");
            ExitCode::FAILURE
        }
    }
}
