//! What apps may learn of a user (OpenID Connect Core section 5).

use serde_json::{Map, Value};

use crate::scope::Scopes;

/// The claims of each scope that an account has a place for.
const BY_SCOPE: &[(&str, &[&str])] = &[
    (
        "profile",
        &[
            "name",
            "given_name",
            "family_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
    ),
    ("email", &["email", "email_verified"]),
    ("address", &["address"]),
    ("phone", &["phone_number", "phone_number_verified"]),
];

/// Claims that are members of the account itself; the others are the owner's to store in `user_metadata`.
const OWN: [&str; 5] = ["name", "locale", "updated_at", "email", "email_verified"];

/// Every claim that there may be.
pub fn claims_known() -> impl Iterator<Item = &'static str> {
    BY_SCOPE.iter().flat_map(|(_, names)| names.iter().copied())
}

/// What of `user`, given as JSON, scopes allow and, by name, a member of the `claims` parameter asks for: that may name only
/// what a scope of the session would show.
pub fn claims_about(user: &Value, scopes: &Scopes, asked: Option<&Value>) -> Map<String, Value> {
    let asked = asked.and_then(Value::as_object);
    let mut told = Map::new();
    for (scope, names) in BY_SCOPE {
        let is_shown = scopes.contains(scope);
        for name in *names {
            let is_asked = || asked.is_some_and(|asked| asked.contains_key(*name));
            if (is_shown || is_asked())
                && let Some(value) = value_of(user, name)
            {
                told.insert((*name).to_owned(), value);
            }
        }
    }
    told
}

/// The scope that shows a claim.
pub fn scope_of_claim(name: &str) -> Option<&'static str> {
    BY_SCOPE
        .iter()
        .find(|(_, names)| names.contains(&name))
        .map(|(scope, _)| *scope)
}

fn value_of(user: &Value, name: &str) -> Option<Value> {
    let stored = if OWN.contains(&name) {
        user.get(name)
    } else {
        user.get("user_metadata").and_then(|own| own.get(name))
    };
    let value = stored.filter(|value| !value.is_null());
    match name {
        // Nobody has verified it, whatever the owner stored.
        "phone_number_verified" => value_of(user, "phone_number").map(|_| Value::Bool(false)),
        "address" => value.filter(|value| value.is_object()).cloned(),
        "updated_at" | "email_verified" => value.cloned(),
        _ => value.filter(|value| value.is_string()).cloned(),
    }
}
