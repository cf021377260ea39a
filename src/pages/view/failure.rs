//! The page for what can't be told to the app, or has no app to tell.

use askama::Template;

use super::{Back, Frame, words};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No client has this id.
    BadClient,
    /// The client has not registered this address.
    BadRedirectUri,
    /// The request can't be read.
    BadRequest,
    /// A client that nobody here vouches for asked for what can't be done.
    StrangerRefused,
    /// The authorization request is too old, or done.
    RequestExpired,
    /// The form's token is too old, or not of this browser.
    FormExpired,
    /// A provider gives no address, without which there is no account.
    NoAddress,
    /// Nobody may make an account.
    SignUpClosed,
    /// No page has this address.
    NotFound,
    /// There are too many requests.
    TooManyRequests,
    /// The server can't answer.
    ServerTrouble,
}

/// Says what happened and how to mend it.
#[derive(Debug, Template)]
#[template(path = "failure.html")]
pub struct Failure {
    /// What surrounds the page.
    pub frame: Frame,
    /// What happened.
    pub kind: FailureKind,
    /// The error's code, as `invalid_request`.
    pub code: String,
    /// What is wrong exactly, for the people who make the app, in English.
    pub detail: Option<String>,
    /// Where the person may go on, if they want to.
    pub onward: Option<Back>,
    /// The id of the HTTP request, to be found in the log.
    pub request_id: Option<String>,
}

impl Failure {
    /// Title, what happened, how to mend it.
    fn words(&self) -> [&'static str; 3] {
        let texts = match self.kind {
            FailureKind::BadClient => words::BAD_CLIENT,
            FailureKind::BadRedirectUri => words::BAD_REDIRECT_URI,
            FailureKind::BadRequest => words::BAD_REQUEST,
            FailureKind::StrangerRefused => words::STRANGER_REFUSED,
            FailureKind::RequestExpired => words::REQUEST_EXPIRED,
            FailureKind::FormExpired => words::FORM_HAS_EXPIRED,
            FailureKind::NoAddress => words::NO_ADDRESS,
            FailureKind::SignUpClosed => words::SIGN_UP_CLOSED,
            FailureKind::NotFound => words::NOT_FOUND,
            FailureKind::TooManyRequests => words::TOO_MANY_REQUESTS,
            FailureKind::ServerTrouble => words::SERVER_TROUBLE,
        };
        texts.map(|text| text.to(self.frame.language))
    }

    /// Whether the account is a place to go on.
    fn leads_to_account(&self) -> bool {
        self.kind == FailureKind::NotFound
    }
}
