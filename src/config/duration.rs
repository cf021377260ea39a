//! Lengths of time as people write them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A length of time in whole seconds, written `30s`, `10m`, `12h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lifetime(i64);

impl Lifetime {
    /// One of so many seconds.
    pub(super) const fn of_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// The length in seconds.
    pub fn seconds(self) -> i64 {
        self.0
    }
}

impl TryFrom<String> for Lifetime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected a length of time such as \"30s\", \"10m\", \"12h\" or \"30d\", found {text:?}"
            )
        };
        let unit = text.chars().last().ok_or_else(expected)?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(expected()),
        };
        let number: i64 = text
            .strip_suffix(unit)
            .and_then(|digits| digits.parse().ok())
            .filter(|number| *number > 0)
            .ok_or_else(expected)?;
        number
            .checked_mul(factor)
            .filter(|seconds| *seconds <= 10 * 366 * 86_400)
            .map(Self)
            .ok_or_else(expected)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            seconds if seconds % 86_400 == 0 => (seconds / 86_400, 'd'),
            seconds if seconds % 3_600 == 0 => (seconds / 3_600, 'h'),
            seconds if seconds % 60 == 0 => (seconds / 60, 'm'),
            seconds => (seconds, 's'),
        };
        write!(formatter, "{number}{unit}")
    }
}

impl From<Lifetime> for String {
    fn from(lifetime: Lifetime) -> Self {
        lifetime.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written() {
        for text in ["30s", "10m", "12h", "90d"] {
            assert_eq!(
                Lifetime::try_from(text.to_owned()).unwrap().to_string(),
                text
            );
        }
        for bad in [
            "",
            "10",
            "m",
            "-1m",
            "0s",
            "1w",
            "99999999999999999999d",
            "9999999d",
            "10mm",
        ] {
            assert!(Lifetime::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
