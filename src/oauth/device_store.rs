//! The table of devices that wait to be let in.

use chrono::{DateTime, Utc};
use diesel::{
    dsl::{IntervalDsl, sql},
    prelude::*,
    sql_types::Bool,
};
use uuid::Uuid;

use crate::{
    db::{after, clock_timestamp},
    schema::device_codes,
    sessions::SessionRow,
};

/// A device code to give out.
pub(super) struct NewDevice<'a> {
    pub id: &'a [u8],
    pub user_code: &'a [u8],
    pub client_id: &'a str,
    pub scopes: &'a [String],
    pub resource: Option<&'a str>,
    pub key: Option<&'a str>,
    pub address: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    pub lifetime: i32,
    pub interval: i32,
}

/// Inserts a device code, unless its user code is taken.
pub(super) fn insert_device(conn: &mut PgConnection, new: &NewDevice<'_>) -> QueryResult<bool> {
    let inserted = diesel::insert_into(device_codes::table)
        .values((
            device_codes::id.eq(new.id),
            device_codes::user_code.eq(new.user_code),
            device_codes::client_id.eq(new.client_id),
            device_codes::scopes.eq(new.scopes),
            device_codes::resource.eq(new.resource),
            device_codes::cnf.eq(new.key),
            device_codes::address.eq(new.address),
            device_codes::user_agent.eq(new.user_agent),
            device_codes::expires_at.eq(after(clock_timestamp(), new.lifetime.seconds())),
            device_codes::interval_seconds.eq(new.interval),
        ))
        .on_conflict(device_codes::user_code)
        .do_nothing()
        .execute(conn)?;
    Ok(inserted == 1)
}

/// A device that waits, and what became of it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = device_codes)]
pub struct DeviceRow {
    pub(super) id: Vec<u8>,
    /// The app on the device.
    pub client_id: String,
    /// What it asks for.
    pub scopes: Vec<String>,
    /// The API that its tokens are for, when it is another one.
    pub resource: Option<String>,
    pub(super) cnf: Option<String>,
    /// From where it asked.
    pub address: Option<String>,
    /// What it called itself.
    pub user_agent: Option<String>,
    /// When it asked.
    pub created_at: DateTime<Utc>,
    pub(super) allowed: Option<bool>,
    pub(super) user_id: Option<Uuid>,
    pub(super) page_id: Option<Uuid>,
    pub(super) auth_time: Option<DateTime<Utc>>,
    pub(super) acr: Option<String>,
    pub(super) amr: Option<Vec<String>>,
    pub(super) session_id: Option<Uuid>,
}

/// How a device's asking is to be answered.
pub(super) struct Polled {
    pub device: DeviceRow,
    pub is_good: bool,
    pub too_early: bool,
}

/// Finds a device code of this client, holds it, and writes down that it was asked for.
pub(super) fn poll_device(
    conn: &mut PgConnection,
    id: &[u8],
    client_id: &str,
) -> QueryResult<Option<Polled>> {
    let found: Option<(DeviceRow, bool, bool)> = device_codes::table
        .find(id)
        .filter(device_codes::client_id.eq(client_id))
        .select((
            DeviceRow::as_select(),
            device_codes::expires_at.gt(clock_timestamp()),
            sql::<Bool>(
                "coalesce(polled_at + interval '1 second' * (interval_seconds - 0.5) > clock_timestamp(), false)",
            ),
        ))
        .for_update()
        .first(conn)
        .optional()?;
    let Some((device, is_good, too_early)) = found else {
        return Ok(None);
    };
    // RFC 8628 section 3.5: whoever asks too often waits 5 s longer from then on.
    let slower = if too_early { 5 } else { 0 };
    diesel::update(device_codes::table.find(id))
        .set((
            device_codes::polled_at.eq(clock_timestamp().nullable()),
            device_codes::interval_seconds.eq(device_codes::interval_seconds + slower),
        ))
        .execute(conn)?;
    Ok(Some(Polled {
        device,
        is_good,
        too_early,
    }))
}

/// The device that shows a code, while nobody has decided.
pub(super) fn find_device(
    conn: &mut PgConnection,
    user_code: &[u8],
) -> QueryResult<Option<DeviceRow>> {
    device_codes::table
        .filter(device_codes::user_code.eq(user_code))
        .filter(device_codes::allowed.is_null())
        .filter(device_codes::expires_at.gt(clock_timestamp()))
        .select(DeviceRow::as_select())
        .for_update()
        .first(conn)
        .optional()
}

/// Writes down what the person has decided.
pub(super) fn decide_device(
    conn: &mut PgConnection,
    id: &[u8],
    allowed: bool,
    scopes: &[String],
    page: &SessionRow,
) -> QueryResult<usize> {
    diesel::update(device_codes::table.find(id))
        .set((
            device_codes::allowed.eq(allowed),
            device_codes::scopes.eq(scopes),
            device_codes::user_id.eq(page.user_id),
            device_codes::page_id.eq(page.id),
            device_codes::auth_time.eq(page.auth_time),
            device_codes::acr.eq(&page.acr),
            device_codes::amr.eq(&page.amr),
        ))
        .execute(conn)
}

pub(super) fn redeem_device(
    conn: &mut PgConnection,
    id: &[u8],
    session_id: Uuid,
) -> QueryResult<usize> {
    diesel::update(device_codes::table.find(id))
        .set(device_codes::session_id.eq(session_id))
        .execute(conn)
}
