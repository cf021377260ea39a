//! Mail addresses that exist only when they are well-formed, in one spelling each.

use std::{fmt, str::FromStr};

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A mail address (RFC 5321), at most 254 bytes, in lower case: one account per address, however it is typed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = Email, max_length = 254, example = "ada@example.com")]
pub struct Email(String);

/// Says that a text is no mail address.
#[derive(Debug, thiserror::Error)]
#[error("not a mail address")]
pub struct InvalidEmail;

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let options = Options::default()
            .without_display_text()
            .without_domain_literal();
        let canonical = text.to_lowercase();
        let valid =
            canonical.len() <= 254 && EmailAddress::parse_with_options(&canonical, options).is_ok();
        if valid {
            Ok(Self(canonical))
        } else {
            Err(InvalidEmail)
        }
    }
}

impl TryFrom<String> for Email {
    type Error = InvalidEmail;

    fn try_from(text: String) -> Result<Self, InvalidEmail> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl AsRef<str> for Email {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_per_address() {
        assert_eq!(
            "Ada@Example.COM".parse::<Email>().unwrap().as_ref(),
            "ada@example.com"
        );
        assert!("admin@localhost".parse::<Email>().is_ok());
        for bad in [
            "",
            "ada",
            "@x",
            "ada@",
            "a b@c",
            "Ada <ada@example.com>",
            "a@[127.0.0.1]",
            "a@b\r\nc",
        ] {
            assert!(bad.parse::<Email>().is_err(), "{bad:?}");
        }
    }
}
