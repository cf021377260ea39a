//! Where a WebSocket begins.

use actix_web::{HttpRequest, HttpResponse, http::header, web};

use super::{socket::Socket, wire};
use crate::{
    app::AppState,
    error::{ApiError, Code, Problem},
    http::{Caller, Visitor},
    scope::AnyToken,
};

/// The subprotocol of the Centrifuge client protocol in JSON.
const PROTOCOL: &str = "centrifuge-json";

/// Bytes of a message.
const LARGEST_MESSAGE: usize = 65_536;

/// Opens a WebSocket
///
/// It speaks the Centrifuge client protocol in JSON; see the guide to live updates. The first command, `connect`, carries the access
/// token, and is due within 5 seconds; a token may also come with this request. Pages of other origins must be allowed.
#[utoipa::path(
    get,
    path = "/v1/realtime",
    tag = "realtime",
    security((), ("bearer" = [])),
    responses(
        (status = 101, description = "The connection is a WebSocket from here on"),
        (status = 426, description = "This is no handshake of a WebSocket", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn open_realtime(
    app: web::Data<AppState>,
    visitor: Visitor<AnyToken>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let headers = request.headers();
    let by_cookie = visitor.is_caller() && !headers.contains_key(header::AUTHORIZATION);
    if !app.cors.allows_socket(headers, by_cookie) {
        return Err(Code::OriginNotAllowed.into());
    }
    let presented = visitor.caller().map(Caller::verified);
    let serve = |wire| Socket::serve(app.into_inner(), wire, presented);
    wire::open(
        &request,
        body.into_inner(),
        &[PROTOCOL],
        LARGEST_MESSAGE,
        serve,
    )
}
