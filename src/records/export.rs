//! A whole list, line by line.

use diesel::PgConnection;

use super::{
    ListQuery, Request,
    list::{Listing, list},
    order::Place,
};
use crate::{collections::Catalog, db::Outlet, error::ApiError};

/// Records that are read together.
const TOGETHER: i64 = 200;

/// Some lines, each a record.
#[derive(Debug)]
pub struct Lines {
    /// As JSON.
    pub text: String,
    /// Where the feed goes on from the list.
    pub feed_position: String,
    /// What to declare, where no index serves the list.
    pub warning: Option<String>,
}

/// Reads all of a list, inside the caller's snapshot.
///
/// # Errors
/// Those of the list, before the first lines.
pub fn export(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    query: &ListQuery,
    outlet: Outlet<'_, Lines>,
) -> Result<(), ApiError> {
    let mut after: Option<Place> = None;
    loop {
        let listing = list(conn, catalog, request, query, after.as_ref(), TOGETHER)?;
        let Listing {
            items,
            end,
            feed_position,
            warning,
            ..
        } = listing;
        let mut text = String::new();
        for item in &items {
            text.push_str(item.text());
            text.push('\n');
        }
        outlet(Lines {
            text,
            feed_position,
            warning,
        })?;
        if end.is_none() {
            return Ok(());
        }
        after = end;
    }
}
