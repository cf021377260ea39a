//! Putting right what is written down of who is with this replica.

use std::collections::HashSet;

use diesel::PgConnection;
use uuid::Uuid;

use super::{
    Inner, TOGETHER, lock,
    post::{self, Attendant},
    presence_store,
};
use crate::error::ApiError;

impl Inner {
    /// Writes down who is there but is not written down, others having taken this replica for dead; takes out who is, but has gone.
    pub(super) fn put_right(&self, conn: &mut PgConnection) -> Result<(), ApiError> {
        let replica = self.office.replica;
        let written = presence_store::written(conn, replica)?;
        // Afterwards: whoever is written down has come before.
        let (missing, gone) = self.compare(&written);
        for some in missing.chunks(TOGETHER) {
            let some: Vec<_> = some.iter().collect();
            post::move_some(conn, &self.office, &[], |conn| {
                presence_store::put(conn, replica, &some)
            })?;
        }
        for some in gone.chunks(TOGETHER) {
            let some: Vec<_> = some.iter().collect();
            post::move_some(conn, &self.office, &[], |conn| {
                presence_store::take(conn, &some)
            })?;
        }
        Ok(())
    }

    /// Who is there but not written down, and the other way round.
    fn compare(&self, written: &[(String, Uuid, i64)]) -> (Vec<Attendant>, Vec<Attendant>) {
        let tickets: HashSet<_> = written.iter().map(|(_, _, ticket)| *ticket).collect();
        let attendants = lock(&self.attendants);
        let missing = attendants.iter();
        let missing = missing.filter(|(ticket, _)| !tickets.contains(ticket));
        let missing = missing.map(|(_, attendant)| attendant.clone()).collect();
        let gone = written.iter();
        let gone = gone.filter(|(_, _, ticket)| !attendants.contains_key(ticket));
        let attendant = |(channel, client, ticket): &(String, Uuid, i64)| {
            Some(Attendant {
                channel: channel.parse().ok()?,
                client: *client,
                ticket: *ticket,
                info: String::new(),
                is_told: true,
            })
        };
        (missing, gone.filter_map(attendant).collect())
    }
}
