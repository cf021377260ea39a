//! Connections: how many an address may have, and how long one may keep us waiting while we write.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

/// How long a client may take nothing of what waits for it.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);

/// The slowest reader that is put up with, in bytes a second.
const SLOWEST: u64 = 4_096;

/// The connections that each address has just now.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of an address's connections, for as long as it lasts.
pub struct Seat {
    seats: Seats,
    address: IpAddr,
}

impl Seats {
    /// Takes one for an address that has fewer than `most`.
    pub fn take(&self, address: IpAddr, most: usize) -> Option<Seat> {
        let mut taken = self.lock();
        let count = taken.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat {
            seats: self.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// A connection that gives up clients which read too slowly.
pub struct Connection {
    stream: TcpStream,
    _seat: Option<Seat>,
    /// Until when what waits must have been taken; `None` while nothing waits.
    deadline: Option<Pin<Box<Sleep>>>,
    written: Instant,
    is_given_up: bool,
}

impl Connection {
    /// Watches a connection.
    pub fn new(stream: TcpStream, seat: Option<Seat>) -> Self {
        Self {
            stream,
            _seat: seat,
            deadline: None,
            written: Instant::now(),
            is_given_up: false,
        }
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
    /// Who has had the time to take everything and has not is not waited for by the kernel either.
    fn drop(&mut self) {
        if self.is_given_up || self.written.elapsed() >= WRITE_PATIENCE {
            // It may be closed already.
            let _closed = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, offered, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_seats_and_gets_them_back() {
        let seats = Seats::default();
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = seats.take(here, 2);
        let second = seats.take(here, 2);
        assert!(first.is_some() && second.is_some());
        assert!(seats.take(here, 2).is_none());
        assert!(seats.take(there, 2).is_some());
        drop(first);
        assert!(seats.take(here, 2).is_some());
        drop(second);
        assert!(seats.lock().is_empty(), "nobody is remembered who is gone");
    }
}
