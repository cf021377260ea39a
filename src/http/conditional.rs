//! Conditional requests and what a client prefers to get back (RFC 9110 section 13, RFC 7240).

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, Responder,
    body::BoxBody,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, EntityTag, Header, HeaderName, HeaderValue, IfMatch, IfNoneMatch},
    },
};
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use crate::{
    error::{ApiError, Code},
    precondition::{Precondition, Tags, version_of},
};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

impl FromRequest for Precondition {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(precondition(request))
    }
}

fn precondition(request: &HttpRequest) -> Result<Precondition, ApiError> {
    // RFC 9110 section 13.1.1: only strong tags can match.
    let if_match = read::<IfMatch>(request)?.map(|tags| match tags {
        IfMatch::Any => Tags::Any,
        IfMatch::Items(tags) => versions(tags.iter().filter(|tag| !tag.weak)),
    });
    let if_none_match = read::<IfNoneMatch>(request)?.map(|tags| match tags {
        IfNoneMatch::Any => Tags::Any,
        IfNoneMatch::Items(tags) => versions(tags.iter()),
    });
    Ok(Precondition {
        if_match,
        if_none_match,
    })
}

fn versions<'a>(tags: impl Iterator<Item = &'a EntityTag>) -> Tags {
    Tags::Versions(tags.filter_map(|tag| version_of(tag.tag())).collect())
}

fn read<H: Header>(request: &HttpRequest) -> Result<Option<H>, ApiError> {
    if !request.headers().contains_key(H::name()) {
        return Ok(None);
    }
    H::parse(request).map(Some).map_err(|_malformed| {
        let detail = format!("`{}` takes `*` or a list of quoted entity tags", H::name());
        ApiError::new(Code::BadRequest, detail)
    })
}

/// One resource with the tag of its state: answers conditional reads, and writes as the client prefers.
pub struct Tagged<T> {
    body: T,
    status: StatusCode,
    version: Option<i64>,
    location: Option<String>,
}

impl<T> Tagged<T> {
    /// A resource that counts its versions.
    pub fn versioned(body: T, version: i64) -> Self {
        Self {
            body,
            status: StatusCode::OK,
            version: Some(version),
            location: None,
        }
    }

    /// A resource whose tag is made of what it shows.
    pub fn hashed(body: T) -> Self {
        Self {
            body,
            status: StatusCode::OK,
            version: None,
            location: None,
        }
    }

    /// The same, just made, at `location`.
    #[must_use]
    pub fn created(self, location: String) -> Self {
        Self {
            status: StatusCode::CREATED,
            location: Some(location),
            ..self
        }
    }
}

impl<T: Serialize> Responder for Tagged<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let body = match serde_json::to_vec(&self.body) {
            Ok(body) => body,
            Err(error) => return HttpResponse::from_error(ApiError::internal(error)),
        };
        let tag = match self.version {
            Some(version) => version.to_string(),
            None => hash(&body),
        };
        if request.method().is_safe() {
            match known(request, &tag) {
                Ok(None) => {}
                Ok(Some(mut unchanged)) => return unchanged.finish(),
                Err(error) => return HttpResponse::from_error(error),
            }
        }
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::ETAG, format!("\"{tag}\"")));
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        let preference = (!request.method().is_safe())
            .then(|| preferred_return(request))
            .flatten();
        if let Some(preference) = preference {
            response.insert_header((PREFERENCE_APPLIED, HeaderValue::from_static(preference)));
        }
        if preference == Some(MINIMAL) {
            if self.status == StatusCode::OK {
                response.status(StatusCode::NO_CONTENT);
            }
            return response.finish();
        }
        response
            .content_type(header::ContentType::json())
            .body(body)
    }
}

const MINIMAL: &str = "return=minimal";
const REPRESENTATION: &str = "return=representation";

/// What of RFC 7240 section 4.2 is preferred; of several the first counts.
fn preferred_return(request: &HttpRequest) -> Option<&'static str> {
    request
        .headers()
        .get_all(PREFER)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .find_map(|preference| {
            let bare = preference.split(';').next().unwrap_or_default();
            let mut parts = bare
                .splitn(2, '=')
                .map(|part| part.trim().trim_matches('"'));
            match (parts.next()?.to_ascii_lowercase().as_str(), parts.next()?) {
                ("return", "minimal") => Some(MINIMAL),
                ("return", "representation") => Some(REPRESENTATION),
                _ => None,
            }
        })
}

/// The 304 of a read whose state, by its tag, the client knows already; `*` knows any.
///
/// # Errors
/// 412 where `If-Match` names another state, 400 for tags that can't be read.
pub fn known(request: &HttpRequest, tag: &str) -> Result<Option<HttpResponseBuilder>, ApiError> {
    let is_ours = |theirs: &&EntityTag| plain(theirs.tag()) == tag;
    if let Some(IfMatch::Items(tags)) = read::<IfMatch>(request)?
        && !tags.iter().any(|one| !one.weak && is_ours(&one))
    {
        return Err(Code::PreconditionFailed.into());
    }
    let same = match read::<IfNoneMatch>(request)? {
        None => None,
        Some(IfNoneMatch::Any) => Some(tag.to_owned()),
        // In the form that the client knows.
        Some(IfNoneMatch::Items(tags)) => tags.iter().find(is_ours).map(|one| one.tag().to_owned()),
    };
    Ok(same.map(|tag| {
        let mut response = HttpResponse::NotModified();
        response.insert_header((header::ETAG, format!("\"{tag}\"")));
        response
    }))
}

/// A tag without the name of the content coding that a compressed answer adds to it.
fn plain(tag: &str) -> &str {
    super::compress::CODINGS
        .iter()
        .find_map(|coding| tag.strip_suffix(coding)?.strip_suffix('.'))
        .unwrap_or(tag)
}

/// A tag made of what an answer shows.
pub fn hash(body: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, body);
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}
