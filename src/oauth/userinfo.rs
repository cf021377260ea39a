//! `/oauth/userinfo` (OpenID Connect Core section 5.3): what an app may learn of whoever signed in.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::Server;
use crate::{
    error::{ApiError, Code},
    scope::Scopes,
    sessions,
    tokens::Statement,
    users,
};

impl Server {
    /// The claims that a token's scopes and its session's `claims` show of what was found of its session.
    ///
    /// # Errors
    /// 401 for a user or a session that is gone.
    pub fn about(
        owner: Uuid,
        found: Option<sessions::About>,
        scopes: &Scopes,
    ) -> Result<Map<String, Value>, ApiError> {
        let gone = || ApiError::from(Code::InvalidToken).challenge(", error=\"invalid_token\"");
        let about = found.ok_or_else(gone)?;
        let asked = about
            .claims
            .as_ref()
            .and_then(|claims| claims.get("userinfo"));
        let mut told = users::claims_about(&about.holder_mappable, scopes, asked);
        told.insert("sub".to_owned(), owner.to_string().into());
        Ok(told)
    }

    /// The same, signed for the client.
    ///
    /// # Errors
    /// 500 without a key.
    pub fn about_signed(
        &self,
        client_id: &str,
        mut told: Map<String, Value>,
    ) -> Result<String, ApiError> {
        told.insert("iss".to_owned(), self.issuer().into());
        told.insert("aud".to_owned(), client_id.into());
        self.rules
            .tokens
            .sign_statement(Statement::UserInfo, &Value::Object(told))
    }
}
