//! The API's documentation: the OpenAPI document and the pages made of it.

mod asyncapi;
mod manners;
pub mod problems;
pub mod routes;
mod typed;

use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

pub use typed::{Documents, Viewer};

use manners::Manners;

use crate::{
    audit, channels, clients, collections, error, feed, http, keys, oauth, operations, pages,
    realtime, records, roles, scope, sessions, tokens, users,
};

/// The fixed part of the API, which no configuration changes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollgate",
        description = "Users, sessions and tokens for front ends. Sign up at `POST /v1/users`, sign in at `POST /v1/sessions`, send `Authorization: Bearer <access_token>`. Errors are `application/problem+json` (RFC 9457) and explain themselves at their `type`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    servers((url = "/", description = "This server")),
    paths(
        users::routes::create_user,
        users::routes::list_users,
        users::routes::read_user,
        sessions::account::routes::update_user,
        users::routes::delete_user,
        sessions::account::routes::replace_password,
        users::routes::give_role,
        users::routes::take_role,
        sessions::routes::create_session,
        sessions::device_routes::list_sessions,
        sessions::device_routes::delete_other_sessions,
        sessions::device_routes::read_session,
        sessions::device_routes::delete_session,
        sessions::routes::create_tokens,
        tokens::routes::read_current_token,
        clients::routes::list_clients,
        clients::routes::create_client,
        clients::routes::read_client,
        clients::routes::replace_client,
        oauth::management_routes::delete_client,
        clients::routes::replace_client_secret,
        oauth::management_routes::list_consents,
        oauth::management_routes::delete_consent,
        pages::authorize_routes::authorize,
        pages::authorize_routes::post_authorize,
        oauth::routes::push_authorization,
        oauth::routes::create_oauth_tokens,
        oauth::routes::create_device_authorization,
        oauth::routes::revoke_token,
        oauth::routes::introspect_token,
        oauth::routes::read_user_info,
        oauth::routes::post_user_info,
        pages::sign_out_routes::logout,
        pages::sign_out_routes::post_logout,
        oauth::registration_routes::register_client,
        oauth::registration_routes::read_registered_client,
        oauth::registration_routes::replace_registered_client,
        oauth::registration_routes::delete_registered_client,
        oauth::discovery_routes::read_openid_configuration,
        oauth::discovery_routes::read_authorization_server,
        oauth::discovery_routes::read_protected_resource,
        oauth::discovery_routes::read_protected_resource_at,
        roles::routes::list_roles,
        roles::routes::create_role,
        roles::routes::read_role,
        sessions::role_routes::replace_role,
        roles::routes::delete_role,
        collections::routes::list_collections,
        collections::routes::read_collection,
        collections::routes::declare_collection,
        collections::routes::delete_collection,
        records::list_routes::list_records,
        records::routes::create_record,
        records::routes::read_record,
        records::routes::replace_record,
        records::routes::update_record,
        records::routes::delete_record,
        records::aggregate_routes::aggregate_records,
        records::batch_routes::create_batch,
        records::history_routes::list_record_versions,
        records::history_routes::read_record_version,
        records::history_routes::restore_record_version,
        feed::routes::list_changes,
        realtime::routes::open_realtime,
        realtime::echo_routes::open_echo,
        realtime::events_routes::open_events,
        realtime::ticket_routes::create_ticket,
        channels::routes::publish,
        channels::routes::read_presence,
        channels::routes::read_history,
        audit::routes::list_audit_events,
        keys::routes::list_keys,
        keys::routes::create_key,
        keys::routes::read_key,
        sessions::key_routes::delete_key,
        keys::routes::read_jwks,
        operations::routes::read_health,
        operations::routes::read_readiness,
        operations::routes::read_version,
        operations::routes::read_metrics,
        routes::read_problem,
        routes::read_openapi,
        routes::read_asyncapi,
    ),
    components(schemas(
        error::Problem,
        error::FieldError,
        users::NewUser,
        users::Profile,
        users::routes::User,
        sessions::account::routes::PasswordChange,
        sessions::routes::NewSession,
        sessions::routes::Refresh,
        sessions::routes::TokenPair,
        sessions::routes::Transport,
        sessions::device_routes::Session,
        tokens::AccessClaims,
        tokens::Confirmation,
        clients::AuthMethod,
        clients::GrantType,
        clients::Metadata,
        clients::Signing,
        clients::routes::NewClient,
        clients::routes::ShownClient,
        http::Page<clients::routes::ShownClient>,
        oauth::management_routes::Consent,
        http::Page<oauth::management_routes::Consent>,
        oauth::token::TokenAnswer,
        oauth::forms::Refused,
        oauth::forms::TokenForm,
        oauth::forms::PushForm,
        oauth::forms::Pushed,
        oauth::forms::DeviceForm,
        oauth::forms::DeviceCodes,
        oauth::forms::GivenForm,
        oauth::forms::Introspection,
        oauth::forms::UserInfo,
        oauth::forms::Registered,
        pages::sign_out_routes::LogoutForm,
        roles::RoleContent,
        roles::routes::NewRole,
        roles::routes::Role,
        collections::Declaration,
        collections::OnOwnerDelete,
        collections::RuleTexts,
        collections::routes::Declared,
        collections::routes::DeclaredCollection,
        collections::routes::DryRun,
        collections::routes::IndexState,
        http::Page<collections::routes::DeclaredCollection>,
        records::routes::Document,
        records::routes::Record,
        records::list_routes::RecordPage,
        records::Aggregation,
        records::Batch,
        records::Operation,
        records::Action,
        records::Outcome,
        records::Outcomes,
        records::Figure,
        records::Aggregated,
        http::Page<records::routes::Record>,
        feed::routes::Changes,
        feed::routes::ShownChange,
        realtime::events_routes::ServerSentEvent,
        realtime::ticket_routes::Ticket,
        channels::routes::NewPublication,
        channels::routes::Published,
        channels::routes::Presence,
        channels::routes::Attendant,
        channels::routes::History,
        channels::routes::Publication,
        audit::routes::AuditEvent,
        operations::routes::Health,
        operations::routes::Readiness,
        operations::routes::Version,
        http::JsonPatch,
        http::JsonPatchStep,
        keys::routes::SigningKey,
        keys::routes::NewKey,
        keys::Jwks,
        keys::Jwk,
        http::Page<users::routes::User>,
        http::Page<sessions::device_routes::Session>,
        http::Page<roles::routes::Role>,
        http::Page<audit::routes::AuditEvent>,
        http::Page<keys::routes::SigningKey>,
    )),
    tags(
        (name = "users", description = "Accounts"),
        (name = "sessions", description = "Signed-in devices"),
        (name = "tokens", description = "Access and refresh tokens"),
        (name = "clients", description = "Apps that ask for tokens"),
        (name = "oauth", description = "OAuth 2.1 and OpenID Connect"),
        (name = "roles", description = "Named sets of scopes"),
        (name = "collections", description = "Kinds of records, as developers declare them"),
        (name = "records", description = "The documents of collections"),
        (name = "realtime", description = "Live updates over WebSocket"),
        (name = "audit", description = "Who did what, when and from where"),
        (name = "keys", description = "What signs and verifies our tokens"),
        (name = "operations", description = "How a replica is"),
        (name = "documentation", description = "This document and what it mentions"),
    ),
    modifiers(&Security, &Manners),
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scopes: Vec<_> = scope::BUILT_IN
            .iter()
            .map(|(name, meaning)| format!("- `{name}`: {meaning}"))
            .collect();
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("JWT (RFC 9068)".to_owned());
        bearer.description = Some(format!(
            "An access token from `POST /v1/sessions` or `POST /v1/tokens`. Of the scopes that an operation lists, one is enough:\n\n{}",
            scopes.join("\n")
        ));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The fixed part of the OpenAPI document as a value, for those who read it in here.
///
/// # Errors
/// None that can happen after the tests have passed.
pub fn openapi() -> serde_json::Result<Value> {
    serde_json::to_value(Document::openapi())
}

/// The documents that people see, with the collections that are declared.
pub fn documents() -> Documents {
    Documents::new(Document::openapi)
}

/// The fixed part as it is committed and printed: operations in the order in which people read them.
///
/// # Errors
/// None that can happen after the tests have passed.
pub fn openapi_text() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Document::openapi()).map(|text| text + "\n")
}
