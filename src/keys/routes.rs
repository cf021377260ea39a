//! Keys over HTTP; retiring one at once lives with the sessions, which may end with it.

use actix_web::{
    HttpResponse,
    http::header::{CacheControl, CacheDirective, ContentType, ETAG},
    web,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Algorithm, Jwks, Key, KeyError, KeyRow, Keyring, Purpose, Slot, State, rotation};
use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Caller, Json, Page, Tagged, known},
    scope::{KeysRead, KeysWrite},
    timestamp::Timestamp,
};

/// Seconds that a verifier may keep the set (`KEY-04`: at most 900).
pub(super) const MAX_AGE: i32 = 600;

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = KeySource)]
pub enum Source {
    /// Tollgate made it and keeps it sealed.
    Stored,
    /// The configuration gives it.
    Configuration,
}

/// A key that signs or signed; never what it signs with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "kid": "rs256-019ab0c85a7e7c3e9b5e2f2f6b0e7a11",
    "purpose": "access",
    "algorithm": "RS256",
    "audience": null,
    "state": "active",
    "source": "stored",
    "created_at": "2026-11-24T09:00:00.000Z",
    "activates_at": "2026-11-24T09:20:00.000Z",
    "activated_at": "2026-11-24T09:20:03.000Z",
    "retires_at": null,
    "retired_at": null,
}))]
pub struct SigningKey {
    /// Its name in token headers.
    pub kid: String,
    /// What it is for: access tokens, refresh tokens or page cursors.
    pub purpose: Purpose,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The one API that a shared secret is for; `null` for a key that any may verify with.
    pub audience: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// Where it comes from.
    pub source: Source,
    /// When it was made and published.
    pub created_at: Option<Timestamp>,
    /// When it is to begin to sign.
    pub activates_at: Option<Timestamp>,
    /// When it began.
    pub activated_at: Option<Timestamp>,
    /// When the last of what it signed will have expired.
    pub retires_at: Option<Timestamp>,
    /// When it ended.
    pub retired_at: Option<Timestamp>,
}

impl SigningKey {
    fn new(kid: String, slot: Slot, state: State, source: Source) -> Self {
        Self {
            kid,
            purpose: slot.purpose,
            algorithm: slot.algorithm,
            audience: Some(slot.audience).filter(|audience| !audience.is_empty()),
            state,
            source,
            created_at: None,
            activates_at: None,
            activated_at: None,
            retires_at: None,
            retired_at: None,
        }
    }

    /// Every stored key, oldest first, and then those that the configuration gives.
    ///
    /// # Errors
    /// A damaged row.
    pub fn all(rows: Vec<KeyRow>, keyring: &Keyring) -> Result<Vec<Self>, KeyError> {
        let configured = keyring
            .configured()
            .map(|(key, state)| Ok(Self::configured(key, state)));
        rows.into_iter()
            .map(Self::try_from)
            .chain(configured)
            .collect()
    }

    /// A key that the configuration gives.
    fn configured(key: &Key, state: State) -> Self {
        Self::new(
            key.kid.clone(),
            key.slot.clone(),
            state,
            Source::Configuration,
        )
    }
}

impl TryFrom<KeyRow> for SigningKey {
    type Error = KeyError;

    fn try_from(row: KeyRow) -> Result<Self, KeyError> {
        let (slot, state) = (row.slot()?, row.state()?);
        Ok(Self {
            created_at: Some(row.created_at.into()),
            activates_at: row.activates_at.map(Into::into),
            activated_at: row.activated_at.map(Into::into),
            retires_at: row.retires_at.map(Into::into),
            retired_at: row.retired_at.map(Into::into),
            ..Self::new(row.kid, slot, state, Source::Stored)
        })
    }
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"algorithm": "RS256"}))]
pub struct NewKey {
    /// How it signs.
    algorithm: Algorithm,
    /// What it is for; access tokens when left out. The others take HS256.
    #[serde(default = "access")]
    #[schema(default = "access")]
    purpose: Purpose,
    /// The API that shares it, of an HS256 key for access tokens; this one when left out.
    audience: Option<String>,
}

fn access() -> Purpose {
    Purpose::Access
}

/// Lists the signing keys
///
/// Every key and its state, oldest first, on one page; also retired ones and those that the configuration gives.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "keys",
    security(("bearer" = ["keys:read"])),
    responses(
        (status = 200, description = "Every key", body = Page<SigningKey>),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_keys(
    app: web::Data<AppState>,
    _caller: Caller<KeysRead>,
) -> Result<web::Json<Page<SigningKey>>, ApiError> {
    let rows = app.db.run_again(|conn| Ok(rotation::list(conn)?)).await?;
    let items = SigningKey::all(rows, &app.tokens.keyring())?;
    Ok(web::Json(Page::whole(items)))
}

/// Rotates a key
///
/// Stages a new key: it is published now, signs 20 min later in place of the active one, and that one then verifies until
/// the last token that it signed has expired. No verifier that honours the `max-age` of the key set ever meets a key that
/// it can't know.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "keys",
    request_body = NewKey,
    security(("bearer" = ["keys:write"])),
    responses(
        (status = 201, description = "Staged", body = SigningKey, headers(("Location" = String, description = "The key's URI"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_key(
    app: web::Data<AppState>,
    caller: Caller<KeysWrite>,
    input: Json<NewKey>,
) -> Result<Tagged<SigningKey>, ApiError> {
    let Json(new) = input;
    let own = app.tokens.audience().to_owned();
    let slot = match new.purpose {
        Purpose::Access => Slot::access(new.algorithm, &new.audience.unwrap_or(own)),
        purpose => Slot {
            algorithm: new.algorithm,
            ..Slot::internal(purpose)
        },
    };
    let tokens = app.tokens.clone();
    let row = app
        .db
        .run(move |conn| Ok(tokens.keys().plan().rotate(conn, &slot, &caller.actor)?))
        .await?;
    let key = SigningKey::try_from(row)?;
    let location = format!("/v1/keys/{}", key.kid);
    Ok(Tagged::hashed(key).created(location))
}

/// Reads a signing key
///
/// One key and its state, also of a retired one.
#[utoipa::path(
    get,
    path = "/v1/keys/{kid}",
    tag = "keys",
    params(("kid" = String, Path, description = "The key's name", example = "rs256-019ab0c85a7e7c3e9b5e2f2f6b0e7a11")),
    security(("bearer" = ["keys:read"])),
    responses(
        (status = 200, description = "The key", body = SigningKey),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_key(
    app: web::Data<AppState>,
    _caller: Caller<KeysRead>,
    kid: web::Path<String>,
) -> Result<Tagged<SigningKey>, ApiError> {
    let kid = kid.into_inner();
    let keyring = app.tokens.keyring();
    let configured = keyring.configured().find(|(key, _)| key.kid == kid);
    if let Some((key, state)) = configured {
        return Ok(Tagged::hashed(SigningKey::configured(key, state)));
    }
    let row = app
        .db
        .run_again(move |conn| Ok(rotation::find(conn, &kid)?))
        .await?;
    let row = row.ok_or_else(ApiError::not_found)?;
    Ok(Tagged::hashed(SigningKey::try_from(row)?))
}

/// Reads the public keys
///
/// The JWK Set (RFC 7517) that verifies Tollgate's access tokens anywhere. Cache it for its `max-age`; ask again with
/// `If-None-Match`. Shared secrets (HS256) are never in it.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "keys",
    responses(
        (status = 200, description = "The public keys", body = Jwks, headers(
            ("ETag" = String, description = "Changes with the keys"),
            ("Cache-Control" = String, description = "How long the set may be kept"),
        )),
        (status = 304, description = "Still the same as `If-None-Match` says"),
    ),
)]
pub async fn read_jwks(
    app: web::Data<AppState>,
    request: actix_web::HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let keyring = app.tokens.keyring();
    let published = keyring.published();
    let tag = published.etag.trim_matches('"');
    let unchanged = known(&request, tag)?;
    let is_unchanged = unchanged.is_some();
    let mut response = unchanged.unwrap_or_else(HttpResponse::Ok);
    response.insert_header(CacheControl(vec![CacheDirective::MaxAge(
        MAX_AGE.unsigned_abs(),
    )]));
    if is_unchanged {
        return Ok(response.finish());
    }
    Ok(response
        .insert_header((ETAG, published.etag.as_str()))
        .content_type(ContentType::json())
        .body(published.body.clone()))
}
