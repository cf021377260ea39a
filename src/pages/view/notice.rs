//! What a page says about the form that was sent before.

use super::{Frame, words};

/// A line above a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Email and password don't belong together, or there is no such account.
    WrongCredentials,
    /// The password is wrong where the account is known.
    WrongPassword,
    /// There were too many tries.
    TooManyTries {
        /// After how many seconds the next one is allowed.
        seconds: u64,
    },
    /// The server hashes as many passwords as it can.
    Overloaded,
    /// The visitor was signed in, and is no longer.
    SessionExpired,
    /// The form's token is too old, or not of this browser.
    FormExpired,
    /// No device waits for the code that was entered.
    UnknownCode,
    /// The provider refused, or what it sent is no good.
    UpstreamFailed,
    /// The profile is stored.
    Saved,
    /// The password is changed.
    PasswordChanged,
    /// One device is signed out.
    DeviceSignedOut,
    /// Every device but this one is signed out.
    OthersSignedOut,
    /// An app lost its consent.
    AccessWithdrawn,
}

impl Notice {
    pub(super) fn words(self, frame: &Frame) -> String {
        let text = match self {
            Self::TooManyTries { seconds } => {
                return words::too_many_tries(seconds, frame.language);
            }
            Self::WrongCredentials => words::WRONG_CREDENTIALS,
            Self::WrongPassword => words::WRONG_PASSWORD,
            Self::Overloaded => words::OVERLOADED,
            Self::SessionExpired => words::SESSION_EXPIRED,
            Self::FormExpired => words::FORM_EXPIRED,
            Self::UnknownCode => words::UNKNOWN_CODE,
            Self::UpstreamFailed => words::UPSTREAM_FAILED,
            Self::Saved => words::SAVED,
            Self::PasswordChanged => words::PASSWORD_CHANGED,
            Self::DeviceSignedOut => words::DEVICE_SIGNED_OUT,
            Self::OthersSignedOut => words::OTHERS_SIGNED_OUT,
            Self::AccessWithdrawn => words::ACCESS_WITHDRAWN,
        };
        frame.say(text).to_owned()
    }

    /// Whether something was done, rather than refused.
    pub(super) fn is_good(self) -> bool {
        matches!(
            self,
            Self::Saved
                | Self::PasswordChanged
                | Self::DeviceSignedOut
                | Self::OthersSignedOut
                | Self::AccessWithdrawn
        )
    }
}

/// Whether what was entered has to be entered anew.
pub(super) fn is_about_input(notice: &Option<Notice>) -> bool {
    matches!(
        notice,
        Some(Notice::WrongCredentials | Notice::WrongPassword | Notice::UnknownCode)
    )
}

/// What is wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldProblem {
    /// It is empty.
    Missing,
    /// It is longer than what is stored.
    TooLong,
    /// A password has too few characters.
    TooShort,
    /// A password is among those that are tried first.
    Guessable,
    /// It is no email address.
    NotAnAddress,
    /// The address has an account already.
    Taken,
    /// The current password is wrong.
    WrongPassword,
    /// It breaks another rule.
    NotValid,
}

impl FieldProblem {
    /// For a field that is never told apart from its form.
    pub(super) const NONE: Option<Self> = None;

    /// Reads the code of a field error, as `minLength`.
    pub fn of_code(code: &str) -> Self {
        match code {
            "required" => Self::Missing,
            "maxLength" => Self::TooLong,
            "minLength" => Self::TooShort,
            "common" => Self::Guessable,
            _ => Self::NotValid,
        }
    }

    pub(super) fn words(self, frame: &Frame) -> &'static str {
        let text = match self {
            Self::Missing => words::MISSING,
            Self::TooLong => words::TOO_LONG,
            Self::TooShort => words::TOO_SHORT,
            Self::Guessable => words::GUESSABLE,
            Self::NotAnAddress => words::NOT_AN_ADDRESS,
            Self::Taken => words::TAKEN,
            Self::WrongPassword => words::WRONG_PASSWORD,
            Self::NotValid => words::NOT_VALID,
        };
        frame.say(text)
    }
}
