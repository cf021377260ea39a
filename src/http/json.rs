//! JSON bodies: the schema that the OpenAPI document shows is the schema that is enforced, every fault at once.

use std::{collections::HashMap, future::Future, marker::PhantomData, pin::Pin};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::{Method, header},
    web,
};
use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};
use utoipa::ToSchema;

use crate::{
    app::AppState,
    error::{ApiError, Code, FieldError},
    strict_json::{self, Fault},
};

/// Bytes of the largest body.
const MAX_BODY: usize = 1_048_576;

/// The compiled schemas of every type in the OpenAPI document.
pub struct InputSchemas(HashMap<String, Validator>);

impl InputSchemas {
    /// Compiles the document's component schemas (JSON Schema 2020-12, formats asserted, nothing fetched).
    ///
    /// # Errors
    /// A schema does not compile.
    pub fn new(document: &Value) -> anyhow::Result<Self> {
        let components = document.get("components").cloned().unwrap_or_default();
        let schemas = components
            .get("schemas")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let compile = |name: String| {
            let root =
                json!({"$ref": format!("#/components/schemas/{name}"), "components": components});
            let validator = jsonschema::draft202012::options()
                .should_validate_formats(true)
                .build(&root)
                .map_err(|error| anyhow::anyhow!("schema {name}: {error}"))?;
            Ok((name, validator))
        };
        schemas
            .into_iter()
            .map(|(name, _)| compile(name))
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    fn check<T: ToSchema>(&self, value: &Value) -> Result<(), ApiError> {
        let name = T::name();
        let validator = self
            .0
            .get(name.as_ref())
            .ok_or_else(|| ApiError::internal(format!("{name} is not in the OpenAPI document")))?;
        let faults: Vec<_> = validator
            .iter_errors(value)
            .flat_map(|error| faults(&error))
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

/// A body that fits the schema of `T`.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + ToSchema + 'static> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read::<T>(request, payload);
        Box::pin(async move {
            let parsed = serde_path_to_error::deserialize(body.await?);
            parsed.map(Self).map_err(|error| {
                let pointer = pointer(error.path());
                ApiError::invalid(vec![FieldError::new(
                    pointer,
                    "format",
                    error.into_inner().to_string(),
                )])
            })
        })
    }
}

/// The place where deserialising failed, as a JSON Pointer.
fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escaped(key)),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

/// A member's name inside a JSON Pointer (RFC 6901 section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A merge patch (RFC 7396) that fits the schema of `T`: what it leaves out stays, null removes.
pub struct MergePatch<T>(pub Value, PhantomData<T>);

impl<T: ToSchema + 'static> FromRequest for MergePatch<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read::<T>(request, payload);
        Box::pin(async move { Ok(Self(body.await?, PhantomData)) })
    }
}

/// Reads the body as one strict JSON value that fits the schema of `T`.
fn read<T: ToSchema + 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Value, ApiError>> + use<T> {
    let typed = check_type(request);
    let app = request.app_data::<web::Data<AppState>>().cloned();
    let bytes = web::Bytes::from_request(request, payload);
    async move {
        typed?;
        let bytes = bytes
            .await
            .map_err(|error| match error.as_error::<PayloadError>() {
                Some(PayloadError::Overflow) => Code::PayloadTooLarge.into(),
                _ => ApiError::new(Code::BadRequest, "The body could not be read"),
            })?;
        let text = strict_json::check(&bytes).map_err(|fault| match fault {
            Fault::Malformed(detail) => ApiError::new(Code::MalformedJson, detail),
            Fault::Refused(errors) => ApiError::with_errors(Code::RefusedJson, errors),
        })?;
        let value = serde_json::from_str(text)
            .map_err(|error| ApiError::new(Code::MalformedJson, error.to_string()))?;
        let app = app.ok_or_else(|| ApiError::internal("no state"))?;
        app.inputs.check::<T>(&value)?;
        Ok(value)
    }
}

/// Refuses bodies that do not say they are plain JSON (RFC 9110 section 15.5.16).
fn check_type(request: &HttpRequest) -> Result<(), ApiError> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let (essence, parameters) = match text(header::CONTENT_TYPE).split_once(';') {
        Some((essence, parameters)) => (essence, parameters.trim()),
        None => (text(header::CONTENT_TYPE), ""),
    };
    let essence = essence.trim().to_ascii_lowercase();
    let patch = request.method() == Method::PATCH && essence == "application/merge-patch+json";
    let charset = parameters.is_empty()
        || matches!(
            parameters.to_ascii_lowercase().as_str(),
            "charset=utf-8" | "charset=\"utf-8\""
        );
    let encoding = text(header::CONTENT_ENCODING);
    if (essence == "application/json" || patch) && charset && matches!(encoding, "" | "identity") {
        Ok(())
    } else {
        Err(Code::UnsupportedMediaType.into())
    }
}

/// The limit that actix enforces while it reads a body.
pub fn body_limit() -> web::PayloadConfig {
    web::PayloadConfig::new(MAX_BODY)
}
