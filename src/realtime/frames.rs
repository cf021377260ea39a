//! The frames of a WebSocket (RFC 6455): how it opens, what comes, how it ends.

use std::time::Duration;

use actix_http::ws::{OpCode, Parser, ProtocolError};
use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    web::{self, Bytes, BytesMut},
};
use actix_ws::{CloseCode, CloseReason, Session};
use bytestring::ByteString;
use futures_util::StreamExt;
use tokio::{sync::oneshot, time::timeout};

use super::protocol::Close;
use crate::{
    error::{ApiError, Code},
    http,
};

/// How long the last word may wait for a client that takes nothing.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How long what is on its way may take after that.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// What a client sends.
pub(super) enum Message {
    Text(ByteString),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    Close,
}

/// What comes over a WebSocket, message by message; no more is held than one of them may have.
pub(super) struct Frames {
    payload: Payload,
    /// Resolves when the connection has gone.
    gone: oneshot::Receiver<()>,
    buffer: BytesMut,
    largest: usize,
    /// A message of which more is to come.
    part: Option<Part>,
}

struct Part {
    is_text: bool,
    bytes: BytesMut,
    /// So many of them are whole characters.
    checked: usize,
}

/// Opens one whose messages have at most so many bytes (RFC 6455 section 4.2).
///
/// # Errors
/// 426 for what is no handshake.
pub(super) fn open(
    request: &HttpRequest,
    body: web::Payload,
    protocols: &[&str],
    largest: usize,
) -> Result<(HttpResponse, Session, Frames), ApiError> {
    // What comes is read here.
    let nothing = web::Payload::from_request(request, &mut Payload::None);
    let nothing = nothing
        .into_inner()
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let (response, session, _nothing) =
        actix_ws::handle_with_protocols(request, nothing, protocols).map_err(|_no_handshake| {
            ApiError::from(Code::UpgradeRequired)
                .header("upgrade", "websocket")
                .header("connection", "upgrade")
                .header("sec-websocket-version", "13")
        })?;
    let (response, gone) = http::close_after(request, response);
    let frames = Frames {
        payload: body.into_inner(),
        gone,
        buffer: BytesMut::new(),
        largest,
        part: None,
    };
    Ok((response, session, frames))
}

/// Says why it ends, and ends it; whatever comes meanwhile is not looked at.
pub(super) async fn end(session: Session, mut frames: Frames, close: Close) {
    let reason = CloseReason {
        code: CloseCode::from(close.code),
        description: Some(close.reason.to_owned()).filter(|reason| !reason.is_empty()),
    };
    // Who takes nothing hears nothing.
    let _said = timeout(CLOSE_PATIENCE, session.close(Some(reason))).await;
    // As long as somebody reads, actix closes the connection when everything is sent; afterwards it would wait for the client.
    let drained = async { while frames.read().await.is_some() {} };
    let _ended = timeout(END_PATIENCE, drained).await;
}

impl Frames {
    /// Waits for the next message; `None` when the connection has gone. May be given up and called again.
    ///
    /// # Errors
    /// What a client may not send (RFC 6455 section 7.4.1); nothing can be read after it.
    pub async fn next(&mut self) -> Option<Result<Message, Close>> {
        loop {
            match self.take() {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => {}
                Err(close) => return Some(Err(close)),
            }
            if self.buffer.is_empty() {
                // Who is silent for long holds nothing.
                self.buffer = BytesMut::new();
            }
            let bytes = self.read().await?;
            self.buffer.extend_from_slice(&bytes);
        }
    }

    async fn read(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            bytes = self.payload.next() => bytes?.ok(),
            _gone = &mut self.gone => None,
        }
    }

    /// Takes a message of what was read, if there is one.
    fn take(&mut self) -> Result<Option<Message>, Close> {
        while let Some((is_last, code, bytes)) = self.take_frame()? {
            let bytes = bytes.unwrap_or_default();
            match code {
                OpCode::Text | OpCode::Binary if self.part.is_none() => {
                    self.part = Some(Part {
                        is_text: code == OpCode::Text,
                        bytes,
                        checked: 0,
                    });
                }
                OpCode::Continue => {
                    let part = self.part.as_mut().ok_or(Close::BROKEN_PROTOCOL)?;
                    if part.bytes.len() + bytes.len() > self.largest {
                        return Err(Close::TOO_LARGE);
                    }
                    part.bytes.extend_from_slice(&bytes);
                }
                // Nothing that controls comes in parts.
                OpCode::Ping if is_last => return Ok(Some(Message::Ping(bytes.freeze()))),
                OpCode::Pong if is_last => return Ok(Some(Message::Pong)),
                OpCode::Close if is_last => {
                    Parser::try_parse_close_payload(&bytes).map_err(|error| fault(&error))?;
                    return Ok(Some(Message::Close));
                }
                _ => return Err(Close::BROKEN_PROTOCOL),
            }
            if let Some(part) = &mut self.part {
                part.check(is_last)?;
            }
            if is_last && let Some(part) = self.part.take() {
                return part.whole().map(Some);
            }
        }
        Ok(None)
    }

    fn take_frame(&mut self) -> Result<Option<(bool, OpCode, Option<BytesMut>)>, Close> {
        if announced(&self.buffer).is_some_and(|length| length > self.largest) {
            // Before it has come.
            return Err(Close::TOO_LARGE);
        }
        Parser::parse(&mut self.buffer, true, self.largest).map_err(|error| fault(&error))
    }
}

impl Part {
    /// Checks what came of a text as soon as it has come (RFC 6455 section 8.1).
    fn check(&mut self, is_last: bool) -> Result<(), Close> {
        if !self.is_text {
            return Ok(());
        }
        let new = self.bytes.get(self.checked..).unwrap_or_default();
        match str::from_utf8(new) {
            Ok(new) => self.checked += new.len(),
            // The rest of a character may come.
            Err(error) if error.error_len().is_none() && !is_last => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(Close::NO_TEXT),
        }
        Ok(())
    }

    fn whole(self) -> Result<Message, Close> {
        let bytes = self.bytes.freeze();
        if !self.is_text {
            return Ok(Message::Binary(bytes));
        }
        let text = ByteString::try_from(bytes).map_err(|_no_text| Close::NO_TEXT)?;
        Ok(Message::Text(text))
    }
}

/// The length that the frame at the beginning says it has (RFC 6455 section 5.2), where that has come.
fn announced(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1)? & 0x7f;
    let length = match length {
        126 => u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into(),
        127 => u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?),
        short => short.into(),
    };
    Some(usize::try_from(length).unwrap_or(usize::MAX))
}

fn fault(error: &ProtocolError) -> Close {
    match error {
        ProtocolError::Overflow => Close::TOO_LARGE,
        _ => Close::BROKEN_PROTOCOL,
    }
}
