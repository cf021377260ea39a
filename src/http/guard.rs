//! What is refused before a handler runs: query parameters that nobody documented, and answers nobody can give.

use std::collections::{HashMap, HashSet};

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, Version, header, uri::Authority},
    middleware::Next,
    web,
};
use serde_json::Value;

use crate::{
    app::AppState,
    error::{ApiError, Code, FieldError},
};

/// Bytes of path and query.
const LONGEST_URI: usize = 8_192;

/// Bytes of all headers together.
const MOST_HEADERS: usize = 65_536;

/// The query parameters of every operation, as the OpenAPI document names them, and which one takes `If-Match`.
pub struct QueryNames {
    query: HashMap<(String, String), HashSet<String>>,
    conditional: HashSet<(String, String)>,
}

impl QueryNames {
    /// Takes them from the document, so that what is documented is what is accepted.
    pub fn new(document: &Value) -> Self {
        let paths = document.get("paths").and_then(Value::as_object);
        let mut names = Self {
            query: HashMap::new(),
            conditional: HashSet::new(),
        };
        for (path, item) in paths.into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let place = (method.to_uppercase(), path.clone());
                if parameters(operation, "header").contains("If-Match") {
                    names.conditional.insert(place.clone());
                }
                names.query.insert(place, parameters(operation, "query"));
            }
        }
        names
    }

    /// Whether a write may come with `If-Match`: one that is not compared must not go through.
    fn takes_conditions(&self, method: &Method, path: &str) -> bool {
        self.conditional
            .contains(&(method.to_string(), path.to_owned()))
    }

    fn unknown(&self, method: &Method, path: &str, query: &str) -> Vec<FieldError> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let Some(known) = self.query.get(&(method.to_string(), path.to_owned())) else {
            return Vec::new();
        };
        form_urlencoded::parse(query.as_bytes())
            // OAuth 2.1 section 5.2.1.2: a token in the query is ignored, not answered.
            .filter(|(name, _)| name != "access_token" && !known.contains(name.as_ref()))
            .map(|(name, _)| {
                FieldError::new(
                    format!("/{name}"),
                    "unknown",
                    "there is no such query parameter",
                )
            })
            .collect()
    }
}

/// The names of an operation's parameters in one place.
fn parameters(operation: &Value, place: &str) -> HashSet<String> {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    parameters
        .into_iter()
        .flatten()
        .filter(|parameter| parameter.get("in").and_then(Value::as_str) == Some(place))
        .filter_map(|parameter| Some(parameter.get("name")?.as_str()?.to_owned()))
        .collect()
}

/// Answers preflights, and refuses what no handler should see: a wrong host, too much of everything, unknown query
/// parameters, conditions that would not be looked at, clients that accept no JSON.
///
/// # Errors
/// None of its own.
pub async fn guard<B: MessageBody + 'static>(
    app: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Err(error) = check_request(&request) {
        return Ok(request.error_response(error).map_into_right_body());
    }
    match app.cors.preflight(request.request()) {
        Some(Ok(answer)) => return Ok(request.into_response(answer).map_into_right_body()),
        Some(Err(error)) => return Ok(request.error_response(error).map_into_right_body()),
        None => {}
    }
    match check_operation(&app, &request) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(error) => Ok(request.error_response(error).map_into_right_body()),
    }
}

/// What holds for every request (RFC 9112 section 3.2, RFC 9110 section 7.2).
fn check_request(request: &ServiceRequest) -> Result<(), ApiError> {
    let uri = request.uri();
    if uri.path_and_query().map_or(0, |text| text.as_str().len()) > LONGEST_URI {
        return Err(Code::UriTooLong.into());
    }
    if has_needless_escape(uri.path()) {
        let detail = "Letters, digits and `-._~` stand in a path as they are";
        return Err(ApiError::new(Code::BadRequest, detail));
    }
    let headers = request.headers();
    let size = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum::<usize>();
    if size > MOST_HEADERS {
        return Err(Code::HeadersTooLarge.into());
    }
    let mut hosts = headers.get_all(header::HOST);
    let (first, second) = (hosts.next(), hosts.next());
    let bad = |detail: &'static str| Err(ApiError::new(Code::BadRequest, detail));
    let host = match (first.map(|host| host.to_str()), second) {
        (Some(Ok(host)), None) => host,
        (None, _) if request.version() < Version::HTTP_11 => return Ok(()),
        (None, _) => return bad("A request names its `Host`"),
        _ => return bad("A request has one `Host`"),
    };
    if !is_authority(host) {
        return bad("`Host` is a name or address, and perhaps a port");
    }
    match uri.authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(host) => {
            Err(Code::MisdirectedRequest.into())
        }
        _ => Ok(()),
    }
}

/// Whether a path writes an unreserved character in percent-encoding (RFC 3986 section 2.3): routes are found by the decoded
/// path, everything else goes by the path as it came, and the two must not differ.
fn has_needless_escape(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| {
        let byte = rest.get(..2).map(|digits| u8::from_str_radix(digits, 16));
        matches!(byte, Some(Ok(byte)) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    })
}

/// A host and perhaps a port (RFC 3986 section 3.2), without a user.
fn is_authority(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte));
    let parsed = text.parse::<Authority>();
    let has_good_port = |authority: &Authority| match text.strip_prefix(authority.host()) {
        Some("") => true,
        Some(rest) => rest.strip_prefix(':').is_some_and(|port| {
            // RFC 3986 section 3.2.3 allows none after the colon.
            port.is_empty()
                || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        }),
        None => false,
    };
    plain && !text.is_empty() && parsed.is_ok_and(|authority| has_good_port(&authority))
}

fn check_operation(app: &AppState, request: &ServiceRequest) -> Result<(), ApiError> {
    // RFC 6749 section 3.1: unknown parameters are ignored there.
    if request.path().starts_with("/oauth/") || request.path() == "/device" {
        return Ok(());
    }
    let conditional = request.headers().contains_key(header::IF_MATCH);
    let is_write = !request.method().is_safe();
    if !request.query_string().is_empty() || conditional && is_write {
        let pattern = request.match_pattern().unwrap_or_default();
        let unknown = app
            .query_names
            .unknown(request.method(), &pattern, request.query_string());
        if !unknown.is_empty() {
            return Err(ApiError::with_errors(Code::InvalidQuery, unknown));
        }
        let takes = app.query_names.takes_conditions(request.method(), &pattern);
        if conditional && is_write && !takes {
            let detail = "This operation takes no `If-Match`: what it changes has no versions";
            return Err(ApiError::new(Code::BadRequest, detail));
        }
    }
    let api = request.path().starts_with("/v1/");
    match request
        .headers()
        .get(header::ACCEPT)
        .map(|accept| accept.to_str())
    {
        Some(Ok(accept)) if api && !accepts_json(accept) => Err(Code::NotAcceptable.into()),
        _ => Ok(()),
    }
}

/// Tells whether a list of media ranges (RFC 9110 section 12.5.1) has room for what we answer.
fn accepts_json(accept: &str) -> bool {
    accept.trim().is_empty()
        || accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let refused = parts.any(|parameter| {
                parameter
                    .strip_prefix("q=")
                    .is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0))
            });
            !refused
                && matches!(
                    media_type.as_str(),
                    "*/*"
                        | "application/*"
                        | "application/json"
                        | "application/problem+json"
                        | "application/x-ndjson"
                )
        })
}

#[cfg(test)]
mod tests {
    use super::{accepts_json, has_needless_escape, is_authority};

    #[test]
    fn inp_10_a_path_has_one_way_to_write_its_letters() {
        for yes in ["/%761", "/v1/%75sers", "/%7E", "/a%2Db", "/%2e%2e", "/%%41"] {
            assert!(has_needless_escape(yes), "{yes}");
        }
        for no in [
            "/v1/users",
            "/a%20b",
            "/a%2fb",
            "/%C3%BC",
            "/%",
            "/%4",
            "/%zz",
            "/%25761",
        ] {
            assert!(!has_needless_escape(no), "{no}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_perhaps_a_port() {
        for yes in [
            "x",
            "auth.example.com:8443",
            "[::1]:8080",
            "127.0.0.1",
            "[::1]",
            "x:",
        ] {
            assert!(is_authority(yes), "{yes}");
        }
        for no in [
            "", "x:evil", "x:99999", "x:+1", "x y", "u@x", "x/y", "x:1:2", "[::1", "::1", "x,y z",
        ] {
            assert!(!is_authority(no), "{no}");
        }
    }

    #[test]
    fn media_ranges_with_room_for_json() {
        for yes in [
            "",
            "*/*",
            "application/json",
            "text/html, application/*;q=0.1",
            "Application/JSON; charset=utf-8",
        ] {
            assert!(accepts_json(yes), "{yes}");
        }
        for no in [
            "text/html",
            "image/*",
            "application/json;q=0",
            "application/xml, */*;q=0.0",
        ] {
            assert!(!accepts_json(no), "{no}");
        }
    }
}
