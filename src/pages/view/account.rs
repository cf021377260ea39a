//! The user's own account.

use askama::Template;
use chrono::{DateTime, Utc};

use super::{FieldProblem, Frame, Language, Notice, words};

/// The form of the profile: `POST /oauth/account/profile` with `name`, `locale` (empty for none).
#[derive(Clone, Debug, Default)]
pub struct ProfileForm {
    /// What the person is called.
    pub name: String,
    /// What is wrong with the name.
    pub name_problem: Option<FieldProblem>,
    /// The language that is stored (BCP 47); one that the pages don't speak stays on offer.
    pub locale: Option<String>,
}

impl ProfileForm {
    fn prefers(&self, language: &Language) -> bool {
        self.locale.as_deref() == Some(language.tag())
    }

    /// A stored language that is not on the menu.
    fn other_locale(&self) -> Option<&str> {
        self.locale
            .as_deref()
            .filter(|stored| Language::ALL.iter().all(|known| known.tag() != *stored))
    }
}

/// What is wrong with the form of the password: `POST /oauth/account/password` with `current_password`, `new_password`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PasswordForm {
    /// What is wrong with the current password.
    pub current_problem: Option<FieldProblem>,
    /// What is wrong with the new one.
    pub new_problem: Option<FieldProblem>,
}

/// One signed-in device: `POST /oauth/account/sessions/{id}/end`.
#[derive(Clone, Debug)]
pub struct Device {
    /// The id of the session.
    pub id: String,
    /// What the device is, from [`device_words`](super::device_words).
    pub words: String,
    /// What the app is called.
    pub client_name: String,
    /// Where it signed in from.
    pub address: Option<String>,
    /// When it signed in.
    pub signed_in_at: DateTime<Utc>,
    /// When it was last used.
    pub last_seen_at: DateTime<Utc>,
    /// Whether it is the one that sees this page.
    pub current: bool,
}

/// One app that has consent: `POST /oauth/account/consents/revoke` with `client_id`.
#[derive(Clone, Debug)]
pub struct App {
    /// The id of the client.
    pub client_id: String,
    /// What it is called.
    pub name: String,
    /// The names of the scopes, in the order to show.
    pub scopes: Vec<String>,
    /// Since when it has them.
    pub since: DateTime<Utc>,
}

/// Shows the account, and lets its owner change it.
#[derive(Debug, Template)]
#[template(path = "account.html")]
pub struct Account {
    /// What surrounds the page.
    pub frame: Frame,
    /// The token against forged requests.
    pub csrf: String,
    /// The address of the account.
    pub email: String,
    /// What became of the last form.
    pub notice: Option<Notice>,
    /// The form of the profile.
    pub profile: ProfileForm,
    /// The form of the password.
    pub password: PasswordForm,
    /// The signed-in devices, in the order to show; others can be ended by `POST /oauth/account/sessions/end-others`.
    pub devices: Vec<Device>,
    /// The apps that have consent, in the order to show.
    pub apps: Vec<App>,
}

impl Account {
    fn has_other_devices(&self) -> bool {
        self.devices.iter().any(|device| !device.current)
    }
}
