//! Form bodies (application/x-www-form-urlencoded), as OAuth endpoints and pages take them.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};

use super::json::read_bytes;
use crate::error::{ApiError, Code};

const FORM: &str = "application/x-www-form-urlencoded";

/// Bytes of the largest form.
const LARGEST: usize = 65_536;

/// The bytes of a form, not decoded yet.
pub struct Form(pub web::Bytes);

impl FromRequest for Form {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_bytes(request, payload, &[FORM]);
        Box::pin(async move {
            let (_, bytes) = body.await?;
            if bytes.len() > LARGEST {
                return Err(Code::PayloadTooLarge.into());
            }
            Ok(Self(bytes))
        })
    }
}
