//! Connecting a device that has no browser (RFC 8628 section 3.3).

use askama::Template;
use chrono::{DateTime, Utc};

use super::{Client, Frame, Hidden, Notice, words};

/// Asks for the code: `POST /device` with `user_code`.
#[derive(Debug, Template)]
#[template(path = "device_code.html")]
pub struct DeviceCode {
    /// What surrounds the page.
    pub frame: Frame,
    /// What the form carries.
    pub hidden: Hidden,
    /// What the field holds at first, from `verification_uri_complete` or the last try.
    pub code: String,
    /// What became of the last try.
    pub notice: Option<Notice>,
}

/// Where a device asked from.
#[derive(Clone, Debug)]
pub struct DeviceOrigin {
    /// The address on the network.
    pub address: Option<String>,
    /// What the device called itself, in words.
    pub agent: Option<String>,
    /// When it asked.
    pub at: DateTime<Utc>,
}

/// Asks whether the device may have a token: `POST /device/confirm` with `user_code` and `decision` = `allow` or `deny`.
#[derive(Debug, Template)]
#[template(path = "device_confirm.html")]
pub struct DeviceConfirm {
    /// What surrounds the page.
    pub frame: Frame,
    /// What the form carries.
    pub hidden: Hidden,
    /// The code.
    pub code: String,
    /// The app on the device.
    pub client: Client,
    /// The address of the account that is signed in.
    pub email: String,
    /// The names of the scopes, in the order to show.
    pub scopes: Vec<String>,
    /// Where the device asked from.
    pub origin: DeviceOrigin,
}

/// How a device's request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It gets a token.
    Allowed,
    /// It gets nothing.
    Denied,
}

/// Says that the device goes on.
#[derive(Debug, Template)]
#[template(path = "device_done.html")]
pub struct DeviceDone {
    /// What surrounds the page.
    pub frame: Frame,
    /// How it ended.
    pub outcome: Outcome,
}

impl DeviceDone {
    fn words(&self) -> [&'static str; 2] {
        let texts = match self.outcome {
            Outcome::Allowed => [words::DEVICE_ALLOWED, words::DEVICE_ALLOWED_LEAD],
            Outcome::Denied => [words::DEVICE_DENIED, words::DEVICE_DENIED_LEAD],
        };
        texts.map(|text| text.to(self.frame.language))
    }

    fn is_denied(&self) -> bool {
        self.outcome == Outcome::Denied
    }
}

/// Writes a code of eight characters as `XXXX-XXXX`, and any other as it is.
fn grouped(code: &str) -> String {
    let plain: Vec<char> = code
        .chars()
        .filter(|character| character.is_ascii_alphanumeric())
        .map(|character| character.to_ascii_uppercase())
        .collect();
    match plain.split_at_checked(4) {
        Some((first, second)) if second.len() == 4 => {
            format!("{}-{}", String::from_iter(first), String::from_iter(second))
        }
        _ => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn codes_are_shown_in_two_groups() {
        assert_eq!(grouped("wdjbmjht"), "WDJB-MJHT");
        assert_eq!(grouped("WDJB-MJHT"), "WDJB-MJHT");
        assert_eq!(grouped("WDJ"), "WDJ");
        assert_eq!(grouped("<b>"), "<b>");
    }
}
