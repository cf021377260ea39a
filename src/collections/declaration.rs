//! What a developer declares.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::{ApiError, FieldError};

/// A collection to declare.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "type_name": "Order",
    "schema": {
        "type": "object", "required": ["title"], "additionalProperties": false,
        "properties": {"title": {"type": "string", "maxLength": 200}, "price": {"type": "number", "minimum": 0}},
    },
    "indexes": [["owner", "-price"]],
    "rules": {
        "list": "record.owner == auth.sub", "read": "record.owner == auth.sub", "create": "auth.sub != null",
        "update": "record.owner == auth.sub", "delete": "record.owner == auth.sub",
    },
}))]
pub struct Declaration {
    /// The name of its records' type, which no other collection has.
    #[schema(pattern = "^[A-Z][A-Za-z0-9]{0,62}$", example = "Order")]
    pub type_name: String,
    /// A JSON Schema (2020-12) of its documents, of type `object`, which refers to nothing outside itself.
    #[schema(value_type = Object)]
    pub schema: Map<String, Value>,
    /// What lists are filtered and ordered by: for each index its members, a minus before those that descend, as
    /// `["owner", "-price"]`.
    #[serde(default)]
    #[schema(max_items = 16)]
    pub indexes: Vec<Vec<String>>,
    /// Who may do what.
    #[serde(default)]
    #[schema(inline = false)]
    pub rules: RuleTexts,
    /// Whether the versions that are replaced are kept, as long as the record is there.
    #[serde(default)]
    pub history: bool,
    /// Whether changing and deleting takes `If-Match`.
    #[serde(default)]
    pub require_precondition: bool,
    /// What becomes of somebody's records when their account is erased.
    #[serde(default)]
    pub on_owner_delete: OnOwnerDelete,
}

/// Who may do what: expressions; where there is none, administrators only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleTexts {
    /// Which records a list holds, by `record`, `auth` and `now`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096, example = "record.owner == auth.sub")]
    pub list: Option<String>,
    /// Which records can be read, and seen at all, by the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub read: Option<String>,
    /// What can be made, by `input`, `auth` and `now`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096, example = "auth.sub != null")]
    pub create: Option<String>,
    /// What can be changed, and into what, by `record`, `input`, `auth` and `now`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub update: Option<String>,
    /// What can be deleted, by `record`, `auth` and `now`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub delete: Option<String>,
}

/// What becomes of somebody's records when their account is erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnOwnerDelete {
    /// They are deleted with it.
    #[default]
    Delete,
    /// They stay, and belong to nobody.
    Keep,
}

impl Declaration {
    /// Checks that the name of the type can be one: `[A-Z][A-Za-z0-9]{0,62}`.
    pub(super) fn check_type_name(&self) -> Result<(), ApiError> {
        let name = &self.type_name;
        let valid = name.len() <= 63
            && name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if valid {
            return Ok(());
        }
        let detail =
            "a type's name begins with a capital and goes on with letters and digits, 63 at most";
        Err(ApiError::invalid(vec![FieldError::new(
            "/type_name",
            "pattern",
            detail,
        )]))
    }
}
