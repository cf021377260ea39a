//! The device grant (RFC 8628): a device shows a code, a person types it elsewhere, the device asks until they have decided.

use aws_lc_rs::rand;
use diesel::PgConnection;
use serde_json::{Value, json};
use uuid::Uuid;

pub use super::device_store::DeviceRow;
use super::{
    Fault, OAuthError, Server,
    authorize::Visitor,
    consents,
    device_store::{self as store, NewDevice, Polled},
    hop, once,
    request::read_scopes,
    token::{TokenAnswer, TokenRequest},
};
use crate::{
    audit::Actor,
    clients::GrantType,
    db::{self, Db},
    error::ApiError,
    scope::Scopes,
    secret::Secret,
    sessions::{self, NewSession},
    users,
};

/// Seconds that a code is good for.
const LIFETIME: i32 = 600;

/// Seconds between two questions.
const INTERVAL: i32 = 5;

/// Letters that are not mistaken for each other and spell nothing (RFC 8628 section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// Letters of a code.
const LENGTH: usize = 8;

/// How often a code is made anew when it is taken.
const TRIES: usize = 5;

impl Server {
    /// Gives a device its codes.
    ///
    /// # Errors
    /// `unauthorized_client`, `invalid_scope`, `invalid_target`.
    pub fn begin_device(
        &self,
        conn: &mut PgConnection,
        request: &TokenRequest,
    ) -> Result<Value, OAuthError> {
        let client = request.client();
        if !client.may(GrantType::DeviceCode) {
            let description = "the client is not registered for device_code";
            return Err(OAuthError::new(Fault::UnauthorizedClient, description));
        }
        let scopes = read_scopes(client, &request.parameters)?;
        let resource = self.resource(client, request.parameters.get("resource"))?;
        once::take_all(conn, &request.used())?;
        let device_code = Secret::generate()?;
        let key = request.thumbprint().filter(|_| client.is_public());
        for _ in 0..TRIES {
            let user_code = new_user_code()?;
            let new = NewDevice {
                id: &device_code.hash,
                user_code: &Secret::hash(&user_code),
                client_id: &client.id,
                scopes: &scopes.names(),
                resource: resource.as_deref(),
                key: key.as_deref(),
                address: request.actor.address.as_deref(),
                user_agent: request.actor.user_agent.as_deref(),
                lifetime: LIFETIME,
                interval: INTERVAL,
            };
            if store::insert_device(conn, &new)? {
                let shown = shown(&user_code);
                let page = self.at("/device");
                return Ok(json!({
                    "device_code": device_code.text,
                    "verification_uri_complete": format!("{page}?user_code={shown}"),
                    "user_code": shown,
                    "verification_uri": page,
                    "expires_in": LIFETIME,
                    "interval": INTERVAL,
                }));
            }
        }
        Err(ApiError::internal("every user code is taken").into())
    }

    /// The device that shows a code, as far as nobody has decided.
    ///
    /// # Errors
    /// Postgres.
    pub fn find_device(
        &self,
        conn: &mut PgConnection,
        user_code: &str,
    ) -> Result<Option<DeviceRow>, ApiError> {
        let Some(code) = normal(user_code) else {
            return Ok(None);
        };
        Ok(store::find_device(conn, &Secret::hash(&code))?)
    }

    /// Writes down what the person has decided; tells whether there was still something to decide.
    ///
    /// # Errors
    /// Postgres.
    pub fn decide_device(
        &self,
        conn: &mut PgConnection,
        user_code: &str,
        allowed: bool,
        visitor: &Visitor,
        actor: &Actor,
    ) -> Result<bool, ApiError> {
        db::tx(conn, |conn| {
            let Some(device) = self.find_device(conn, user_code)? else {
                return Ok(false);
            };
            let asked = Scopes::from_stored(&device.scopes);
            let scopes = asked.for_roles(&visitor.account.scopes);
            let allowed = allowed && !scopes.is_empty();
            let names = scopes.names();
            store::decide_device(conn, &device.id, allowed, &names, &visitor.page)?;
            if allowed {
                let owner = visitor.account.user.id;
                let resource = device.resource.as_deref();
                consents::give(conn, owner, &device.client_id, &scopes, resource, actor)?;
            }
            Ok(true)
        })
    }

    pub(super) async fn redeem_device(
        &self,
        db: &Db,
        request: TokenRequest,
    ) -> Result<TokenAnswer, OAuthError> {
        let code = Secret::hash(request.need("device_code")?);
        let server = self.clone();
        hop(db, move |conn| {
            // That the device asked stays written down, also when it is refused.
            db::tx(conn, |conn| {
                once::take_all(conn, &request.used())?;
                match store::poll_device(conn, &code, &request.client().id)? {
                    Some(polled) => match verdict(&polled) {
                        Ok(()) => once::keeping(conn, |conn| {
                            server.open_device(conn, polled.device, &request)
                        }),
                        Err(refusal) => Ok(Err(refusal)),
                    },
                    None => Ok(Err(unknown())),
                }
            })
            .and_then(|answered: Result<TokenAnswer, OAuthError>| answered)
        })
        .await
    }

    fn open_device(
        &self,
        conn: &mut PgConnection,
        device: DeviceRow,
        request: &TokenRequest,
    ) -> Result<TokenAnswer, OAuthError> {
        if device.cnf.is_some() && device.cnf != request.thumbprint() {
            return Err(OAuthError::invalid_grant(
                "the device code is bound to another key",
            ));
        }
        let owner = device.user_id.ok_or_else(unknown)?;
        let gone = || OAuthError::new(Fault::AccessDenied, "the account can't be used any more");
        users::lock(conn, owner)?
            .filter(|account| !account.user.disabled)
            .ok_or_else(gone)?;
        let scopes = Scopes::from_stored(&device.scopes);
        if !is_still_allowed(conn, owner, &device, &scopes)? {
            let description = "the person has taken back what they allowed";
            return Err(OAuthError::new(Fault::AccessDenied, description));
        }
        let wish = request.wish(self)?;
        let session = NewSession {
            client_id: request.client().id.clone(),
            scopes,
            auth_time: device.auth_time,
            acr: device.acr.unwrap_or_default(),
            amr: device.amr.unwrap_or_default(),
            page_hash: None,
            // It is another device: the browser's signing out does not sign it out.
            parent_id: None,
            key: request
                .thumbprint()
                .filter(|_| request.client().is_public()),
            resource: self.settled(request.client(), device.resource, &wish),
            claims: None,
        };
        let rules = self.rules_for(request);
        let pair = sessions::open(conn, owner, &session, &wish, &request.actor(), &rules)?;
        store::redeem_device(conn, &device.id, pair.session_id)?;
        Ok(TokenAnswer::of(pair, request))
    }
}

/// Whether the person has not taken back meanwhile what they allowed, and it was them: a session that ended by more than
/// signing out lets nothing in.
fn is_still_allowed(
    conn: &mut PgConnection,
    owner: Uuid,
    device: &DeviceRow,
    scopes: &Scopes,
) -> Result<bool, OAuthError> {
    let resource = device.resource.as_deref();
    if !consents::covers(conn, owner, &device.client_id, scopes, resource)? {
        return Ok(false);
    }
    let page = match device.page_id {
        Some(id) => sessions::hold(conn, owner, id)?,
        None => None,
    };
    Ok(page.is_some_and(|page| page.is_trusted()))
}

fn unknown() -> OAuthError {
    OAuthError::invalid_grant("the device code is unknown, used, or not this client's")
}

/// What a device that asks is told while it gets no tokens.
fn verdict(polled: &Polled) -> Result<(), OAuthError> {
    let device = &polled.device;
    if device.session_id.is_some() {
        return Err(unknown());
    }
    if !polled.is_good {
        let description = "the device code has expired; begin again";
        return Err(OAuthError::new(Fault::ExpiredToken, description));
    }
    if polled.too_early {
        return Err(OAuthError::new(
            Fault::SlowDown,
            "wait 5 s longer between two questions",
        ));
    }
    match device.allowed {
        None => {
            let description = "the person has not decided yet";
            Err(OAuthError::new(Fault::AuthorizationPending, description))
        }
        Some(false) => Err(OAuthError::new(Fault::AccessDenied, "the person said no")),
        Some(true) => Ok(()),
    }
}

fn new_user_code() -> Result<String, ApiError> {
    let mut code = String::new();
    while code.len() < LENGTH {
        let mut bytes = [0; 1];
        rand::fill(&mut bytes).map_err(|_unspecified| ApiError::internal("no randomness"))?;
        // Of 256 bytes the first 240 are twelve rounds of the letters; the rest would favour some.
        let [byte] = bytes;
        if let Some(letter) = LETTERS.get(usize::from(byte % 20)).filter(|_| byte < 240) {
            code.push(char::from(*letter));
        }
    }
    Ok(code)
}

/// A code as it is shown.
fn shown(code: &str) -> String {
    match code.split_at_checked(LENGTH / 2) {
        Some((first, second)) => format!("{first}-{second}"),
        None => code.to_owned(),
    }
}

/// A code as it is stored, from what a person has typed.
pub fn normal(typed: &str) -> Option<String> {
    let letters: String = typed
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    let known = letters.bytes().all(|letter| LETTERS.contains(&letter));
    (letters.len() == LENGTH && known && typed.len() <= 40).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        for typed in ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "bcdf–ghjk"] {
            assert_eq!(normal(typed).as_deref(), Some("BCDFGHJK"), "{typed}");
        }
        for typed in ["", "BCDFGHJ", "BCDFGHJKL", "AAAA-AAAA"] {
            assert_eq!(normal(typed), None, "{typed}");
        }
        let code = new_user_code().unwrap();
        assert_eq!(normal(&shown(&code)), Some(code));
    }
}
