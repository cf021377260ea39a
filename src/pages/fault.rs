//! Why a page can't be shown, for the person who wanted to see it.

use super::view::FailureKind;
use crate::{
    error::ApiError,
    oauth::{Failing, Fault, OAuthError, Refusal, ResponseMode, Target},
};

/// A page that says what went wrong; or the client is told, at its own address.
#[derive(Debug)]
pub enum PageFault {
    /// The person is told.
    Shown(Failure),
    /// The client is told.
    Client(Box<Target>, OAuthError),
}

/// What the person is told.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// The HTTP status.
    pub status: u16,
    /// The error's code.
    pub code: String,
    /// What is wrong exactly.
    pub detail: Option<String>,
    /// Where the person may go on, if they want to.
    pub onward: Option<String>,
    /// The cause, for the log only.
    pub cause: Option<String>,
}

impl Failure {
    /// What a client asked for in vain that nobody here vouches for: the person says whether they go back to it.
    pub fn of_stranger(target: &Target, error: OAuthError) -> Self {
        let answer = target.refuse(&error);
        Self {
            kind: FailureKind::StrangerRefused,
            status: 400,
            code: error.fault.name().to_owned(),
            detail: Some(error.description.into_owned()),
            onward: (answer.mode == ResponseMode::Query).then(|| answer.location()),
            cause: None,
        }
    }
}

impl PageFault {
    /// A fault of one kind.
    pub fn new(kind: FailureKind, status: u16, code: &str, detail: Option<String>) -> Self {
        Self::Shown(Failure {
            kind,
            status,
            code: code.to_owned(),
            detail,
            onward: None,
            cause: None,
        })
    }

    /// A form that is too old, or came from elsewhere.
    pub fn form_expired() -> Self {
        Self::new(FailureKind::FormExpired, 403, "form_expired", None)
    }

    /// A request that is too old, or done.
    pub fn request_expired() -> Self {
        Self::new(FailureKind::RequestExpired, 400, "request_expired", None)
    }

    /// A client that nobody knows.
    pub fn unknown_client() -> Self {
        let code = Fault::InvalidClient.name();
        Self::new(FailureKind::BadClient, 400, code, None)
    }

    fn of(kind: FailureKind, error: OAuthError) -> Self {
        Self::new(
            kind,
            400,
            error.fault.name(),
            Some(error.description.into_owned()),
        )
    }
}

impl From<ApiError> for PageFault {
    fn from(error: ApiError) -> Self {
        let entry = error.code.entry();
        let kind = match entry.status {
            404 => FailureKind::NotFound,
            429 => FailureKind::TooManyRequests,
            500.. => FailureKind::ServerTrouble,
            _ => FailureKind::BadRequest,
        };
        Self::Shown(Failure {
            kind,
            status: entry.status,
            code: entry.slug.to_owned(),
            detail: None,
            onward: None,
            cause: error.cause.map(|cause| format!("{cause:?}")),
        })
    }
}

impl From<diesel::result::Error> for PageFault {
    fn from(error: diesel::result::Error) -> Self {
        ApiError::from(error).into()
    }
}

impl From<OAuthError> for PageFault {
    fn from(error: OAuthError) -> Self {
        match error.into_ours() {
            Ok(ours) => ours.into(),
            Err(error) => match error.fault {
                Fault::InvalidClient => Self::of(FailureKind::BadClient, error),
                Fault::InvalidRequestUri => Self::of(FailureKind::RequestExpired, error),
                _ => Self::of(FailureKind::BadRequest, error),
            },
        }
    }
}

impl From<Refusal> for PageFault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Page(error) => error.into(),
            Refusal::BadRedirect(error) => Self::of(FailureKind::BadRedirectUri, error),
            Refusal::Expired => Self::request_expired(),
            Refusal::Client(target, error) => Self::Client(target, error),
        }
    }
}

impl Failing for PageFault {
    fn into_ours(self) -> Result<ApiError, Self> {
        // What failed on our side has become a page already; its cause is kept, and the connection is tried all the same.
        match self {
            Self::Shown(failure) if failure.status == 503 => {
                let mut ours = ApiError::from(crate::error::Code::DatabaseUnavailable);
                ours.cause = failure.cause.map(Into::into);
                Ok(ours)
            }
            other => Err(other),
        }
    }
}
