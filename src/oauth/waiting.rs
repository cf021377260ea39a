//! Authorization requests that wait: pushed ones for the browser (RFC 9126), others for the person.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use diesel::PgConnection;

use super::{Authorization, Fault, OAuthError, Server, request::Refusal, store};
use crate::{clients::Client, error::ApiError, form::Parameters, secret::Secret};

/// The prefix of references to pushed requests (RFC 9126 section 2.2).
const PUSHED: &str = "urn:ietf:params:oauth:request_uri:";

/// Seconds in which a person has to be done with our pages.
pub(super) const PATIENCE: i32 = 3_600;

/// Bytes of the longest request that is kept.
const LONGEST_KEPT: usize = 8_192;

/// Names a request that waits; whoever has it may go on with it.
#[derive(Clone, Debug)]
pub struct Reference {
    /// What only whoever began the request knows.
    pub(super) secret: String,
    client_id: String,
}

impl Reference {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (secret, client) = text.split_once('.')?;
        let client_id = String::from_utf8(URL_SAFE_NO_PAD.decode(client).ok()?).ok()?;
        Some(Self {
            secret: secret.to_owned(),
            client_id,
        })
    }

    /// The client whose request it is, as it says.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let client = URL_SAFE_NO_PAD.encode(&self.client_id);
        write!(formatter, "{}.{client}", self.secret)
    }
}

/// A request that waits for the person.
#[derive(Clone, Debug)]
pub struct Pending {
    /// What is asked for.
    pub authorization: Authorization,
    /// Since when it waits.
    pub since: DateTime<Utc>,
    /// What names it.
    pub reference: Reference,
}

impl Server {
    /// Keeps a request as it came, for when the browser comes again with its cookie.
    ///
    /// # Errors
    /// Those of `begin` that don't depend on who is signed in.
    pub fn park(
        &self,
        conn: &mut PgConnection,
        client: &Arc<Client>,
        parameters: &Parameters,
    ) -> Result<Reference, Refusal> {
        let (_authorization, parameters) = self.open(conn, client, parameters)?;
        Ok(keep(conn, client, &parameters, false, PATIENCE)?)
    }

    /// Finds a request that waits for the person.
    ///
    /// # Errors
    /// It is gone, or is not what it was.
    pub fn find_pending(
        &self,
        conn: &mut PgConnection,
        client: &Arc<Client>,
        reference: &Reference,
    ) -> Result<Pending, Refusal> {
        let id = Secret::hash(&reference.secret);
        let (parameters, since) = store::find_request(conn, &id, &client.id)
            .map_err(OAuthError::from)?
            .ok_or(Refusal::Expired)?;
        Ok(Pending {
            authorization: self.read_request(client, &parameters)?,
            since,
            reference: reference.clone(),
        })
    }

    /// Forgets a request that is over.
    ///
    /// # Errors
    /// Postgres.
    pub fn forget(&self, conn: &mut PgConnection, reference: &Reference) -> Result<(), ApiError> {
        store::forget_request(conn, &Secret::hash(&reference.secret))?;
        Ok(())
    }

    /// Takes a pushed request, once.
    pub(super) fn take_pushed(
        &self,
        conn: &mut PgConnection,
        client: &Client,
        uri: &str,
    ) -> Result<Parameters, OAuthError> {
        let unknown = || {
            let description = "request_uri was used before, has expired, or is not this client's";
            OAuthError::new(Fault::InvalidRequestUri, description)
        };
        let secret = uri.strip_prefix(PUSHED).ok_or_else(unknown)?;
        store::take_pushed(conn, &Secret::hash(secret), &client.id)?.ok_or_else(unknown)
    }
}

/// Keeps a request for later; answers what names it.
pub(super) fn keep(
    conn: &mut PgConnection,
    client: &Client,
    parameters: &Parameters,
    pushed: bool,
    seconds: i32,
) -> Result<Reference, OAuthError> {
    let size: usize = parameters
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > LONGEST_KEPT {
        let description = "the request is longer than 8 KiB";
        return Err(OAuthError::invalid_request(description));
    }
    let secret = Secret::generate().map_err(|error: ApiError| OAuthError::from(error))?;
    store::keep_request(conn, &secret.hash, &client.id, parameters, pushed, seconds)?;
    Ok(Reference {
        secret: secret.text,
        client_id: client.id.clone(),
    })
}

/// The `request_uri` of a pushed request.
pub(super) fn request_uri(reference: &Reference) -> String {
    format!("{PUSHED}{}", reference.secret)
}
