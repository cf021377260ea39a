//! What a client is subscribed to.

use super::{
    attend::{Attendance, Attendee},
    subscribe::Subscription,
};
use crate::collections::Asker;

/// A channel, followed for as long as this lasts.
pub(super) enum Following {
    /// What becomes of records.
    Records(Subscription),
    /// What is told beside them.
    Channel(Attendance),
}

impl Following {
    /// The number that what it hears is marked with.
    pub fn ticket(&self) -> u64 {
        match self {
            Self::Records(subscription) => subscription.ticket,
            Self::Channel(attendance) => attendance.ticket,
        }
    }

    /// Whether another token of the same user's shows the same; `None` where it lacks the scope.
    pub fn fits(&self, asker: Option<&Asker>, attendee: Option<&Attendee>) -> bool {
        match self {
            Self::Records(subscription) => asker.is_some_and(|asker| subscription.fits(asker)),
            Self::Channel(attendance) => attendee.is_some_and(|attendee| attendance.fits(attendee)),
        }
    }
}
