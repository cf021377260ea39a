//! Answers after which our side of the connection ends.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};
use tokio::sync::oneshot;

use super::connection::Exchange;

/// A body with which our side of the connection ends.
struct Last {
    body: BoxBody,
    exchange: Option<Exchange>,
    _gone: oneshot::Sender<()>,
}

/// Lets the kernel hold little of an answer that goes on for as long as the client listens.
pub fn keep_little(request: &HttpRequest) {
    if let Some(exchange) = request.conn_data::<Exchange>() {
        exchange.narrow();
    }
}

/// Lets our side of the connection end as soon as the whole answer is sent, whatever the client does; actix would wait for it.
/// What comes with it resolves when the connection has gone.
pub fn close_after(
    request: &HttpRequest,
    response: HttpResponse,
) -> (HttpResponse, oneshot::Receiver<()>) {
    let exchange = request.conn_data::<Exchange>().cloned();
    keep_little(request);
    let (sender, gone) = oneshot::channel();
    let last = |_head: &mut _, body| Last {
        body,
        exchange,
        _gone: sender,
    };
    (response.map_body(last).map_into_boxed_body(), gone)
}

impl MessageBody for Last {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = ready!(Pin::new(&mut self.body).poll_next(context));
        if let (None, Some(exchange)) = (&next, &self.exchange) {
            exchange.end();
        }
        Poll::Ready(next)
    }
}
