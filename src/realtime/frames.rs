//! The frames of a WebSocket (RFC 6455): what comes, message by message, and what goes.

use actix_http::ws::{OpCode, Parser, ProtocolError};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::protocol::Close;

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

impl Frames {
    /// What came already, if anything; messages have at most so many bytes.
    pub fn new(came: BytesMut, largest: usize) -> Self {
        Self {
            buffer: came,
            largest,
            part: None,
        }
    }

    /// Where to put what comes; who is silent for long holds nothing.
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        &mut self.buffer
    }

    /// Takes a message of what has come, if there is one.
    ///
    /// # Errors
    /// What a client may not send (RFC 6455 section 7.4.1); nothing can be read after it.
    pub fn take(&mut self) -> Result<Option<Message>, Close> {
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

/// What a whole message of so many bytes begins with on its way to a client (RFC 6455 section 5.2), and how much of that there is.
pub(super) fn head(code: OpCode, length: usize) -> ([u8; 10], usize) {
    let mut head = [0; 10];
    let [first, second, extended @ ..] = &mut head;
    *first = 0x80 | u8::from(code);
    if let (Ok(short), ..126) = (u8::try_from(length), length) {
        *second = short;
        return (head, 2);
    }
    if let Ok(length) = u16::try_from(length) {
        *second = 126;
        let [high, low, ..] = extended;
        [*high, *low] = length.to_be_bytes();
        return (head, 4);
    }
    *second = 127;
    *extended = u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes();
    (head, 10)
}

fn fault(error: &ProtocolError) -> Close {
    match error {
        ProtocolError::Overflow => Close::TOO_LARGE,
        _ => Close::BROKEN_PROTOCOL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_what_the_parser_writes() {
        for length in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000] {
            for code in [OpCode::Text, OpCode::Binary, OpCode::Pong] {
                let mut whole = BytesMut::new();
                Parser::write_message(&mut whole, vec![0; length], code, true, false);
                let (head, size) = head(code, length);
                assert_eq!(whole[..whole.len() - length], head[..size], "{length}");
            }
        }
    }
}
