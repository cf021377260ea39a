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
            is_cut,
            feed_position,
            warning,
            ..
        } = listing;
        let is_last = !is_cut && i64::try_from(items.len()).unwrap_or(TOGETHER) < TOGETHER;
        let mut text = String::new();
        for item in &items {
            text.push_str(item.shown.text());
            text.push('\n');
        }
        after = items.into_iter().next_back().and_then(|item| item.place);
        outlet(Lines {
            text,
            feed_position,
            warning,
        })?;
        if is_last {
            return Ok(());
        }
        if after.is_none() {
            return Err(ApiError::internal("a list goes on from nowhere"));
        }
    }
}
