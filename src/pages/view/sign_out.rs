//! Signing out, and going back to the app by a form.

use askama::Template;

use super::{Frame, Target, assets, words};

/// Asks before signing out (OIDC RP-Initiated Logout section 2): `POST /oauth/logout`.
#[derive(Debug, Template)]
#[template(path = "sign_out.html")]
pub struct SignOut {
    /// What surrounds the page.
    pub frame: Frame,
    /// The token against forged requests.
    pub csrf: String,
    /// The address of the account that is signed in.
    pub email: Option<String>,
    /// What the app that asks is called.
    pub client_name: Option<String>,
    /// Parameters to pass along, as name and value.
    pub fields: Vec<(String, String)>,
}

/// Where a visitor can go after signing out.
#[derive(Clone, Debug)]
pub struct Back {
    /// What the app is called.
    pub client_name: String,
    /// Its registered address.
    pub target: Target,
}

/// Says that the visitor is signed out.
#[derive(Debug, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOut {
    /// What surrounds the page.
    pub frame: Frame,
    /// Where to go on.
    pub back: Option<Back>,
}

/// Carries the answer to the app (OAuth 2.0 Form Post Response Mode section 2).
#[derive(Debug, Template)]
#[template(path = "form_post.html")]
pub struct FormPost {
    /// What surrounds the page.
    pub frame: Frame,
    /// What the app is called.
    pub client_name: String,
    /// The client's validated `redirect_uri`.
    pub action: Target,
    /// The parameters of the answer, as name and value.
    pub fields: Vec<(String, String)>,
}
