//! Keys over HTTP.

use actix_web::{
    HttpResponse,
    http::header::{
        CacheControl, CacheDirective, ContentType, ETAG, EntityTag, Header, IfNoneMatch,
    },
    web,
};

use super::Jwks;
use crate::app::AppState;

/// Seconds that a verifier may keep the set (`KEY-04`: at most 900).
pub(super) const MAX_AGE: i32 = 600;

/// Reads the public keys
///
/// The JWK Set (RFC 7517) that verifies Tollgate's access tokens anywhere. Cache it for its `max-age`; ask again with
/// `If-None-Match`. Shared secrets (HS256) are never in it.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "keys",
    responses(
        (status = 200, description = "The public keys", body = Jwks, headers(
            ("ETag" = String, description = "Changes with the keys"),
            ("Cache-Control" = String, description = "How long the set may be kept"),
        )),
        (status = 304, description = "Still the same as `If-None-Match` says"),
    ),
)]
pub async fn read_jwks(app: web::Data<AppState>, request: actix_web::HttpRequest) -> HttpResponse {
    let keyring = app.tokens.keyring();
    let published = keyring.published();
    let unchanged = match IfNoneMatch::parse(&request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags
            .iter()
            .any(|tag: &EntityTag| published.etag == format!("\"{}\"", tag.tag())),
        Err(_malformed) => false,
    };
    let mut response = if unchanged {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((ETAG, published.etag.as_str()))
        .insert_header(CacheControl(vec![
            CacheDirective::Public,
            CacheDirective::MaxAge(MAX_AGE.unsigned_abs()),
        ]));
    if unchanged {
        response.finish()
    } else {
        response
            .content_type(ContentType::json())
            .body(published.body.clone())
    }
}
