//! The files of the pages, for ever under names made of what they hold.

use actix_web::{HttpRequest, HttpResponse, http::header};

use super::view::assets;
use crate::error::ApiError;

/// Serves a file of the pages.
///
/// # Errors
/// 404.
pub async fn read_asset(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let asset = assets::find(request.path()).ok_or_else(ApiError::not_found)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .content_type(asset.media_type)
        .body(asset.body))
}
