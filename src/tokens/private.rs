//! Claims beyond the standard ones, mapped from the user by configuration.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::config::ConfigError;

/// Names that a mapping may not take: the registry's (RFC 7519 section 10.1, OpenID Connect) and our own.
const REGISTERED: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "sid",
    "gen",
    "uep",
    "auth_time",
    "acr",
    "amr",
    "roles",
    "cnf",
    "act",
    "may_act",
    "azp",
    "nonce",
    "at_hash",
    "c_hash",
    "typ",
    "events",
    "groups",
    "entitlements",
    "token_introspection",
    // What introspection says beside the claims (RFC 7662 section 2.2).
    "active",
    "token_type",
    "username",
];

/// Which claim comes from which field of the user.
#[derive(Clone, Debug)]
pub struct PrivateClaims(Vec<(String, String)>);

impl PrivateClaims {
    /// Reads the mapping of the configuration.
    ///
    /// # Errors
    /// A registered name, or a field that a user does not have.
    pub fn parse(mapping: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let fault = |claim: &str, expected: String| ConfigError {
            key: format!("tokens.private_claims.{claim}"),
            expected,
        };
        for (claim, field) in mapping {
            if REGISTERED.contains(&claim.as_str()) || claim.is_empty() || claim.starts_with('$') {
                return Err(fault(claim, "a name that no standard has taken".to_owned()));
            }
            let known = match field.split_once('.') {
                None => matches!(
                    field.as_str(),
                    "email" | "email_verified" | "name" | "locale"
                ),
                Some((metadata, member)) => {
                    matches!(metadata, "user_metadata" | "app_metadata") && !member.is_empty()
                }
            };
            if !known {
                return Err(fault(
                    claim,
                    "email, email_verified, name, locale, user_metadata.<member> or app_metadata.<member>".to_owned(),
                ));
            }
        }
        Ok(Self(
            mapping
                .iter()
                .map(|(claim, field)| (claim.clone(), pointer(field)))
                .collect(),
        ))
    }

    /// The claims that `user`, given as JSON, has values for; null is no value.
    pub fn of(&self, user: &Value) -> Map<String, Value> {
        self.0
            .iter()
            .filter_map(|(claim, pointer)| Some((claim.clone(), user.pointer(pointer)?.clone())))
            .filter(|(_, value)| !value.is_null())
            .collect()
    }
}

/// `app_metadata.plan.name` as the JSON Pointer `/app_metadata/plan/name`.
fn pointer(field: &str) -> String {
    field
        .split('.')
        .map(|member| format!("/{}", member.replace('~', "~0").replace('/', "~1")))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(claim: &str, field: &str) -> Result<PrivateClaims, ConfigError> {
        PrivateClaims::parse(&BTreeMap::from([(claim.to_owned(), field.to_owned())]))
    }

    #[test]
    fn registered_names_and_unknown_fields_are_refused() {
        assert!(parse("sub", "email").is_err() && parse("scope", "email").is_err());
        assert!(parse("x", "password_hash").is_err() && parse("x", "app_metadata").is_err());
    }

    #[test]
    fn values_come_from_the_user() {
        let user = json!({"email": "a@b", "name": null, "app_metadata": {"plan": {"name": "pro"}}});
        assert_eq!(
            Value::Object(parse("plan", "app_metadata.plan.name").unwrap().of(&user)),
            json!({"plan": "pro"})
        );
        assert!(parse("n", "name").unwrap().of(&user).is_empty());
    }
}
