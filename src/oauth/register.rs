//! `/oauth/register`: clients that register themselves (RFC 7591), and look after what they have registered (RFC 7592).

use diesel::PgConnection;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Fault, OAuthError, Server};
use crate::{
    audit::Actor,
    clients::{self, Client, ClientRow, Draft, Kind, Metadata, Saving},
    config::Registration,
    db,
    error::ApiError,
    precondition::Precondition,
    scope::{Authority, Scopes},
    secret::Secret,
};

impl Server {
    /// Whether a client may register, by the token that it brings.
    ///
    /// # Errors
    /// `access_denied` where registering is off, 401 without the right token.
    pub fn check_registration(&self, token: Option<&str>) -> Result<(), OAuthError> {
        match self.config.registration {
            Registration::Off => Err(OAuthError::new(Fault::AccessDenied, "registration is off")),
            Registration::Open => Ok(()),
            Registration::Token => {
                use secrecy::ExposeSecret;

                let expected = self.config.registration_token.as_ref();
                let expected = expected.map(|token| Secret::hash(token.expose_secret()));
                match (token, expected) {
                    (Some(token), Some(expected)) if Secret::matches(token, &expected) => Ok(()),
                    _ => Err(unauthorized()),
                }
            }
        }
    }

    /// Registers a client; answers what it is, with its secrets, which are shown once.
    ///
    /// # Errors
    /// `invalid_redirect_uri`, `invalid_client_metadata`; `access_denied` when too many have registered.
    pub fn register(
        &self,
        conn: &mut PgConnection,
        given: Value,
        actor: &Actor,
    ) -> Result<Value, OAuthError> {
        let metadata = self.read_metadata(given)?;
        // Nobody waits for those who come in vain.
        self.check_room(conn)?;
        let secret = secret_for(&metadata)?;
        let token = Secret::generate()?;
        let draft = Draft {
            id: Uuid::now_v7().to_string(),
            kind: Kind::Registered,
            metadata,
            secret_hash: secret.as_ref().map(|secret| secret.hash.clone()),
            registration_hash: Some(token.hash.clone()),
        };
        let row = db::tx(conn, |conn| {
            clients::begin_change(conn)?;
            self.check_room(conn)?;
            self.save(conn, &draft, &Saving::New, actor)
        })?;
        self.shown(&row, secret.as_ref(), &token)
    }

    fn check_room(&self, conn: &mut PgConnection) -> Result<(), OAuthError> {
        if clients::count_registered(conn)? < self.config.registered_clients {
            return Ok(());
        }
        let description = "too many clients have registered";
        Err(OAuthError::new(Fault::AccessDenied, description))
    }

    /// Finds the client that manages itself with this token.
    ///
    /// # Errors
    /// 401, the same for an unknown client and a wrong token (RFC 7592 section 2.1).
    fn find_registered(
        &self,
        conn: &mut PgConnection,
        id: &str,
        token: Option<&str>,
    ) -> Result<ClientRow, OAuthError> {
        let row = clients::find(conn, id)?.ok_or_else(unauthorized)?;
        let hash = row.registration_hash.as_deref().ok_or_else(unauthorized)?;
        match token {
            Some(token) if Secret::matches(token, hash) => Ok(row),
            _ => Err(unauthorized()),
        }
    }

    /// Shows a client what it has registered, with a new token in place of the one that it used (`OAU-28`).
    ///
    /// # Errors
    /// Those of `find_registered`.
    pub fn read_registered(
        &self,
        conn: &mut PgConnection,
        id: &str,
        token: Option<&str>,
        actor: &Actor,
    ) -> Result<Value, OAuthError> {
        self.manage(conn, id, token, |conn, row| {
            let client = row.client()?;
            self.save_again(conn, client.metadata, None, id, actor)
        })
    }

    /// Replaces what a client has registered; its secret stays unless it needs one for the first time.
    ///
    /// # Errors
    /// Those of `register` and `find_registered`.
    pub fn replace_registered(
        &self,
        conn: &mut PgConnection,
        id: &str,
        token: Option<&str>,
        given: Value,
        actor: &Actor,
    ) -> Result<Value, OAuthError> {
        self.manage(conn, id, token, |conn, row| {
            if given.get("client_id").is_some_and(|given| given != id) {
                return Err(bad_metadata("client_id is another"));
            }
            let metadata = self.read_metadata(given)?;
            let has_secret = row.client()?.secret_hash.is_some();
            let secret = if has_secret {
                None
            } else {
                secret_for(&metadata)?
            };
            self.save_again(conn, metadata, secret, id, actor)
        })
    }

    /// Does `work` for a client that manages itself. Its token is good once: of two at the same time the second finds it used.
    fn manage<T>(
        &self,
        conn: &mut PgConnection,
        id: &str,
        token: Option<&str>,
        work: impl FnOnce(&mut PgConnection, ClientRow) -> Result<T, OAuthError>,
    ) -> Result<T, OAuthError> {
        // Nobody waits for those who only guess.
        self.find_registered(conn, id, token)?;
        db::tx(conn, |conn| {
            clients::begin_change(conn)?;
            let row = self.find_registered(conn, id, token)?;
            work(conn, row)
        })
    }

    fn save_again(
        &self,
        conn: &mut PgConnection,
        metadata: Metadata,
        secret: Option<Secret>,
        id: &str,
        actor: &Actor,
    ) -> Result<Value, OAuthError> {
        let token = Secret::generate()?;
        let draft = Draft {
            id: id.to_owned(),
            kind: Kind::Registered,
            metadata,
            secret_hash: secret.as_ref().map(|secret| secret.hash.clone()),
            registration_hash: Some(token.hash.clone()),
        };
        let saving = Saving::Replace(Precondition::default());
        let row = self.save(conn, &draft, &saving, actor)?;
        self.shown(&row, secret.as_ref(), &token)
    }

    /// Deletes a client that asks for it.
    ///
    /// # Errors
    /// Those of `find_registered`.
    pub fn delete_registered(
        &self,
        conn: &mut PgConnection,
        id: &str,
        token: Option<&str>,
        actor: &Actor,
    ) -> Result<(), OAuthError> {
        self.manage(conn, id, token, |conn, _row| {
            let any = Precondition::default();
            Ok(super::delete_client(conn, actor, id, &any)?)
        })
    }

    fn read_metadata(&self, given: Value) -> Result<Metadata, OAuthError> {
        if given.get("software_statement").is_some() {
            let description = "software statements are not taken";
            return Err(OAuthError::new(Fault::InvalidClientMetadata, description));
        }
        let mut metadata =
            Metadata::from_registration(given).map_err(|error| bad_metadata(error.to_string()))?;
        self.bound(&mut metadata);
        Ok(metadata)
    }

    /// What clients that nobody knows may ask for at most.
    pub fn bound(&self, metadata: &mut Metadata) {
        let allowed = Scopes::from_stored(&self.config.registered_scopes);
        let scopes = match metadata.scope.as_deref() {
            None => allowed,
            Some(text) => Scopes::from_stored(text.split(' ')).common(&allowed),
        };
        metadata.scope = Some(scopes.to_string());
    }

    fn save(
        &self,
        conn: &mut PgConnection,
        draft: &Draft,
        saving: &Saving,
        actor: &Actor,
    ) -> Result<ClientRow, OAuthError> {
        // It reaches no further than what everyone may register.
        let authority = Authority::new(Scopes::from_stored(&self.config.registered_scopes), &[]);
        clients::save(conn, &authority, actor, draft, saving).map_err(refused)
    }

    fn shown(
        &self,
        row: &ClientRow,
        secret: Option<&Secret>,
        token: &Secret,
    ) -> Result<Value, OAuthError> {
        let Client { id, metadata, .. } = row.client()?;
        let mut shown: Map<String, Value> = match json!(metadata) {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        // What was not registered is not shown, nor what only administrators say.
        shown.retain(|name, value| {
            !value.is_null() && !clients::PRIVILEGED.contains(&name.as_str())
        });
        let uri = self.at(&format!("/oauth/register/{id}"));
        shown.insert("client_id".to_owned(), id.into());
        shown.insert(
            "client_id_issued_at".to_owned(),
            row.created_at.timestamp().into(),
        );
        shown.insert(
            "registration_access_token".to_owned(),
            token.text.clone().into(),
        );
        shown.insert("registration_client_uri".to_owned(), uri.into());
        if let Some(secret) = secret {
            shown.insert("client_secret".to_owned(), secret.text.clone().into());
            shown.insert("client_secret_expires_at".to_owned(), 0.into());
        }
        Ok(Value::Object(shown))
    }
}

fn secret_for(metadata: &Metadata) -> Result<Option<Secret>, OAuthError> {
    let needs = metadata.token_endpoint_auth_method.is_secret();
    Ok(if needs {
        Some(Secret::generate()?)
    } else {
        None
    })
}

fn unauthorized() -> OAuthError {
    OAuthError::new(
        Fault::InvalidToken,
        "the registration token is missing or wrong",
    )
    .header("www-authenticate", "Bearer realm=\"tollgate\"")
}

fn bad_metadata(description: impl Into<std::borrow::Cow<'static, str>>) -> OAuthError {
    OAuthError::new(Fault::InvalidClientMetadata, description)
}

/// RFC 7591 section 3.2.2: bad addresses have an error of their own.
fn refused(error: ApiError) -> OAuthError {
    if error.errors.is_empty() {
        return error.into();
    }
    let at_address = error
        .errors
        .iter()
        .any(|fault| fault.pointer.starts_with("/redirect_uris"));
    let fault = if at_address {
        Fault::InvalidRedirectUri
    } else {
        Fault::InvalidClientMetadata
    };
    let faults: Vec<_> = error
        .errors
        .iter()
        .map(|fault| {
            format!(
                "{}: {}",
                fault.pointer.trim_start_matches('/'),
                fault.detail
            )
        })
        .collect();
    OAuthError::new(fault, faults.join("; "))
}
