//! Connections that are no HTTP any more (RFC 9110 section 7.8).

use std::{
    future::{Future, poll_fn, ready},
    pin::Pin,
    task::{Context, Poll},
};

use actix_http::error::DispatchError;
use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    dev::Payload,
    web::{Bytes, BytesMut},
};
use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture};
use tokio::net::TcpStream;

use super::{connection::Exchange, seats::Seat};

/// Bytes behind a request that actix reads for it; it holds more by itself then.
const MOST_EARLY: usize = 32_768;

/// What goes on over a connection after HTTP.
pub(super) type Sequel = Box<dyn FnOnce(Upgraded) -> LocalBoxFuture<'static, ()>>;

/// A connection after HTTP.
pub struct Upgraded {
    /// The connection itself.
    pub stream: TcpStream,
    /// What came over it already: clients ought to wait for the answer.
    pub early: BytesMut,
    _seat: Option<Seat>,
}

/// The body of an answer after which there is no HTTP: nothing, and never an end.
struct Last(Exchange);

impl Upgraded {
    pub(super) fn new(stream: TcpStream, seat: Option<Seat>) -> Self {
        Self {
            stream,
            early: BytesMut::new(),
            _seat: seat,
        }
    }
}

/// Hands over the connection of a request when its answer, a 101, is sent: HTTP needs buffers and timers, which what goes on can do without.
/// `None` for a connection that is not ours.
pub fn upgrade<F>(
    request: &HttpRequest,
    mut body: Payload,
    answer: HttpResponse,
    sequel: impl FnOnce(Upgraded) -> F + 'static,
) -> Option<HttpResponse>
where
    F: Future<Output = ()> + 'static,
{
    let exchange = request.conn_data::<Exchange>()?.clone();
    exchange.narrow();
    exchange.go_on(Box::new(|mut upgraded| {
        while let Some(Some(Ok(bytes))) = body.next().now_or_never() {
            upgraded.early.extend_from_slice(&bytes);
        }
        drop(body);
        if upgraded.early.len() >= MOST_EARLY {
            // Of what came after that, some is lost.
            return ready(()).boxed_local();
        }
        sequel(upgraded).boxed_local()
    }));
    Some(answer.set_body(Last(exchange)).map_into_boxed_body())
}

/// Serves a connection: over HTTP, then whatever it was upgraded to.
///
/// # Errors
/// HTTP ended in one.
pub async fn converse(
    exchange: Exchange,
    over_http: impl Future<Output = Result<(), DispatchError>>,
) -> Result<(), DispatchError> {
    // In a box, since what it needs is not needed any more afterwards.
    let mut over_http = Box::pin(over_http);
    // It is left in the middle of its last answer, so that nothing which came behind the request is answered over HTTP.
    poll_fn(|context| match over_http.as_mut().poll(context) {
        Poll::Pending if exchange.is_upgraded() => Poll::Ready(Ok(())),
        polled => polled,
    })
    .await?;
    drop(over_http);
    let upgraded = exchange.upgraded();
    drop(exchange);
    if let Some((sequel, upgraded)) = upgraded {
        sequel(upgraded).await;
    }
    Ok(())
}

impl MessageBody for Last {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.0.end();
        Poll::Pending
    }
}
