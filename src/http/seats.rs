//! How many connections an address may have.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::network::subscriber;

/// The connections that each address (IPv6: each /64) has just now.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of an address's connections, for as long as it lasts.
pub struct Seat {
    seats: Seats,
    address: IpAddr,
}

impl Seats {
    /// Takes one for an address that has fewer than `most`.
    pub fn take(&self, address: IpAddr, most: NonZeroUsize) -> Option<Seat> {
        let address = subscriber(address);
        let mut taken = self.lock();
        let count = taken.entry(address).or_default();
        if *count >= most.get() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_seats_and_gets_them_back() {
        let seats = Seats::default();
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let two = NonZeroUsize::new(2).unwrap();
        let first = seats.take(here, two);
        let second = seats.take(here, two);
        assert!(first.is_some() && second.is_some());
        assert!(seats.take(here, two).is_none());
        assert!(seats.take(there, two).is_some());
        drop(first);
        assert!(seats.take(here, two).is_some());
        drop(second);
        assert!(seats.lock().is_empty(), "nobody is remembered who is gone");
    }

    #[test]
    fn inp_03_a_subscriber_has_so_many_seats_however_many_addresses() {
        let seats = Seats::default();
        let take = |address: &str| seats.take(address.parse().unwrap(), NonZeroUsize::MIN);
        let first = take("2001:db8:1:2::1");
        assert!(first.is_some());
        assert!(take("2001:db8:1:2:ffff::7").is_none());
        assert!(take("2001:db8:1:3::1").is_some());
    }
}
