//! The AsyncAPI document: what goes over sockets and streams of events.

use serde_json::{Value, json};

use crate::error::ApiError;

/// The document but for what a server knows of itself.
const DOCUMENT: &str = include_str!("../../asyncapi/asyncapi.json");

/// The document of the server with this address.
///
/// # Errors
/// It does not hold together.
pub(super) fn asyncapi(issuer: &str, cookie: &str) -> Result<Value, ApiError> {
    let mut document: Value = serde_json::from_str(DOCUMENT).map_err(ApiError::internal)?;
    let (scheme, host) = issuer.split_once("://").unwrap_or(("http", issuer));
    let is_safe = scheme == "https";
    for (pointer, text) in [
        ("/info/version", env!("CARGO_PKG_VERSION")),
        ("/servers/websocket/host", host),
        (
            "/servers/websocket/protocol",
            if is_safe { "wss" } else { "ws" },
        ),
        ("/servers/http/host", host),
        ("/servers/http/protocol", scheme),
        ("/components/securitySchemes/cookie/name", cookie),
    ] {
        let place = document.pointer_mut(pointer);
        *place.ok_or_else(|| ApiError::internal(format!("{pointer} is missing")))? = json!(text);
    }
    Ok(document)
}
