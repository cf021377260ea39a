//! Clients over HTTP, for administrators.

use actix_web::{HttpResponse, http::header, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Client, ClientRow, Draft, Kind, Metadata, Saving};
use crate::{
    app::AppState,
    error::{ApiError, FieldError, Problem},
    http::{Caller, Json, Page, Tagged},
    precondition::Precondition,
    scope::{ClientsRead, ClientsWrite},
    secret::Secret,
    timestamp::Timestamp,
};

/// An app that asks for tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Client)]
pub struct ShownClient {
    /// Its `client_id`, for ever.
    #[schema(example = "shop")]
    client_id: String,
    /// Whether it registered itself.
    self_registered: bool,
    /// What it is.
    metadata: Metadata,
    /// Whether it has a secret.
    has_secret: bool,
    /// Its secret, shown when it is made and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    /// Grows with every change.
    version: i64,
    /// When it was made.
    created_at: Timestamp,
    /// When it was last changed.
    updated_at: Timestamp,
}

impl ShownClient {
    /// A stored client, with its secret when that was just made.
    ///
    /// # Errors
    /// 500 for a damaged row.
    pub fn new(row: &ClientRow, secret: Option<String>) -> Result<Self, ApiError> {
        let Client {
            id,
            kind,
            metadata,
            secret_hash,
        } = row.client()?;
        Ok(Self {
            client_id: id,
            self_registered: kind == Kind::Registered,
            metadata,
            has_secret: secret_hash.is_some(),
            client_secret: secret,
            version: row.version,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        })
    }

    /// One line for a terminal.
    pub fn line(&self) -> String {
        let grants: Vec<_> = self
            .metadata
            .grant_types
            .iter()
            .map(|grant| grant.name())
            .collect();
        let method = self.metadata.token_endpoint_auth_method.name();
        format!("{}  {method}  {}", self.client_id, grants.join(" "))
    }

    fn tagged(self) -> Tagged<Self> {
        let version = self.version;
        Tagged::versioned(self, version)
    }
}

/// An app to register.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    /// Its id, for ever; made when left out.
    #[schema(pattern = "^[A-Za-z0-9._~-]{1,200}$", example = "shop")]
    client_id: Option<String>,
    /// What it is.
    metadata: Metadata,
    /// A secret that you have made, at least 32 random characters; made when left out and one is needed.
    #[schema(min_length = 32, max_length = 256)]
    client_secret: Option<String>,
}

/// The secret of a client that is to have one.
///
/// # Errors
/// 422 for one that is too short, or needless.
fn secret_of(metadata: &Metadata, given: Option<String>) -> Result<Option<Secret>, ApiError> {
    let fault = |detail: &str| {
        ApiError::invalid(vec![FieldError::new("/client_secret", "invalid", detail)])
    };
    match (metadata.token_endpoint_auth_method.is_secret(), given) {
        (true, Some(text)) => Secret::given(text).map(Some).map_err(fault),
        (true, None) => Secret::generate().map(Some),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(fault("token_endpoint_auth_method needs none")),
    }
}

/// Lists the clients
///
/// Every app, by id, on one page.
#[utoipa::path(
    get,
    path = "/v1/clients",
    tag = "clients",
    security(("bearer" = ["clients:read"])),
    responses(
        (status = 200, description = "Every client", body = Page<ShownClient>),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_clients(
    app: web::Data<AppState>,
    _caller: Caller<ClientsRead>,
) -> Result<web::Json<Page<ShownClient>>, ApiError> {
    let rows = app.db.run_again(|conn| Ok(super::list(conn)?)).await?;
    let clients = rows.iter().map(|row| ShownClient::new(row, None));
    Ok(web::Json(Page::whole(clients.collect::<Result<_, _>>()?)))
}

/// Registers a client
///
/// An app of your own or of others. Its secret, if it has one, is in the answer and never shown again.
#[utoipa::path(
    post,
    path = "/v1/clients",
    tag = "clients",
    request_body = NewClient,
    security(("bearer" = ["clients:write"])),
    responses(
        (status = 201, description = "Registered", body = ShownClient, headers(("Location" = String, description = "The client's URI"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_client(
    app: web::Data<AppState>,
    caller: Caller<ClientsWrite>,
    input: Json<NewClient>,
) -> Result<Tagged<ShownClient>, ApiError> {
    let Json(new) = input;
    let secret = secret_of(&new.metadata, new.client_secret)?;
    let draft = Draft {
        id: new
            .client_id
            .unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
        kind: Kind::Managed,
        metadata: new.metadata,
        secret_hash: secret.as_ref().map(|secret| secret.hash.clone()),
        registration_hash: None,
    };
    let registry = app.oauth.registry.clone();
    let row = app
        .db
        .run(move |conn| {
            let (authority, actor) = (caller.authority(), &caller.actor);
            let row = super::save(conn, authority, actor, &draft, &Saving::New)?;
            registry.catch_up(conn);
            Ok(row)
        })
        .await?;
    let shown = ShownClient::new(&row, secret.map(|secret| secret.text))?;
    let location = format!("/v1/clients/{}", shown.client_id);
    Ok(shown.tagged().created(location))
}

/// Reads a client
///
/// One app; never its secret.
#[utoipa::path(
    get,
    path = "/v1/clients/{id}",
    tag = "clients",
    params(("id" = String, Path, description = "The client's id", example = "shop")),
    security(("bearer" = ["clients:read"])),
    responses(
        (status = 200, description = "The client", body = ShownClient),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_client(
    app: web::Data<AppState>,
    _caller: Caller<ClientsRead>,
    id: web::Path<String>,
) -> Result<Tagged<ShownClient>, ApiError> {
    let row = app
        .db
        .run_again(move |conn| Ok(super::find(conn, &id)?))
        .await?;
    let row = row.ok_or_else(ApiError::not_found)?;
    Ok(ShownClient::new(&row, None)?.tagged())
}

/// Replaces what a client is
///
/// All of its metadata; its secret stays.
#[utoipa::path(
    put,
    path = "/v1/clients/{id}",
    tag = "clients",
    params(("id" = String, Path, description = "The client's id", example = "shop")),
    request_body = Metadata,
    security(("bearer" = ["clients:write"])),
    responses(
        (status = 200, description = "Replaced", body = ShownClient),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn replace_client(
    app: web::Data<AppState>,
    caller: Caller<ClientsWrite>,
    id: web::Path<String>,
    precondition: Precondition,
    input: Json<Metadata>,
) -> Result<Tagged<ShownClient>, ApiError> {
    let (id, Json(metadata)) = (id.into_inner(), input);
    let registry = app.oauth.registry.clone();
    let row = app
        .db
        .run(move |conn| {
            let stored = super::find(conn, &id)?
                .ok_or_else(ApiError::not_found)?
                .client()?;
            let method = metadata.token_endpoint_auth_method;
            if method.is_secret() && stored.secret_hash.is_none() {
                let detail = "it has no secret: make one at POST /v1/clients/{id}/secret first";
                let pointer = "/token_endpoint_auth_method";
                return Err(ApiError::invalid(vec![FieldError::new(
                    pointer, "secret", detail,
                )]));
            }
            let draft = Draft {
                id,
                kind: stored.kind,
                metadata,
                secret_hash: None,
                registration_hash: None,
            };
            let saving = Saving::Replace(precondition);
            let row = super::save(conn, caller.authority(), &caller.actor, &draft, &saving)?;
            registry.catch_up(conn);
            Ok(row)
        })
        .await?;
    Ok(ShownClient::new(&row, None)?.tagged())
}

/// Gives a client another secret
///
/// The one before is worth nothing from now on, here and within a second on every replica.
#[utoipa::path(
    post,
    path = "/v1/clients/{id}/secret",
    tag = "clients",
    params(("id" = String, Path, description = "The client's id", example = "shop")),
    security(("bearer" = ["clients:write"])),
    responses(
        (status = 200, description = "The client with its secret, shown once", body = ShownClient),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn replace_client_secret(
    app: web::Data<AppState>,
    caller: Caller<ClientsWrite>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let (id, secret) = (id.into_inner(), Secret::generate()?);
    let (registry, hash) = (app.oauth.registry.clone(), secret.hash.clone());
    let row = app
        .db
        .run(move |conn| {
            let stored = super::find(conn, &id)?
                .ok_or_else(ApiError::not_found)?
                .client()?;
            let draft = Draft {
                id,
                kind: stored.kind,
                metadata: stored.metadata,
                secret_hash: Some(hash),
                registration_hash: None,
            };
            let saving = Saving::Replace(Precondition::default());
            let row = super::save(conn, caller.authority(), &caller.actor, &draft, &saving)?;
            registry.catch_up(conn);
            Ok(row)
        })
        .await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(ShownClient::new(&row, Some(secret.text))?))
}
