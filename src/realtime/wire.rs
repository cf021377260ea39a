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
use tokio::{
    io::AsyncWriteExt,
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

/// How long a message may wait for a client that takes nothing.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// The slowest reader that is put up with, in bytes a second.
const SLOWEST: u64 = 4_096;

/// How long what is on its way, and the last word, may take when it ends.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// How long a client that has heard the last word may take to go.
const GO_PATIENCE: Duration = Duration::from_secs(2);

/// Bytes that are read at once.
const READ: usize = 4_096;

/// A connection over which frames come and go; nothing is held for who is silent.
pub(super) struct Wire {
    connection: Upgraded,
    frames: Frames,
    /// What of a message the client has not taken yet.
    unsent: VecDeque<Bytes>,
}

/// Opens a WebSocket whose messages have at most so many bytes (RFC 6455 section 4.2), and goes on with `serve`.
///
/// # Errors
/// 426 for what is no handshake.
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
    if let Some(protocol) = choose(request, protocols) {
        answer.insert_header((header::SEC_WEBSOCKET_PROTOCOL, protocol));
    }
    let answer = HttpResponse::from(answer.finish().map_into_boxed_body());
    http::upgrade(request, body, answer, move |mut connection| {
        let frames = Frames::new(std::mem::take(&mut connection.early), largest);
        serve(Wire {
            connection,
            frames,
            unsent: VecDeque::new(),
        })
    })
    .ok_or_else(|| ApiError::internal("the connection can't be upgraded".to_owned()))
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
    /// Waits for the next message; `None` when the client has gone. May be given up and called again.
    ///
    /// # Errors
    /// What a client may not send (RFC 6455 section 7.4.1); nothing can be read after it.
    pub async fn next(&mut self) -> Option<Result<Message, Close>> {
        loop {
            match self.frames.take() {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => {}
                Err(close) => return Some(Err(close)),
            }
            let stream = &self.connection.stream;
            let buffer = self.frames.buffer();
            poll_fn(|context| stream.poll_read_ready(context))
                .await
                .ok()?;
            buffer.reserve(READ);
            match stream.try_read_buf(buffer) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    /// Sends a message, as far as the client takes it at once; `flush` sends the rest, where the answer is `false`.
    ///
    /// # Errors
    /// The client has gone.
    pub fn send(&mut self, code: OpCode, mut message: Bytes) -> Result<bool, Close> {
        let (head, size) = head(code, message.len());
        let mut head = head.get(..size).unwrap_or_default();
        if self.unsent.is_empty() {
            let both = [IoSlice::new(head), IoSlice::new(&message)];
            let taken = match self.connection.stream.try_write_vectored(&both) {
                Ok(taken) if taken == size + message.len() => return Ok(true),
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return Err(Close::NORMAL),
            };
            let of_head = taken.min(size);
            head.advance(of_head);
            message.advance(taken - of_head);
        }
        let rest = [Bytes::copy_from_slice(head), message];
        let rest = rest.into_iter().filter(|part| !part.is_empty());
        self.unsent.extend(rest);
        Ok(false)
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The client has gone, or takes too little.
    pub async fn flush(&mut self) -> Result<(), Close> {
        let mut deadline = Instant::now() + WRITE_PATIENCE;
        while let Some(part) = self.unsent.front_mut() {
            match self.connection.stream.try_write(part) {
                Ok(taken) => {
                    part.advance(taken);
                    if part.is_empty() {
                        self.unsent.pop_front();
                    }
                    let bytes = u64::try_from(taken).unwrap_or(u64::MAX);
                    let earned = Duration::from_millis(bytes.saturating_mul(1_000) / SLOWEST);
                    deadline = (deadline + earned).min(Instant::now() + WRITE_PATIENCE);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let writable = timeout_at(deadline, self.connection.stream.writable());
                    let waited = writable.await.map_err(|_elapsed| Close::SLOW)?;
                    waited.map_err(|_gone| Close::NORMAL)?;
                }
                Err(_) => return Err(Close::NORMAL),
            }
        }
        // Most never wait again.
        self.unsent = VecDeque::new();
        Ok(())
    }

    /// Sends a message, and waits until the client has taken it.
    ///
    /// # Errors
    /// Those of `flush`.
    pub async fn say(&mut self, code: OpCode, message: Bytes) -> Result<(), Close> {
        if self.send(code, message)? {
            return Ok(());
        }
        self.flush().await
    }

    /// Says why it ends, and ends it; whatever comes meanwhile is not looked at.
    pub async fn end(mut self, close: Close) {
        let mut reason = close.code.to_be_bytes().to_vec();
        reason.extend_from_slice(close.reason.as_bytes());
        let farewell = async {
            if !self.send(OpCode::Close, reason.into())? {
                while self.flush().await == Err(Close::SLOW) {}
            }
            let shut = self.connection.stream.shutdown().await;
            shut.map_err(|_gone| Close::NORMAL)
        };
        if matches!(timeout(END_PATIENCE, farewell).await, Ok(Ok(()))) {
            // What nobody has read when a connection is closed takes the last word with it.
            let _gone = timeout(GO_PATIENCE, self.drain()).await;
        } else {
            // Nor does the kernel wait for who takes nothing.
            let _closed = self.connection.stream.set_zero_linger();
        }
    }

    async fn drain(&self) {
        let stream = &self.connection.stream;
        let mut waste = vec![0; READ];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut waste) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}
