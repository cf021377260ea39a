//! What browsers are shown: signing in and up, consent, devices, the account. Server-rendered, without a script.

pub mod account_routes;
pub mod asset_routes;
pub mod authorize_routes;
mod browser;
pub mod consent_routes;
pub mod device_routes;
mod fault;
mod pending;
pub mod sign_in_routes;
pub mod sign_out_routes;
pub mod sign_up_routes;
pub mod upstream_routes;
pub mod view;

use diesel::PgConnection;

pub use browser::Browser;
pub use fault::PageFault;

use crate::{
    clients::{Client, Kind},
    error::ApiError,
    oauth::authorize::Visitor,
    sessions::{self, Lifetimes},
    users,
};

/// Who is signed in, by the hash of the browser's cookie.
///
/// # Errors
/// Postgres.
fn find_visitor(
    conn: &mut PgConnection,
    hash: Option<&[u8]>,
    lifetimes: Lifetimes,
) -> Result<Option<Visitor>, ApiError> {
    let Some(hash) = hash else {
        return Ok(None);
    };
    let Some(page) = sessions::find_page(conn, hash, lifetimes)? else {
        return Ok(None);
    };
    let account = users::find(conn, page.user_id)?.filter(|account| !account.user.disabled);
    Ok(account.map(|account| Visitor { page, account }))
}

/// The app as pages show it, with the host of the document that it is, of its page, or else of where people are sent back to.
fn shown_client(client: &Client, redirect_uri: Option<&str>) -> view::Client {
    let address = match client.kind {
        // That is who it is; what it calls itself, anyone can.
        Kind::Document => Some(client.id.as_str()),
        Kind::Registered => redirect_uri,
        Kind::Managed => client.metadata.client_uri.as_deref().or(redirect_uri),
    };
    view::Client {
        name: client.name().to_owned(),
        host: address.map(place_of),
        unverified: client.kind != Kind::Managed,
    }
}

/// The host of an address, or the scheme of an app's own.
fn place_of(address: &str) -> String {
    let (scheme, rest) = address.split_once(':').unwrap_or((address, ""));
    match rest.strip_prefix("//") {
        Some(rest) => rest.split(['/', '?']).next().unwrap_or(rest).to_owned(),
        None => scheme.to_owned(),
    }
}
