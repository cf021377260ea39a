//! The connection of a WebSocket: how it opens, what comes and goes over it, how it ends (RFC 6455).

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io::{ErrorKind, IoSlice},
    time::Duration,
};

use actix_http::ws::{OpCode, handshake};
use actix_web::{
    HttpRequest, HttpResponse,
    dev::Payload,
    http::header,
    web::{Buf, Bytes},
};
use bytestring::ByteString;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{
    frames::{Frames, Message, head},
    protocol::Close,
};
use crate::{
    error::{ApiError, Code},
    http::{self, Upgraded},
};

/// How long a client may take nothing of a message: a kernel shows that something was taken only when a third of what it holds
/// was, some 40 KiB, so who reads less than 4 KiB a second is given up.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long what is on its way, and the last word, may take when it ends.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// How long a client that has heard the last word may take to go.
const GO_PATIENCE: Duration = Duration::from_secs(2);

/// Parts of messages that may wait before no more is heard of the client: whatever it is, it asks for more than it takes.
const MOST_WAITING: usize = 64;

/// Bytes that are read at once.
const READ: usize = 4_096;

/// A connection over which frames come and go; nothing is held for who is silent.
pub(super) struct Wire {
    connection: Upgraded,
    frames: Frames,
    unsent: Unsent,
}

/// What a client has not taken yet.
struct Unsent {
    parts: VecDeque<Bytes>,
    /// Until when it must have taken something.
    until: Instant,
}

/// What comes over a wire.
pub(super) struct Reader<'a>(&'a mut Frames, &'a TcpStream);

/// What goes over it.
pub(super) struct Writer<'a>(&'a mut Unsent, &'a TcpStream);

/// Opens a WebSocket whose messages have at most so many bytes (RFC 6455 section 4.2), and goes on with `serve`.
///
/// # Errors
/// 426 for what is no handshake, 400 for one with a body.
pub(super) fn open<F: Future<Output = ()> + 'static>(
    request: &HttpRequest,
    body: Payload,
    protocols: &[&str],
    largest: usize,
    serve: impl FnOnce(Wire) -> F + 'static,
) -> Result<HttpResponse, ApiError> {
    let mut answer = handshake(request.head()).map_err(|_no_handshake| {
        ApiError::from(Code::UpgradeRequired)
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
    })?;
    if has_body(request) {
        return Err(ApiError::new(Code::BadRequest, "a handshake has no body"));
    }
    if let Some(protocol) = choose(request, protocols) {
        answer.insert_header((header::SEC_WEBSOCKET_PROTOCOL, protocol));
    }
    let answer = HttpResponse::from(answer.finish().map_into_boxed_body());
    http::upgrade(request, body, answer, move |mut connection| {
        let frames = Frames::new(std::mem::take(&mut connection.early), largest);
        serve(Wire {
            connection,
            frames,
            unsent: Unsent {
                parts: VecDeque::new(),
                until: Instant::now(),
            },
        })
    })
    .ok_or_else(|| ApiError::internal("the connection can't be upgraded".to_owned()))
}

/// Whether a request says that it has a body: where that ends the frames would begin, and nobody should have to agree on where that is.
fn has_body(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let mut lengths = headers.get_all(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || lengths.any(|length| length != "0")
}

/// The first protocol that the client offers and we speak.
fn choose<'protocols>(
    request: &HttpRequest,
    protocols: &[&'protocols str],
) -> Option<&'protocols str> {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offers = offers
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim));
    offers.find_map(|offer| {
        protocols
            .iter()
            .copied()
            .find(|protocol| *protocol == offer)
    })
}

impl Wire {
    /// Both of its directions at once.
    pub fn halves(&mut self) -> (Reader<'_>, Writer<'_>) {
        let stream = &self.connection.stream;
        let writer = Writer(&mut self.unsent, stream);
        (Reader(&mut self.frames, stream), writer)
    }

    /// Whether something waits for the client to take it.
    pub fn is_waiting(&self) -> bool {
        !self.unsent.parts.is_empty()
    }

    /// Whether so much waits that the client should not be heard until it has taken some.
    pub fn is_crowded(&self) -> bool {
        self.unsent.parts.len() > MOST_WAITING
    }

    /// Sends a text, as far as the client takes it at once; the rest waits.
    ///
    /// # Errors
    /// The client has gone.
    pub fn text(&mut self, text: ByteString) -> Result<(), Close> {
        self.send(OpCode::Text, text.into_bytes())
    }

    /// The same with bytes.
    ///
    /// # Errors
    /// The client has gone.
    pub fn binary(&mut self, bytes: Bytes) -> Result<(), Close> {
        self.send(OpCode::Binary, bytes)
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// The client has gone.
    pub fn pong(&mut self, bytes: Bytes) -> Result<(), Close> {
        self.send(OpCode::Pong, bytes)
    }

    fn send(&mut self, code: OpCode, mut message: Bytes) -> Result<(), Close> {
        let (head, size) = head(code, message.len());
        let mut head = head.get(..size).unwrap_or_default();
        if !self.is_waiting() {
            let both = [IoSlice::new(head), IoSlice::new(&message)];
            let taken = match self.connection.stream.try_write_vectored(&both) {
                Ok(taken) if taken == size + message.len() => return Ok(()),
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return Err(Close::NORMAL),
            };
            let of_head = taken.min(size);
            head.advance(of_head);
            message.advance(taken - of_head);
            self.unsent.until = Instant::now() + WRITE_PATIENCE;
        }
        let rest = [Bytes::copy_from_slice(head), message];
        let rest = rest.into_iter().filter(|part| !part.is_empty());
        self.unsent.parts.extend(rest);
        Ok(())
    }

    /// Says why it ends, and ends it; whatever comes meanwhile is not looked at.
    pub async fn end(mut self, close: Close) {
        let mut reason = close.code.to_be_bytes().to_vec();
        reason.extend_from_slice(close.reason.as_bytes());
        let farewell = async {
            self.send(OpCode::Close, reason.into())?;
            // Also who was slow may take the rest.
            self.unsent.until = Instant::now() + END_PATIENCE;
            self.halves().1.flush().await?;
            let shut = self.connection.stream.shutdown().await;
            shut.map_err(|_gone| Close::NORMAL)
        };
        if matches!(timeout(END_PATIENCE, farewell).await, Ok(Ok(()))) {
            // What nobody has read when a connection is closed takes the last word with it.
            let _gone = timeout(GO_PATIENCE, drain(&self.connection.stream)).await;
        } else {
            // Nor does the kernel wait for who takes nothing.
            let _closed = self.connection.stream.set_zero_linger();
        }
    }
}

impl Reader<'_> {
    /// Waits for the next message; `None` when the client has gone. May be given up and called again.
    ///
    /// # Errors
    /// What a client may not send (RFC 6455 section 7.4.1); nothing can be read after it.
    pub async fn next(&mut self) -> Option<Result<Message, Close>> {
        let Self(frames, stream) = self;
        loop {
            match frames.take() {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => {}
                Err(close) => return Some(Err(close)),
            }
            let buffer = frames.buffer();
            readable(stream).await?;
            buffer.reserve(READ);
            match stream.try_read_buf(buffer) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }
}

impl Writer<'_> {
    /// Sends what waits. May be given up and called again.
    ///
    /// # Errors
    /// The client has gone, or takes nothing.
    pub async fn flush(&mut self) -> Result<(), Close> {
        let Self(unsent, stream) = self;
        while let Some(part) = unsent.parts.front_mut() {
            match stream.try_write(part) {
                Ok(taken) => {
                    part.advance(taken);
                    if part.is_empty() {
                        unsent.parts.pop_front();
                    }
                    unsent.until = Instant::now() + WRITE_PATIENCE;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let writable = timeout_at(unsent.until, stream.writable()).await;
                    let writable = writable.map_err(|_elapsed| Close::SLOW)?;
                    writable.map_err(|_gone| Close::NORMAL)?;
                }
                Err(_) => return Err(Close::NORMAL),
            }
        }
        // Most never wait again.
        unsent.parts = VecDeque::new();
        Ok(())
    }
}

/// Waits until there is something to read; `None` when there never will be. In turns with other tasks, however much comes.
async fn readable(stream: &TcpStream) -> Option<()> {
    let ready = poll_fn(|context| stream.poll_read_ready(context));
    ready.await.ok()
}

/// Reads until the client has gone.
async fn drain(stream: &TcpStream) {
    let mut waste = vec![0; READ];
    while readable(stream).await.is_some() {
        match stream.try_read(&mut waste) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
