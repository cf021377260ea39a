//! Connections that are no HTTP any more (RFC 9110 section 7.8).

use std::{
    future::Future,
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

/// The body of an answer after which there is no HTTP: nothing.
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
        // HTTP has read its last: no more comes this way.
        while let Some(Some(Ok(bytes))) = body.next().now_or_never() {
            upgraded.early.extend_from_slice(&bytes);
        }
        drop(body);
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
    Box::pin(over_http).await?;
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
        Poll::Ready(None)
    }
}
