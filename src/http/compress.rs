//! Compression of answers that are worth it, as the client accepts it (RFC 9110 section 12.5.3).

use std::io::Write;

use actix_web::{
    Error,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, AcceptEncoding, Encoding, Header, HeaderMap, HeaderValue},
    },
    middleware::Next,
    web::Bytes,
};

use super::cors::vary;

/// Bytes below which a packet is a packet.
const WORTH_IT: usize = 1_024;

/// Bytes above which compressing would hold up the other requests of the thread.
const HEAVY: usize = 65_536;

/// The content codings that are offered, best first.
pub(super) const CODINGS: [&str; 2] = ["br", "gzip"];

/// Compresses text of a kilobyte or more.
///
/// # Errors
/// None of its own.
pub async fn compress<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let coding = if holds_tokens(&request) {
        None
    } else {
        accepted(&request)
    };
    let mut response = next.call(request).await?;
    if response.status() == StatusCode::NOT_MODIFIED {
        vary(response.headers_mut(), "Accept-Encoding");
        return Ok(response.map_into_left_body());
    }
    if !is_text(response.headers()) || response.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(response.map_into_left_body());
    }
    vary(response.headers_mut(), "Accept-Encoding");
    let Some(coding) = coding else {
        return Ok(response.map_into_left_body());
    };
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    let bytes = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        Err(body) => {
            let response = response.set_body(body);
            return Ok(ServiceResponse::new(request, response).map_into_left_body());
        }
    };
    let packed = if bytes.len() < WORTH_IT {
        None
    } else if bytes.len() < HEAVY {
        pack(coding, &bytes)
    } else {
        let bytes = bytes.clone();
        actix_web::web::block(move || pack(coding, &bytes)).await?
    };
    let body = match packed {
        Some(packed) if packed.len() < bytes.len() => {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            rename(headers, coding);
            Bytes::from(packed)
        }
        _ => bytes,
    };
    let response = response.set_body(body).map_into_boxed_body();
    Ok(ServiceResponse::new(request, response).map_into_right_body())
}

/// Tokens beside what the caller chose are not packed: how small they get would tell what they are (BREACH).
fn holds_tokens(request: &ServiceRequest) -> bool {
    let path = request.path();
    request.method() == Method::POST
        && (matches!(path, "/v1/sessions" | "/v1/tickets" | "/v1/tokens")
            || path.starts_with("/oauth/"))
}

fn accepted(request: &ServiceRequest) -> Option<&'static str> {
    if !request.headers().contains_key(header::ACCEPT_ENCODING) {
        return None;
    }
    let offered = [Encoding::brotli(), Encoding::gzip(), Encoding::identity()];
    let chosen = AcceptEncoding::parse(request)
        .ok()?
        .negotiate(offered.iter())?
        .to_string();
    CODINGS.into_iter().find(|coding| *coding == chosen)
}

fn is_text(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.starts_with("text/")
                || essence.ends_with("json")
                || matches!(essence, "application/javascript" | "image/svg+xml")
        })
}

/// Another form of the same state has another strong tag (RFC 9110 section 8.8.3.3).
fn rename(headers: &mut HeaderMap, coding: &str) {
    let renamed = headers
        .get(header::ETAG)
        .and_then(|tag| tag.to_str().ok())
        .and_then(|tag| tag.strip_suffix('"'))
        .and_then(|tag| HeaderValue::try_from(format!("{tag}.{coding}\"")).ok());
    if let Some(tag) = renamed {
        headers.insert(header::ETAG, tag);
    }
}

fn pack(coding: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(bytes.len() / 2);
    if coding == "br" {
        let mut encoder = brotli::CompressorWriter::new(&mut packed, 4_096, 4, 18);
        encoder.write_all(bytes).ok()?;
        encoder.flush().ok()?;
        drop(encoder);
        return Some(packed);
    }
    let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::new(5));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}
