//! A WebSocket that sends back what it is sent: it shows to suites of tests what ours understand.

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::Session;

use super::{
    frames::{self, Frames, Message},
    protocol::Close,
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
    let (response, session, frames) = frames::open(&request, body, &[], LARGEST_MESSAGE)?;
    actix_web::rt::spawn(serve(app, session, frames));
    Ok(response)
}

async fn serve(app: web::Data<AppState>, mut session: Session, mut frames: Frames) {
    let mut stopped = std::pin::pin!(app.life.stopped());
    let close = loop {
        let next = tokio::select! {
            () = &mut stopped => break Close::GOING_AWAY,
            next = frames.next() => next,
        };
        let message = match next {
            None => break Close::NORMAL,
            Some(Err(close)) => break close,
            Some(Ok(message)) => message,
        };
        let said = match message {
            Message::Text(text) => session.text(text).await,
            Message::Binary(bytes) => session.binary(bytes).await,
            Message::Ping(bytes) => session.pong(&bytes).await,
            Message::Pong => Ok(()),
            Message::Close => break Close::NORMAL,
        };
        if said.is_err() {
            break Close::NORMAL;
        }
    };
    frames::end(session, frames, close).await;
}
