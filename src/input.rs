//! What input must look like: a compiled JSON Schema, which finds every fault at once.

use std::sync::Arc;

use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use crate::error::{ApiError, FieldError};

/// Faults that are told of one body: nobody reads more.
const MOST_FAULTS: usize = 100;

/// Bytes that a compiled pattern of a developer's schema may take.
const LARGEST_PATTERN: usize = 1_048_576;

/// A compiled JSON Schema (2020-12).
#[derive(Clone)]
pub struct Shape(Arc<Validator>);

impl Shape {
    /// Compiles a schema, formats asserted, nothing fetched.
    ///
    /// # Errors
    /// The schema does not compile.
    pub fn new(schema: &Value) -> anyhow::Result<Self> {
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(schema)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self(Arc::new(validator)))
    }

    /// Compiles a schema that a developer wrote: its patterns are matched in linear time, so nobody can stop the server with one.
    ///
    /// # Errors
    /// Why the schema does not compile.
    pub fn of_documents(schema: &Value) -> Result<Self, String> {
        let patterns = PatternOptions::regex().size_limit(LARGEST_PATTERN);
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .with_pattern_options(patterns)
            .build(schema)
            .map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(validator)))
    }

    /// The shape that everything has, for what was made by ourselves.
    ///
    /// # Errors
    /// None that happens.
    pub fn any() -> anyhow::Result<Self> {
        Self::new(&Value::Bool(true))
    }

    /// Finds every fault of `value`.
    ///
    /// # Errors
    /// 422 with a JSON Pointer for each.
    pub fn check(&self, value: &Value) -> Result<(), ApiError> {
        let faults: Vec<_> = self
            .0
            .iter_errors(value)
            .flat_map(|error| faults(&error))
            .take(MOST_FAULTS)
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(faults))
        }
    }
}

/// One fault per member, without repeating what was sent: it may be a password.
fn faults(error: &ValidationError<'_>) -> Vec<FieldError> {
    let place = error.instance_path().as_str();
    let code = error.kind().keyword();
    let member = |name: &str| format!("{place}/{}", escaped(name));
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![FieldError::new(
                member(name),
                code,
                "the member is required",
            )]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .take(MOST_FAULTS)
            .map(|name| {
                FieldError::new(
                    member(name),
                    code,
                    "there is no such member, or it can't be written",
                )
            })
            .collect(),
        _ => vec![FieldError::new(
            place,
            code,
            error.masked_with("the value").to_string(),
        )],
    }
}

/// Writes a member's name as it stands in a JSON Pointer (RFC 6901 section 3).
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
