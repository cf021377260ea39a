//! Asking the user whether an app may use the account.

use askama::Template;

use super::{Client, Frame, Hidden, words};

/// Asks for consent: `POST /oauth/consent` with `decision` = `allow` or `deny`; another account through
/// `POST /oauth/select-account` with `account` = `other`.
#[derive(Debug, Template)]
#[template(path = "consent.html")]
pub struct Consent {
    /// What surrounds the page.
    pub frame: Frame,
    /// What the forms carry.
    pub hidden: Hidden,
    /// The app that asks.
    pub client: Client,
    /// The address of the account that is signed in.
    pub email: String,
    /// The names of the scopes, in the order to show.
    pub scopes: Vec<String>,
    /// The API that the token is for, when it is not this one.
    pub resource: Option<String>,
    /// The host, or the scheme of an app, where the visitor goes on.
    pub redirect_host: String,
}
