//! The `Idempotency-Key` of a request.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header::HeaderName};
use serde_json::value::RawValue;

use super::{Caller, Tagged, json::RawBody};
use crate::{
    error::{ApiError, Code},
    idempotency::{Answer, Key},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Characters of the longest key.
const LONGEST_KEY: usize = 255;

/// The request's key, if it has one; take it before the body.
pub struct Idempotency {
    key: Option<String>,
    request: HttpRequest,
}

impl FromRequest for Idempotency {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(read(request).map(|key| Self {
            key,
            request: request.clone(),
        }))
    }
}

fn read(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let mut values = request.headers().get_all(IDEMPOTENCY_KEY);
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else {
        return Ok(None);
    };
    let sane = |key: &&str| {
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match value.to_str().ok().filter(sane) {
        Some(key) if second.is_none() => Ok(Some(key.to_owned())),
        _ => {
            let detail = "`Idempotency-Key` is one text of up to 255 visible ASCII characters";
            Err(ApiError::new(Code::BadRequest, detail))
        }
    }
}

impl Idempotency {
    /// Whether the request has a key.
    pub fn is_some(&self) -> bool {
        self.key.is_some()
    }

    /// The key for this caller and the body that was read.
    pub fn of<S>(&self, caller: &Caller<S>) -> Option<Key> {
        let key = self.key.as_deref()?;
        let extensions = self.request.extensions();
        let body = extensions.get::<RawBody>().map(|raw| raw.0.as_ref());
        Some(Key::new(
            caller.user_id(),
            &caller.claims().client_id,
            self.request.method().as_str(),
            self.request.path(),
            key,
            body.unwrap_or_default(),
        ))
    }
}

impl From<Answer> for Tagged<Box<RawValue>> {
    fn from(answer: Answer) -> Self {
        let body = Box::<str>::from(answer.body).into_string();
        Self::of_text(body, answer.version).created(answer.location)
    }
}
