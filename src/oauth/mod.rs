//! The OAuth 2.1 and OpenID Connect server: one file per endpoint or grant; `routes.rs` and its siblings speak HTTP.

pub mod authenticate;
pub mod authorize;
mod client_credentials;
mod code;
mod consent_store;
pub mod consents;
pub mod device;
mod device_store;
pub mod discovery;
pub mod discovery_routes;
pub mod documents;
pub mod dpop;
pub mod error;
mod exchange;
pub mod forms;
pub mod introspect;
mod leaving;
pub mod logout;
pub mod management_routes;
mod notice_store;
pub mod notices;
mod once;
mod par;
mod refreshing;
pub mod register;
pub mod registration_routes;
pub mod request;
pub mod revoke;
pub mod routes;
mod store;
mod target;
pub mod token;
pub mod userinfo;
pub mod waiting;

use std::sync::Arc;

use diesel::PgConnection;

pub use error::{Fault, OAuthError};
pub use leaving::delete_client;
pub use once::Presented;
pub use request::{Authorization, Refusal};
pub use store::Purged;
pub use target::{Answer, ResponseMode, Target};

use crate::{
    clients::{Client, Registry},
    config::OAuthConfig,
    db::Db,
    error::ApiError,
    outbound::Outbound,
    sessions::{Desk, Rules},
};

use documents::Documents;

/// What every endpoint needs; cheap to clone.
#[derive(Clone)]
pub struct Server {
    /// Makes sessions and tokens.
    pub rules: Rules,
    /// The registered clients.
    pub registry: Registry,
    /// Clients that are documents, and other documents of clients.
    pub documents: Documents,
    /// Where refreshes wait for the database.
    pub desk: Desk,
    /// The settings.
    pub config: Arc<OAuthConfig>,
}

impl Server {
    /// Puts the parts together.
    pub fn new(
        rules: Rules,
        registry: Registry,
        outbound: Outbound,
        desk: Desk,
        config: OAuthConfig,
    ) -> Self {
        Self {
            documents: Documents::new(outbound),
            config: Arc::new(config),
            rules,
            registry,
            desk,
        }
    }

    /// The address that clients see.
    pub fn issuer(&self) -> &str {
        self.rules.tokens.issuer()
    }

    /// The address of an endpoint.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    /// Finds a client, fetching the document that its id names where that is allowed.
    pub async fn find_client(&self, id: &str) -> Option<Arc<Client>> {
        match self.registry.find(id) {
            Some(client) => Some(client),
            None if self.config.client_documents => {
                let bound = |metadata: &mut _| self.bound(metadata);
                self.documents.find_client(id, bound).await
            }
            None => None,
        }
    }

    /// The API that tokens are to be for; `None` for our own.
    ///
    /// # Errors
    /// `invalid_target` for one that no tokens are made for, or not for this client.
    fn resource(&self, client: &Client, given: Option<&str>) -> Result<Option<String>, OAuthError> {
        let tokens = &self.rules.tokens;
        // Of a bare origin, URLs of programs have a slash at the end (RFC 3986 section 6.2.3).
        let given = given.map(|given| match given.strip_suffix('/') {
            Some(bare) if given.matches('/').count() == 3 => bare,
            _ => given,
        });
        match given {
            None => Ok(None),
            Some(audience) if tokens.is_own_audience(audience) => Ok(None),
            Some(audience) if tokens.knows_audience(audience) && client.may_address(audience) => {
                Ok(Some(audience.to_owned()))
            }
            Some(_) => Err(OAuthError::new(
                Fault::InvalidTarget,
                "no tokens are made for this resource",
            )),
        }
    }
}

/// Runs `work` in one hop to the database; what fails on our side is the hop's, which then looks after its connection.
///
/// # Errors
/// Those of `work` and of `Db::run`.
pub async fn hop<T, E, F>(db: &Db, work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: Failing,
    F: FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
{
    db.run(move |conn| match work(conn).map_err(Failing::into_ours) {
        Ok(done) => Ok(Ok(done)),
        Err(Ok(ours)) => Err(ours),
        Err(Err(theirs)) => Ok(Err(theirs)),
    })
    .await?
}

/// An error that may be our own side's.
pub trait Failing: From<ApiError> + Send + 'static {
    /// What failed on our side; else the error as it was.
    ///
    /// # Errors
    /// What the caller did wrong.
    fn into_ours(self) -> Result<ApiError, Self>;
}

/// Forgets what has expired: requests, codes, what was presented once; some thousand of each, so that nobody waits for long.
///
/// # Errors
/// Postgres.
pub fn purge(conn: &mut PgConnection) -> Result<Vec<Purged>, ApiError> {
    Ok(store::purge(conn)?)
}
