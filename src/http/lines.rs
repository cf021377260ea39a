//! Bodies of one JSON value, or of many lines.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use futures_util::TryFutureExt;
use serde_json::Value;

use super::json::{JSON, any, check_type};
use crate::error::ApiError;

/// The media type of lines of JSON.
pub const NDJSON: &str = "application/x-ndjson";

/// One JSON value, or many, each on a line of its own, which are read as they arrive.
pub enum OneOrLines {
    /// One.
    One(Value),
    /// Many.
    Lines(web::Payload),
}

impl FromRequest for OneOrLines {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if matches!(check_type(request, &[JSON, NDJSON]), Ok(NDJSON)) {
            let lines = web::Payload::from_request(request, payload);
            return Box::pin(
                lines
                    .map_ok(Self::Lines)
                    .map_err(|error| ApiError::internal(error.to_string())),
            );
        }
        Box::pin(any(request, payload, &[JSON, NDJSON]).map_ok(Self::One))
    }
}
