//! The frames of a WebSocket: how it opens, what is wrong with what comes, how it ends.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessageStream, CloseCode, CloseReason, ProtocolError, Session};
use tokio::time::timeout;

use super::protocol::Close;
use crate::error::{ApiError, Code};

/// How long the last word may wait for a client that takes nothing.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How long what is on its way may take after that.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// Opens one whose messages have at most so many bytes (RFC 6455 section 4.2).
///
/// # Errors
/// 426 for what is no handshake.
pub(super) fn open(
    request: &HttpRequest,
    body: web::Payload,
    protocols: &[&str],
    largest: usize,
) -> Result<(HttpResponse, Session, AggregatedMessageStream), ApiError> {
    let (response, session, stream) = actix_ws::handle_with_protocols(request, body, protocols)
        .map_err(|_no_handshake| {
            ApiError::from(Code::UpgradeRequired)
                .header("upgrade", "websocket")
                .header("connection", "upgrade")
                .header("sec-websocket-version", "13")
        })?;
    let stream = stream
        .max_frame_size(largest)
        .aggregate_continuations()
        .max_continuation_size(largest);
    Ok((response, session, stream))
}

/// The code for what a client may not send (RFC 6455 section 7.4.1).
pub(super) fn fault(error: &ProtocolError) -> Close {
    match error {
        ProtocolError::Overflow => Close::TOO_LARGE,
        ProtocolError::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Close::NO_TEXT
        }
        // What actix says of a message whose parts are too large together.
        ProtocolError::Io(error) if error.kind() == std::io::ErrorKind::Other => Close::TOO_LARGE,
        _ => Close::BROKEN_PROTOCOL,
    }
}

/// Says why it ends, and ends it.
pub(super) async fn end(session: Session, mut stream: AggregatedMessageStream, close: Close) {
    let reason = CloseReason {
        code: CloseCode::from(close.code),
        description: Some(close.reason.to_owned()).filter(|reason| !reason.is_empty()),
    };
    // Who takes nothing hears nothing.
    let _said = timeout(CLOSE_PATIENCE, session.close(Some(reason))).await;
    // As long as somebody reads, actix closes the connection when everything is sent; afterwards it would wait for the client.
    let drained = async { while let Some(Ok(_)) = stream.recv().await {} };
    let _ended = timeout(END_PATIENCE, drained).await;
}
