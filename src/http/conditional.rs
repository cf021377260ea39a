//! Conditional requests and what a client prefers to get back (RFC 9110 section 13, RFC 7240).

use std::{
    future::{Ready, ready},
    marker::PhantomData,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, Responder,
    body::BoxBody,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
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
/// Characters of a hash that tells the resources of one alias apart, or the forms of one resource.
const SHORT_HASH: usize = 8;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

impl FromRequest for Precondition {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(precondition(request))
    }
}

fn precondition(request: &HttpRequest) -> Result<Precondition, ApiError> {
    let versions = |tags: &[Tag]| Tags::Versions(tags.iter().filter_map(Tag::version).collect());
    // RFC 9110 section 13.1.1: only strong tags can match.
    let if_match = read(request, header::IF_MATCH)?.map(|mut tags| match &mut tags {
        Listed::Any => Tags::Any,
        Listed::Tags(tags) => {
            tags.retain(|tag| !tag.is_weak);
            versions(tags)
        }
    });
    let if_none_match = read(request, header::IF_NONE_MATCH)?.map(|tags| match tags {
        Listed::Any => Tags::Any,
        Listed::Tags(tags) => versions(&tags),
    });
    Ok(Precondition {
        if_match,
        if_none_match,
    })
}

/// An entity tag (RFC 9110 section 8.8.3).
struct Tag {
    is_weak: bool,
    text: String,
}

/// What a condition lists.
enum Listed {
    /// `*`.
    Any,
    /// At least one tag.
    Tags(Vec<Tag>),
}

impl Tag {
    fn version(&self) -> Option<i64> {
        version_of(&self.text)
    }
}

/// Reads a condition as a whole: of one that is only half understood the wrong half could let a write through.
fn read(request: &HttpRequest, name: HeaderName) -> Result<Option<Listed>, ApiError> {
    let mut lines = request.headers().get_all(&name).peekable();
    if lines.peek().is_none() {
        return Ok(None);
    }
    // Several lines are one list (RFC 9110 section 5.3).
    let lines: Option<Vec<_>> = lines.map(|line| line.to_str().ok()).collect();
    let listed = lines.and_then(|lines| listed(&lines.join(",")));
    let malformed = || {
        let detail = format!("`{name}` takes `*` or a list of quoted entity tags");
        ApiError::new(Code::BadRequest, detail)
    };
    listed.ok_or_else(malformed).map(Some)
}

fn listed(text: &str) -> Option<Listed> {
    if text.trim() == "*" {
        return Some(Listed::Any);
    }
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        // Empty elements count for nothing (RFC 9110 section 5.6.1.2).
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(Listed::Tags(tags));
        }
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(strong) => (true, strong),
            None => (false, rest),
        };
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let text = tag.to_owned();
        tags.push(Tag { is_weak, text });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

/// One resource with the tag of its state: answers conditional reads, and writes as the client prefers.
pub struct Tagged<T> {
    body: Result<Vec<u8>, serde_json::Error>,
    shows: PhantomData<T>,
    status: StatusCode,
    version: Option<i64>,
    /// What else the tag names, where the same URI shows different resources.
    whose: Option<String>,
    location: Option<String>,
    content_location: Option<String>,
}

impl<T: Serialize> Tagged<T> {
    /// A resource that counts its versions.
    pub fn versioned(body: T, version: i64) -> Self {
        Self::new(serde_json::to_vec(&body), Some(version))
    }

    /// A resource whose tag is made of what it shows.
    pub fn hashed(body: T) -> Self {
        Self::new(serde_json::to_vec(&body), None)
    }
}

impl<T> Tagged<T> {
    /// A resource that counts its versions and is JSON already.
    pub fn of_text(body: String, version: i64) -> Self {
        Self::new(Ok(body.into_bytes()), Some(version))
    }

    fn new(body: Result<Vec<u8>, serde_json::Error>, version: Option<i64>) -> Self {
        Self {
            body,
            shows: PhantomData,
            status: StatusCode::OK,
            version,
            whose: None,
            location: None,
            content_location: None,
        }
    }

    /// The same under an alias that is another resource for every caller: the tag tells them apart.
    #[must_use]
    pub fn alias_of(self, location: String) -> Self {
        Self {
            whose: Some(short_hash(location.as_bytes())),
            content_location: Some(location),
            ..self
        }
    }

    /// The same in a form that not everybody is shown: the tag tells the forms of a version apart.
    #[must_use]
    pub fn in_form(self) -> Self {
        let shown = self.body.as_deref().unwrap_or_default();
        Self {
            whose: Some(short_hash(shown)),
            ..self
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

impl<T> Responder for Tagged<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let body = match self.body {
            Ok(body) => body,
            Err(error) => return HttpResponse::from_error(ApiError::internal(error)),
        };
        let tag = match (self.version, &self.whose) {
            (Some(version), Some(whose)) => format!("{version}.{whose}"),
            (Some(version), None) => version.to_string(),
            (None, _) => hash(&body),
        };
        if request.method().is_safe() {
            match known(request, &tag) {
                Ok(None) => {}
                Ok(Some(mut unchanged)) => {
                    if let Some(location) = self.content_location {
                        unchanged.insert_header((header::CONTENT_LOCATION, location));
                    }
                    return unchanged.finish();
                }
                Err(error) => return HttpResponse::from_error(error),
            }
        }
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::ETAG, format!("\"{tag}\"")));
        if let Some(location) = self.content_location {
            response.insert_header((header::CONTENT_LOCATION, location));
        }
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
    let is_ours = |theirs: &&Tag| plain(&theirs.text) == tag;
    if let Some(Listed::Tags(tags)) = read(request, header::IF_MATCH)?
        && !tags.iter().any(|one| !one.is_weak && is_ours(&one))
    {
        return Err(Code::PreconditionFailed.into());
    }
    let same = match read(request, header::IF_NONE_MATCH)? {
        None => None,
        Some(Listed::Any) => Some(tag.to_owned()),
        // In the form that the client knows.
        Some(Listed::Tags(tags)) => tags.iter().find(is_ours).map(|one| one.text.clone()),
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

fn short_hash(text: &[u8]) -> String {
    let mut hash = hash(text);
    hash.truncate(SHORT_HASH);
    hash
}

/// A tag made of what an answer shows.
pub fn hash(body: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, body);
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}
