//! What the pages look like: one type per page, with the data that it shows, in the visitor's language.
//!
//! Nothing here speaks HTTP. A page is plain HTML that works without a script, a style or an image from elsewhere, and
//! holds no inline code, so that the strictest `Content-Security-Policy` serves it.

mod account;
mod agent;
pub mod assets;
mod consent;
mod device;
mod failure;
mod language;
mod notice;
#[cfg(test)]
mod samples;
mod sign_in;
mod sign_out;
mod target;
#[cfg(test)]
mod tests;
mod words;

use std::borrow::Borrow;

use chrono::{DateTime, Utc};

pub use account::{Account, App, Device, PasswordForm, ProfileForm};
pub use agent::device_words;
pub use consent::Consent;
pub use device::{DeviceCode, DeviceConfirm, DeviceDone, DeviceOrigin, Outcome};
pub use failure::{Failure, FailureKind};
pub use language::Language;
use notice::is_about_input;
pub use notice::{FieldProblem, Notice};
pub use sign_in::{Link, SelectAccount, SignIn, SignUp, Upstream, Who};
pub use sign_out::{Back, FormPost, SignOut, SignedOut};
pub use target::Target;

/// A page that can be shown.
pub trait Page {
    /// Renders the page as HTML.
    fn render(&self) -> String;
}

impl<T: askama::Template> Page for T {
    fn render(&self) -> String {
        askama::Template::render(self).unwrap_or_else(|error| {
            tracing::error!(%error, "a page can't be rendered");
            "<!doctype html><html lang=\"en\"><title>Error</title><h1>Error</h1></html>".to_owned()
        })
    }
}

/// What surrounds the content of every page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The language of the visitor.
    pub language: Language,
    /// What the operator calls this service, shown above the card and in the title.
    pub service: String,
}

impl Frame {
    fn say(&self, text: impl Borrow<words::Text>) -> &'static str {
        text.borrow().to(self.language)
    }

    fn around(&self, text: impl Borrow<words::Around>) -> (&'static str, &'static str) {
        text.borrow().to(self.language)
    }
}

/// What a form carries hidden.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// The token against forged requests, bound to the page's cookie.
    pub csrf: String,
    /// The authorization request that the visitor is in the middle of.
    pub request: Option<String>,
}

/// The app on whose behalf a page is shown.
#[derive(Clone, Debug)]
pub struct Client {
    /// What it calls itself, else its id.
    pub name: String,
    /// The host of its `client_uri`, or of where it is sent back to.
    pub host: Option<String>,
    /// Whether it registered itself, so that nobody vouches for its name.
    pub unverified: bool,
}

/// The first letter or digit of a name, for its badge.
fn initial(name: &str) -> String {
    name.chars()
        .find(|character| character.is_alphanumeric())
        .map_or_else(|| "•".to_owned(), |first| first.to_uppercase().collect())
}

/// A moment for people: date, hour and minute in UTC.
fn readable(moment: &DateTime<Utc>) -> String {
    moment.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// A moment for machines, as in `datetime` of `<time>`.
fn exact(moment: &DateTime<Utc>) -> String {
    moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What each scope allows in words, or else its name.
fn scope_words<'a>(scopes: &'a [String], frame: &Frame) -> Vec<ScopeLine<'a>> {
    scopes
        .iter()
        .map(|name| ScopeLine {
            name,
            words: words::scope(name).map(|text| frame.say(text)),
        })
        .collect()
}

/// One scope in a list.
struct ScopeLine<'a> {
    /// Its name.
    name: &'a str,
    /// What it allows; `None` for one that only its API knows.
    words: Option<&'static str>,
}
