//! Connections: how long one may keep us waiting while we read and write, and what becomes of it after HTTP.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{
    HttpMessage, HttpRequest,
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    web::Bytes,
};
use futures_util::Stream;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

use super::{
    seats::Seat,
    upgrade::{Sequel, Upgraded},
};

/// How long a client may take nothing of what waits for it.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);

/// How long the kernel waits for a client that takes nothing of what it holds for us, also after we have closed.
const KERNEL_PATIENCE: Duration = Duration::from_secs(30);

/// How long the head of a request may take to arrive, from its first byte.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that the kernel holds for a client that listens, twice that with what it needs for itself.
const NARROW: usize = 65_536;

/// The slowest reader that is put up with, in bytes a second.
const SLOWEST: u64 = 4_096;

/// What the requests of a connection know of it: whether one is being answered, and what the last one left of its body.
#[derive(Clone, Default)]
pub struct Exchange(Rc<Talk>);

#[derive(Default)]
struct Talk {
    is_busy: Cell<bool>,
    /// How often a request began or ended.
    turns: Cell<u64>,
    body: RefCell<Option<Body>>,
    /// What goes on after HTTP.
    sequel: RefCell<Option<Sequel>>,
    /// Whether the last word over HTTP was said, and has only to be sent.
    is_over: Cell<bool>,
    /// The connection, once it was.
    upgraded: RefCell<Option<Upgraded>>,
    /// Whether the kernel should hold little of what is sent from now on.
    is_narrow: Cell<bool>,
}

/// Lets the kernel hold little of an answer that goes on for as long as the client listens.
pub fn keep_little(request: &HttpRequest) {
    if let Some(exchange) = request.conn_data::<Exchange>() {
        exchange.narrow();
    }
}

/// A request that is being answered; the connection waits for the next one when it is dropped.
pub(super) struct Answering(Option<Exchange>);

/// A body in chunks that outlives whoever reads it. Of one that is dropped actix reads the rest, and waits for it without end;
/// after one that is still there when the answer is, it closes the connection.
#[derive(Clone)]
struct Body(Rc<RefCell<Payload>>);

impl Exchange {
    fn turn(&self, is_busy: bool) {
        self.0.is_busy.set(is_busy);
        self.0.turns.update(|turns| turns.wrapping_add(1));
    }

    /// Says what goes on after HTTP.
    pub(super) fn go_on(&self, sequel: Sequel) {
        self.0.sequel.replace(Some(sequel));
    }

    /// Says that the connection is given away when everything is sent.
    pub(super) fn end(&self) {
        self.0.is_over.set(true);
    }

    /// Whether it was given away.
    pub(super) fn is_upgraded(&self) -> bool {
        self.0.upgraded.borrow().is_some()
    }

    /// What goes on, and over what, once HTTP has ended.
    pub(super) fn upgraded(&self) -> Option<(Sequel, Upgraded)> {
        self.0.sequel.take().zip(self.0.upgraded.take())
    }

    /// Says that who takes nothing is to be noticed soon: what is sent goes on for as long as the client listens.
    pub(super) fn narrow(&self) {
        self.0.is_narrow.set(true);
    }

    /// Begins with a request, on a connection of ours.
    pub(super) fn begin(request: &mut ServiceRequest) -> Answering {
        let exchange = request.request().conn_data::<Self>().cloned();
        if let Some(exchange) = &exchange {
            exchange.turn(true);
            let body = request
                .chunked()
                .is_ok_and(|chunked| chunked)
                .then(|| Body(Rc::new(RefCell::new(request.take_payload()))));
            if let Some(body) = body.clone() {
                let payload = Box::pin(body);
                request.set_payload(Payload::Stream { payload });
            }
            exchange.0.body.replace(body);
        }
        Answering(exchange)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            exchange.turn(false);
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// A connection that gives up clients which send or read too slowly.
pub struct Connection {
    /// Gone when something else goes on over it.
    stream: Option<TcpStream>,
    seat: Option<Seat>,
    exchange: Exchange,
    /// How many turns there were when somebody last looked.
    seen: u64,
    /// Since when bytes wait that have not become a request.
    came: Option<Instant>,
    /// Goes off when they should have.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Until when what waits must have been taken; `None` while nothing waits.
    deadline: Option<Pin<Box<Sleep>>>,
    written: Instant,
    is_given_up: bool,
}

impl Connection {
    /// Watches a connection.
    ///
    /// # Errors
    /// It is closed already.
    pub fn new(stream: TcpStream, seat: Option<Seat>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let patience = u32::try_from(KERNEL_PATIENCE.as_millis()).unwrap_or_default();
        sockopt::set_tcp_user_timeout(&stream, patience)?;
        Ok(Self {
            stream: Some(stream),
            seat,
            exchange: Exchange::default(),
            seen: 0,
            came: None,
            alarm: None,
            deadline: None,
            written: Instant::now(),
            is_given_up: false,
        })
    }

    /// What its requests know of it.
    pub fn exchange(&self) -> Exchange {
        self.exchange.clone()
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Ends the connection when what came does not become a request; actix watches over the first head only. Asked when
    /// actix has made of it what it can, so whole requests, which are nearly all, cost no timer.
    fn watch_read(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let turns = self.exchange.0.turns.get();
        if self.exchange.0.is_busy.get() || turns != self.seen {
            self.seen = turns;
            self.came = None;
        }
        let Some(since) = &mut self.came else {
            self.alarm = None;
            return Ok(());
        };
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(*since + HEAD_PATIENCE)));
        while alarm.as_mut().poll(context).is_ready() {
            // The next request waits as long as the client takes what was asked before.
            let is_taking = self.deadline.is_some() || self.written.elapsed() < HEAD_PATIENCE;
            if !is_taking {
                return Err(io::ErrorKind::TimedOut.into());
            }
            *since = Instant::now();
            alarm.as_mut().reset(*since + HEAD_PATIENCE);
        }
        Ok(())
    }

    /// Counts what was taken of `offered` bytes, or ends the wait.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.written = Instant::now();
        }
        match written {
            Poll::Ready(Ok(taken)) if taken >= offered => self.deadline = None,
            Poll::Ready(Ok(taken)) => {
                let bytes = u64::try_from(taken).unwrap_or(u64::MAX);
                let earned = Duration::from_millis(bytes.saturating_mul(1_000) / SLOWEST);
                if let Some(deadline) = &mut self.deadline {
                    let later = deadline.deadline() + earned;
                    let latest = Instant::now() + WRITE_PATIENCE;
                    deadline.as_mut().reset(later.min(latest));
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let begin = || Box::pin(tokio::time::sleep(WRITE_PATIENCE));
                let deadline = self.deadline.get_or_insert_with(begin);
                ready!(deadline.as_mut().poll(context));
                self.is_given_up = true;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }
}

impl Drop for Connection {
    /// Who was given up is not waited for by the kernel either; everyone else still gets what the kernel holds.
    fn drop(&mut self) {
        if let (true, Some(stream)) = (self.is_given_up, &self.stream) {
            // It may be closed already.
            let _closed = stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.stream()?.poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.came.get_or_insert_with(Instant::now);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(context, bytes);
        self.watch(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let written = self.stream()?.poll_write_vectored(context, slices);
        self.watch(context, offered, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch_read(context)?;
        ready!(self.stream()?.poll_flush(context))?;
        if self.exchange.0.is_narrow.take() {
            // It would grow to megabytes, of which nobody knows whether they are taken.
            sockopt::set_socket_send_buffer_size(&*self.stream()?, NARROW)?;
        }
        if self.exchange.0.is_over.take() {
            // Everything was written: actix flushes afterwards.
            let (stream, seat) = (self.stream.take(), self.seat.take());
            let upgraded = stream.map(|stream| Upgraded::new(stream, seat));
            self.exchange.0.upgraded.replace(upgraded);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
