//! JSON bodies: the schema that the OpenAPI document shows is the schema that is enforced, every fault at once.

use std::{future::Future, marker::PhantomData, pin::Pin, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::{Method, header},
    web,
};
use futures_util::TryFutureExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use utoipa::ToSchema;

use crate::{
    app::AppState,
    error::{ApiError, Code, FieldError},
    input::{Shape, escaped},
    patch::Patch,
    strict_json,
};

/// Bytes of the largest body.
const MAX_BODY: usize = 1_048_576;

/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(15);

pub(super) const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";

/// The types that every PATCH takes.
pub const PATCH_TYPES: &[&str] = &["application/merge-patch+json", JSON, JSON_PATCH];

/// The bytes of the body that was read, for those who compare requests.
pub(super) struct RawBody(pub web::Bytes);

/// A body that fits the schema of `T`.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + ToSchema + 'static> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload, &[JSON]);
        let shape = shape::<T>(request);
        let request = request.clone();
        Box::pin(async move {
            let (_, bytes, value) = body.await?;
            shape?.check(&value)?;
            request.extensions_mut().insert(RawBody(bytes));
            let parsed = serde_path_to_error::deserialize(value);
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

/// Like `Json`, but without any body the default.
pub struct MaybeJson<T>(pub T);

impl<T: DeserializeOwned + ToSchema + Default + 'static> FromRequest for MaybeJson<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH);
        let is_empty = length.is_none_or(|length| length == "0")
            && !headers.contains_key(header::TRANSFER_ENCODING)
            && !headers.contains_key(header::CONTENT_TYPE);
        if is_empty {
            return Box::pin(async { Ok(Self(T::default())) });
        }
        let body = Json::<T>::from_request(request, payload);
        Box::pin(async move { body.await.map(|Json(value)| Self(value)) })
    }
}

/// Any JSON object, for bodies in which what is unknown is ignored.
pub struct JsonObject(pub Value);

impl FromRequest for JsonObject {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload, &[JSON]);
        Box::pin(async move {
            let (_, _, value) = body.await?;
            if value.is_object() {
                Ok(Self(value))
            } else {
                Err(ApiError::new(
                    Code::BadRequest,
                    "The body is no JSON object",
                ))
            }
        })
    }
}

/// The steps of a JSON Patch (RFC 6902), for the documentation.
#[derive(ToSchema)]
#[schema(example = json!([
    {"op": "test", "path": "/name", "value": "Ada"},
    {"op": "replace", "path": "/name", "value": "Ada Lovelace"},
]))]
pub struct JsonPatch(
    #[expect(dead_code, reason = "the document shows it; `Patch` reads it")] Vec<JsonPatchStep>,
);

/// One step of a JSON Patch; other members are ignored (RFC 6902 section 4).
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document shows it; `Patch` reads it")]
pub struct JsonPatchStep {
    /// What to do.
    #[schema(pattern = "^(add|remove|replace|move|copy|test)$")]
    op: String,
    /// Where, a JSON Pointer (RFC 6901).
    path: String,
    /// From where, for `move` and `copy`.
    #[schema(required = false)]
    from: Option<String>,
    /// The value, for `add`, `replace` and `test`.
    #[schema(required = false)]
    value: Option<Value>,
}

/// A patch of a `T`, by the type of its body a merge patch (RFC 7396) or a JSON Patch (RFC 6902).
pub struct PatchOf<T>(pub Patch, PhantomData<T>);

impl<T: ToSchema + 'static> FromRequest for PatchOf<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload, PATCH_TYPES);
        let shape = shape::<T>(request);
        Box::pin(async move {
            let (media_type, _, value) = body.await?;
            let patch = if media_type == JSON_PATCH {
                Patch::steps(value, shape?)?
            } else {
                Patch::merge(value, shape?)?
            };
            Ok(Self(patch, PhantomData))
        })
    }
}

/// Any JSON value, for bodies whose schema the handler finds.
pub struct AnyJson(pub Value);

impl FromRequest for AnyJson {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        Box::pin(any(request, payload, &[JSON]).map_ok(Self))
    }
}

pub(super) fn any(
    request: &HttpRequest,
    payload: &mut Payload,
    types: &'static [&'static str],
) -> impl Future<Output = Result<Value, ApiError>> + use<> {
    let body = read(request, payload, types);
    let request = request.clone();
    async move {
        let (_, bytes, value) = body.await?;
        request.extensions_mut().insert(RawBody(bytes));
        Ok(value)
    }
}

/// A patch of a document whose schema the handler finds.
pub struct AnyPatch(pub Patch);

impl FromRequest for AnyPatch {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload, PATCH_TYPES);
        Box::pin(async move {
            let (media_type, _, value) = body.await?;
            let shape = Shape::any().map_err(|error| ApiError::internal(error.to_string()))?;
            let patch = if media_type == JSON_PATCH {
                Patch::steps(value, shape)?
            } else {
                Patch::merge(value, shape)?
            };
            Ok(Self(patch.with_room(MAX_BODY)))
        })
    }
}

fn shape<T: ToSchema>(request: &HttpRequest) -> Result<Shape, ApiError> {
    let app = request.app_data::<web::Data<AppState>>();
    app.ok_or_else(|| ApiError::internal("no state"))?
        .inputs
        .of::<T>()
}

/// Reads the body as one strict JSON value of one of these media types.
fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    types: &'static [&'static str],
) -> impl Future<Output = Result<(&'static str, web::Bytes, Value), ApiError>> + use<> {
    let body = read_bytes(request, payload, types);
    async move {
        let (media_type, bytes) = body.await?;
        let text = strict_json::check(&bytes)?;
        let value = serde_json::from_str(text)
            .map_err(|error| ApiError::new(Code::MalformedJson, error.to_string()))?;
        Ok((media_type, bytes, value))
    }
}

/// Reads a body of one of these media types, within the deadline.
pub(super) fn read_bytes(
    request: &HttpRequest,
    payload: &mut Payload,
    types: &'static [&'static str],
) -> impl Future<Output = Result<(&'static str, web::Bytes), ApiError>> + use<> {
    let typed = check_type(request, types);
    let bytes = web::Bytes::from_request(request, payload);
    async move {
        let media_type = typed?;
        let bytes = tokio::time::timeout(BODY_PATIENCE, bytes)
            .await
            .map_err(|_elapsed| ApiError::from(Code::RequestTimeout))?
            .map_err(|error| match error.as_error::<PayloadError>() {
                Some(PayloadError::Overflow) => Code::PayloadTooLarge.into(),
                _ => ApiError::new(Code::BadRequest, "The body could not be read"),
            })?;
        Ok((media_type, bytes))
    }
}

/// Refuses bodies that do not say they are plain JSON of one of these types (RFC 9110 section 15.5.16).
pub(super) fn check_type(
    request: &HttpRequest,
    types: &'static [&'static str],
) -> Result<&'static str, ApiError> {
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
    let essence = essence.trim();
    let known = types.iter().find(|one| one.eq_ignore_ascii_case(essence));
    let charset = parameters.is_empty()
        || matches!(
            parameters.to_ascii_lowercase().as_str(),
            "charset=utf-8" | "charset=\"utf-8\""
        );
    let plain = matches!(text(header::CONTENT_ENCODING), "" | "identity");
    match known {
        Some(known) if charset && plain => Ok(known),
        _ => {
            // RFC 9110 section 15.5.16, RFC 5789 section 2.2.
            let name = if request.method() == Method::PATCH {
                "accept-patch"
            } else {
                "accept"
            };
            Err(ApiError::from(Code::UnsupportedMediaType).header(name, types.join(", ")))
        }
    }
}

/// The limit that actix enforces while it reads a body.
pub fn body_limit() -> web::PayloadConfig {
    web::PayloadConfig::new(MAX_BODY)
}
