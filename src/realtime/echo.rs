//! A WebSocket that sends back what it is sent: it shows to suites of tests what ours understand.

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, Closed, Session};

use super::{frames, protocol::Close};
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
    let (response, session, stream) = frames::open(&request, body, &[], LARGEST_MESSAGE)?;
    actix_web::rt::spawn(serve(session, stream));
    Ok(response)
}

async fn serve(mut session: Session, mut stream: AggregatedMessageStream) {
    let close = loop {
        let message = match stream.recv().await {
            None => break Close::NORMAL,
            Some(Err(error)) => break frames::fault(&error),
            Some(Ok(message)) => message,
        };
        let said: Result<(), Closed> = match message {
            AggregatedMessage::Text(text) => session.text(text).await,
            AggregatedMessage::Binary(bytes) => session.binary(bytes).await,
            AggregatedMessage::Ping(bytes) => session.pong(&bytes).await,
            AggregatedMessage::Pong(_) => Ok(()),
            AggregatedMessage::Close(_) => break Close::NORMAL,
        };
        if said.is_err() {
            break Close::NORMAL;
        }
    };
    frames::end(session, stream, close).await;
}
