//! A WebSocket that sends back what it is sent: it shows to suites of tests what ours understand.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    frames::Message,
    protocol::Close,
    wire::{self, Wire},
};
use crate::{
    app::AppState,
    error::{ApiError, Problem},
};

/// Bytes of a message: suites try large ones.
const LARGEST_MESSAGE: usize = 16_777_216;

/// Opens a WebSocket that echoes
///
/// For suites of tests, where `realtime.echo` is set; else it is not there.
#[utoipa::path(
    get,
    path = "/v1/realtime/echo",
    tag = "realtime",
    responses(
        (status = 101, description = "The connection is a WebSocket from here on"),
        (status = 426, description = "This is no handshake of a WebSocket", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn open_echo(
    app: web::Data<AppState>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    if !app.config.realtime.echo {
        return Err(ApiError::not_found());
    }
    let serve = |wire| serve(app, wire);
    wire::open(&request, body.into_inner(), &[], LARGEST_MESSAGE, serve)
}

async fn serve(app: web::Data<AppState>, mut wire: Wire) {
    let mut stopped = std::pin::pin!(app.life.stopped());
    let close = loop {
        let is_waiting = wire.is_waiting();
        let (mut reader, mut writer) = wire.halves();
        let next = tokio::select! {
            biased;
            () = &mut stopped => break Close::GOING_AWAY,
            sent = writer.flush(), if is_waiting => match sent {
                Ok(()) => continue,
                Err(close) => break close,
            },
            next = reader.next(), if !is_waiting => next,
        };
        let said = match next {
            None | Some(Ok(Message::Close)) => break Close::NORMAL,
            Some(Err(close)) => break close,
            Some(Ok(Message::Text(text))) => wire.text(text),
            Some(Ok(Message::Binary(bytes))) => wire.binary(bytes),
            Some(Ok(Message::Ping(bytes))) => wire.pong(bytes),
            Some(Ok(Message::Pong)) => Ok(()),
        };
        if let Err(close) = said {
            break close;
        }
        // Of what was read at once there may be hundreds.
        tokio::task::consume_budget().await;
    };
    wire.end(close).await;
}
