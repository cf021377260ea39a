//! Where the answer to an authorization request goes, and what it looks like there.

use super::{OAuthError, error::described};

/// How an answer reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query of its address.
    Query,
    /// In a form that the browser posts there (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// Where the answer to a request goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The client's address.
    pub redirect_uri: String,
    /// How it gets there.
    pub mode: ResponseMode,
    /// What the client sent along.
    pub state: Option<String>,
    /// Whether somebody here has registered the client. What others ask for in vain, people are told before they go there:
    /// else our address would lead anywhere (RFC 9700 section 4.11.2).
    pub is_vouched_for: bool,
    /// Us.
    pub(super) issuer: String,
}

/// An answer for the client, which its person's browser brings.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where it goes.
    pub redirect_uri: String,
    /// How it gets there.
    pub mode: ResponseMode,
    /// What it says.
    pub parameters: Vec<(&'static str, String)>,
}

impl Answer {
    /// The address to go to, with the answer in its query.
    pub fn location(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.parameters {
            query.append_pair(name, value);
        }
        let separator = if self.redirect_uri.contains('?') {
            '&'
        } else {
            '?'
        };
        format!("{}{separator}{}", self.redirect_uri, query.finish())
    }
}

impl Target {
    /// The answer that says these things, and from whom it is (RFC 9207).
    pub fn answer(&self, mut parameters: Vec<(&'static str, String)>) -> Answer {
        if let Some(state) = &self.state {
            parameters.push(("state", state.clone()));
        }
        parameters.push(("iss", self.issuer.clone()));
        Answer {
            redirect_uri: self.redirect_uri.clone(),
            mode: self.mode,
            parameters,
        }
    }

    /// The answer that refuses.
    pub fn refuse(&self, error: &OAuthError) -> Answer {
        self.answer(vec![
            ("error", error.fault.name().to_owned()),
            ("error_description", described(&error.description)),
        ])
    }
}
