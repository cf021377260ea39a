//! What goes in and out of the endpoints, as the OpenAPI document shows it; `Parameters` and the endpoints read and write it.
#![expect(dead_code, reason = "only the document shows them")]

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A refusal, RFC 6749 section 5.2.
#[derive(Serialize, ToSchema)]
#[schema(as = OAuthRefusal, example = json!({"error": "invalid_grant", "error_description": "the code is unknown, expired, used, or not this client's"}))]
pub struct Refused {
    /// What went wrong, by its registered name.
    error: String,
    /// The same in words.
    error_description: String,
}

/// A request for tokens; which members are needed depends on `grant_type`. Unknown ones are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"grant_type": "authorization_code", "client_id": "shop", "code": "kq3…", "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}))]
pub struct TokenForm {
    /// Which grant.
    grant_type: String,
    /// Who asks, unless the header or an assertion says so.
    client_id: Option<String>,
    /// What proves it, of `client_secret_post`.
    client_secret: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, of `private_key_jwt`.
    client_assertion_type: Option<String>,
    /// What proves it, of `private_key_jwt` (RFC 7523).
    client_assertion: Option<String>,
    /// The code, of `authorization_code`.
    code: Option<String>,
    /// What the `code_challenge` was made of (RFC 7636).
    code_verifier: Option<String>,
    /// Where the code was sent to; it may be left out.
    redirect_uri: Option<String>,
    /// The token, of `refresh_token`.
    refresh_token: Option<String>,
    /// The code, of the device grant.
    device_code: Option<String>,
    /// Less than everything, separated by spaces.
    scope: Option<String>,
    /// The API that the access token is for (RFC 8707).
    resource: Option<String>,
    /// The same in the words of RFC 8693.
    audience: Option<String>,
    /// What is exchanged.
    subject_token: Option<String>,
    /// `urn:ietf:params:oauth:token-type:access_token`.
    subject_token_type: Option<String>,
    /// The same, or left out.
    requested_token_type: Option<String>,
}

/// An authorization request that is pushed, with what proves who the client is.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"client_id": "shop", "response_type": "code", "redirect_uri": "https://shop.example.com/callback", "scope": "openid", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}))]
pub struct PushForm {
    /// Who asks.
    client_id: Option<String>,
    /// `code`.
    response_type: String,
    /// Where the answer goes.
    redirect_uri: String,
    /// What is asked for, separated by spaces.
    scope: Option<String>,
    /// What comes back as it is.
    state: Option<String>,
    /// What the ID token repeats.
    nonce: Option<String>,
    /// The SHA-256 of the verifier (RFC 7636).
    code_challenge: String,
    /// `S256`.
    code_challenge_method: String,
    /// Whatever else the authorization endpoint takes.
    prompt: Option<String>,
}

/// Names a pushed request.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"request_uri": "urn:ietf:params:oauth:request_uri:bwc4JK-ESC0w8acc191e", "expires_in": 90}))]
pub struct Pushed {
    /// Goes to the authorization endpoint, once.
    request_uri: String,
    /// Seconds that it is good for.
    expires_in: i64,
}

/// A device that asks for codes.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"client_id": "tv", "scope": "openid"}))]
pub struct DeviceForm {
    /// Who asks.
    client_id: Option<String>,
    /// What is asked for, separated by spaces.
    scope: Option<String>,
    /// The API that the access token is for (RFC 8707).
    resource: Option<String>,
}

/// What a device shows, and what it asks with.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS0", "user_code": "WDJB-MJHT", "verification_uri": "http://localhost:8080/device", "verification_uri_complete": "http://localhost:8080/device?user_code=WDJB-MJHT", "expires_in": 600, "interval": 5}))]
pub struct DeviceCodes {
    /// Goes to the token endpoint.
    device_code: String,
    /// What the person types.
    user_code: String,
    /// Where they type it.
    verification_uri: String,
    /// The same with the code in it, for a QR code.
    verification_uri_complete: String,
    /// Seconds that the codes are good for.
    expires_in: i64,
    /// Seconds between two questions.
    interval: i32,
}

/// A token, with what proves who the client is.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"client_id": "shop", "token": "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln"}))]
pub struct GivenForm {
    /// The token.
    token: String,
    /// `access_token` or `refresh_token`; not needed.
    token_type_hint: Option<String>,
    /// Who asks.
    client_id: Option<String>,
    /// What proves it, of `client_secret_post`.
    client_secret: Option<String>,
}

/// What a token is worth (RFC 7662 section 2.2); with `active` false nothing else.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"active": false}))]
pub struct Introspection {
    /// Whether it is good.
    active: bool,
    /// What it may do.
    scope: Option<String>,
    /// Whom it was given to.
    client_id: Option<String>,
    /// Whose it is.
    sub: Option<String>,
    /// The API that it is for.
    aud: Option<String>,
    /// When it expires, in seconds since 1970.
    exp: Option<i64>,
}

/// Who signed in (OpenID Connect Core section 5.1), as far as the scopes show.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"sub": "019ab0c8-5a7e-7c3e-9b5e-2f2f6b0e7a11", "email": "ada@example.com", "email_verified": false}))]
pub struct UserInfo {
    /// The user's id.
    sub: String,
    /// With `profile`.
    name: Option<String>,
    /// With `profile`.
    locale: Option<String>,
    /// With `email`.
    email: Option<String>,
    /// With `email`.
    email_verified: Option<bool>,
}

/// What a client has registered (RFC 7591 section 3.2.1): its metadata, and beside it these.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisteredClient, example = json!({"client_id": "019ab0c8-5a7e-7c3e-9b5e-2f2f6b0e7a11", "client_id_issued_at": 1795499537, "registration_access_token": "kq3…", "registration_client_uri": "http://localhost:8080/oauth/register/019ab0c8-5a7e-7c3e-9b5e-2f2f6b0e7a11"}))]
pub struct Registered {
    /// Its id.
    client_id: String,
    /// When it registered, in seconds since 1970.
    client_id_issued_at: i64,
    /// Its secret, shown once.
    client_secret: Option<String>,
    /// 0: the secret does not expire.
    client_secret_expires_at: Option<i64>,
    /// What manages the registration; a new one with every answer.
    registration_access_token: String,
    /// Where.
    registration_client_uri: String,
}
