//! The endpoints that clients call themselves.

use std::{pin::Pin, sync::Arc};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::header::{self, HeaderName},
    web,
};
use serde::Serialize;

use super::{
    OAuthError, Server,
    authenticate::Authenticated,
    dpop::HeldKey,
    hop,
    introspect::Presented,
    token::{TokenAnswer, TokenRequest},
};
use crate::{
    app::AppState,
    audit::Actor,
    error::ApiError,
    form::Parameters,
    http::{Anyone, Caller, Form},
    scope::OpenId,
    sessions::Question,
};

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// What a client sends to one of these endpoints, after it has proved who it is.
pub struct Call {
    app: web::Data<AppState>,
    request: HttpRequest,
    authenticated: Authenticated,
    parameters: Parameters,
}

impl FromRequest for Call {
    type Error = OAuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, OAuthError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let app = web::Data::<AppState>::from_request(&request, payload).into_inner();
        let form = Form::from_request(&request, payload);
        Box::pin(async move {
            let app = app.map_err(|_none| ApiError::internal("no state"))?;
            let Form(bytes) = form.await?;
            let parameters = Parameters::parse(&bytes)?;
            Ok(Self {
                authenticated: authenticate(&app.oauth, &request, &parameters).await?,
                app,
                request,
                parameters,
            })
        })
    }
}

impl Call {
    /// Where the request comes from, for the audit log.
    fn actor(&self) -> Actor {
        Anyone::of(&self.request).0
    }

    /// The key that the request proves to hold.
    fn held_key(&self) -> Result<Option<HeldKey>, OAuthError> {
        let (request, proofs) = (&self.request, self.request.headers().get_all(DPOP));
        let proofs: Vec<_> = proofs
            .map(|value| value.to_str().unwrap_or_default())
            .collect();
        let method = request.method().as_str();
        let server = &self.app.oauth;
        server.held_key(&proofs, method, request.path(), None)
    }

    /// The request for tokens that this is.
    fn for_tokens(self) -> Result<(web::Data<AppState>, TokenRequest), OAuthError> {
        let tokens = TokenRequest {
            key: self.held_key()?,
            actor: self.actor(),
            authenticated: self.authenticated,
            parameters: self.parameters,
        };
        Ok((self.app, tokens))
    }
}

async fn authenticate(
    server: &Server,
    request: &HttpRequest,
    parameters: &Parameters,
) -> Result<Authenticated, OAuthError> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let (first, second) = (headers.next(), headers.next());
    if second.is_some() {
        return Err(OAuthError::invalid_request(
            "more than one Authorization header",
        ));
    }
    let authorization = match first {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_not_ascii| {
            OAuthError::invalid_request("the Authorization header is malformed")
        })?),
    };
    // RFC 6749 section 2.3.1: never in the address, where logs keep it.
    if request.query_string().contains("client_secret") {
        return Err(OAuthError::invalid_request("client_secret in the address"));
    }
    server.authenticate(parameters, authorization).await
}

/// An answer that nobody keeps (RFC 6749 section 5.1).
fn answer(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
        .json(body)
}

/// Gives tokens
///
/// The token endpoint of OAuth 2.1: `authorization_code`, `refresh_token`, `client_credentials`, device code (RFC 8628) and token
/// exchange (RFC 8693). The client proves who it is as it registered; a `DPoP` header binds the tokens to a key (RFC 9449).
#[utoipa::path(
    post,
    path = "/oauth/token",
    tag = "oauth",
    request_body(content = super::forms::TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The tokens (RFC 6749 section 5.1)", body = TokenAnswer),
        (status = "4XX", description = "Refused (RFC 6749 section 5.2)", body = super::forms::Refused),
    ),
)]
pub async fn create_oauth_tokens(call: Call) -> Result<HttpResponse, OAuthError> {
    let (app, tokens) = call.for_tokens()?;
    let (server, with_key) = (&app.oauth, tokens.key.is_some());
    let mut response = answer(&server.token(&app.db, tokens).await?);
    if with_key {
        let nonce = server.nonce()?;
        if let Ok(value) = nonce.parse() {
            response.headers_mut().insert(DPOP_NONCE, value);
        }
    }
    Ok(response)
}

/// Pushes an authorization request
///
/// RFC 9126: the client sends its request itself and gets a `request_uri`, good once within 90 s, for the browser.
#[utoipa::path(
    post,
    path = "/oauth/par",
    tag = "oauth",
    request_body(content = super::forms::PushForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 201, description = "Kept", body = super::forms::Pushed),
        (status = "4XX", description = "Refused (RFC 6749 section 5.2)", body = super::forms::Refused),
    ),
)]
pub async fn push_authorization(call: Call) -> Result<HttpResponse, OAuthError> {
    let (server, key) = (call.app.oauth.clone(), call.held_key()?);
    let (client, parameters) = (call.authenticated, call.parameters);
    let pushed = hop(&call.app.db, move |conn| {
        server.push(conn, &client, &parameters, key.as_ref())
    })
    .await?;
    Ok(HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(pushed))
}

/// Gives a device its codes
///
/// RFC 8628: the device shows `user_code` and asks `/oauth/token` every `interval` seconds until the person has decided.
#[utoipa::path(
    post,
    path = "/oauth/device_authorization",
    tag = "oauth",
    request_body(content = super::forms::DeviceForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The codes", body = super::forms::DeviceCodes),
        (status = "4XX", description = "Refused (RFC 6749 section 5.2)", body = super::forms::Refused),
    ),
)]
pub async fn create_device_authorization(call: Call) -> Result<HttpResponse, OAuthError> {
    let (app, device) = call.for_tokens()?;
    let server = app.oauth.clone();
    let codes = hop(&app.db, move |conn| server.begin_device(conn, &device)).await?;
    Ok(answer(&codes))
}

/// Revokes a token
///
/// RFC 7009: an access token alone, or a refresh token with its session. Answers 200 also for what is unknown or dead.
#[utoipa::path(
    post,
    path = "/oauth/revoke",
    tag = "oauth",
    request_body(content = super::forms::GivenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is dead"),
        (status = "4XX", description = "Refused (RFC 6749 section 5.2)", body = super::forms::Refused),
    ),
)]
pub async fn revoke_token(call: Call) -> Result<HttpResponse, OAuthError> {
    let actor = call.actor();
    let Call {
        app,
        authenticated,
        parameters,
        ..
    } = call;
    let server = app.oauth.clone();
    let given = server.given_back(&authenticated, &parameters)?;
    let actor = Actor {
        client_id: Some(authenticated.client.id.clone()),
        ..actor
    };
    if given.is_some() || authenticated.assertion.is_some() {
        let tokens = app.tokens.clone();
        hop(&app.db, move |conn| {
            server.revoke(conn, &authenticated, given.as_ref(), &actor)?;
            tokens.catch_up(conn);
            Ok::<_, OAuthError>(())
        })
        .await?;
    }
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

const JWT_ANSWER: &str = "application/token-introspection+jwt";

/// Tells what a token is worth
///
/// RFC 7662, for the client that has it and for the API that it is for; of any other only `{"active": false}`. Signed (RFC 9701) for
/// `Accept: application/token-introspection+jwt`.
#[utoipa::path(
    post,
    path = "/oauth/introspect",
    tag = "oauth",
    request_body(content = super::forms::GivenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What it is worth", body = super::forms::Introspection),
        (status = "4XX", description = "Refused (RFC 6749 section 5.2)", body = super::forms::Refused),
    ),
)]
pub async fn introspect_token(call: Call) -> Result<HttpResponse, OAuthError> {
    let Call {
        app,
        request,
        authenticated,
        parameters,
        ..
    } = call;
    let server = &app.oauth;
    let client = Arc::clone(&authenticated.client);
    if client.is_public() {
        let description = "introspection needs a client that proves who it is";
        return Err(OAuthError::new(super::Fault::InvalidClient, description));
    }
    let mut presented = server.presented(&authenticated, &parameters)?;
    let asked = match &presented {
        Presented::Refresh(claims) => Some(claims.clone()),
        _ => None,
    };
    if asked.is_some() || authenticated.assertion.is_some() {
        let is_current = hop(&app.db, move |conn| {
            super::once::take_all(conn, authenticated.assertion.as_slice())?;
            match asked {
                Some(claims) => Ok(Server::is_current(conn, &claims)?),
                None => Ok::<_, OAuthError>(true),
            }
        })
        .await?;
        if !is_current {
            presented = Presented::Nothing;
        }
    }
    let told = Server::told(&presented);
    let accept = request.headers().get(header::ACCEPT);
    let wants_jwt = accept.is_some_and(|accept| accept == JWT_ANSWER);
    if wants_jwt || client.metadata.introspection_signed_response_alg.is_some() {
        let signed = server.told_signed(&client.id, &told)?;
        return Ok(HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type(JWT_ANSWER)
            .body(signed));
    }
    Ok(answer(&told))
}

/// Tells who signed in
///
/// OpenID Connect: the claims that the token's scopes show, signed for clients that registered so.
#[utoipa::path(
    get,
    path = "/oauth/userinfo",
    tag = "oauth",
    security(("bearer" = ["openid"])),
    responses(
        (status = 200, description = "The claims", body = super::forms::UserInfo),
        (status = "4XX", description = "Refused (RFC 6750 section 3.1)", body = super::forms::Refused),
    ),
)]
pub async fn read_user_info(
    app: web::Data<AppState>,
    caller: Caller<OpenId>,
) -> Result<HttpResponse, ApiError> {
    let (server, claims) = (&app.oauth, caller.claims());
    let owner = caller.user_id();
    let question = Question {
        owner,
        id: caller.session_id(),
    };
    let found = app.questions.send(question).await?;
    let told = Server::about(owner, found, caller.authority().scopes())?;
    let client = server.find_client(&claims.client_id).await;
    let is_signed =
        client.is_some_and(|client| client.metadata.userinfo_signed_response_alg.is_some());
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if is_signed {
        let signed = server.about_signed(&claims.client_id, told)?;
        return Ok(response.content_type("application/jwt").body(signed));
    }
    Ok(response.json(told))
}

/// Tells who signed in, to POST
///
/// The same as GET (OpenID Connect Core section 5.3.1); the token is in the header.
#[utoipa::path(
    post,
    path = "/oauth/userinfo",
    tag = "oauth",
    operation_id = "post_user_info",
    security(("bearer" = ["openid"])),
    responses(
        (status = 200, description = "The claims", body = super::forms::UserInfo),
        (status = "4XX", description = "Refused (RFC 6750 section 3.1)", body = super::forms::Refused),
    ),
)]
pub async fn post_user_info(
    app: web::Data<AppState>,
    caller: Caller<OpenId>,
) -> Result<HttpResponse, ApiError> {
    read_user_info(app, caller).await
}
