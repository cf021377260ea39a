//! Where a reader of the feed is.

use std::{fmt, str::FromStr, sync::Arc};

/// A place in the feed, `<epoch>/<n>`: after the change with this number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The feed whose number it is: a restored database counts some of them once more.
    pub epoch: Arc<str>,
    /// The number; 0 before the first change.
    pub number: i64,
}

/// Says that a text is no position.
#[derive(Debug, thiserror::Error)]
#[error("not a position: `<epoch>/<n>`, as `Feed-Position` and `position` have it")]
pub struct InvalidPosition;

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (epoch, digits) = text.split_once('/').ok_or(InvalidPosition)?;
        let is_word = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_word || !is_number {
            return Err(InvalidPosition);
        }
        Ok(Self {
            epoch: epoch.into(),
            // More digits than there are positions: the feed is not that far.
            number: digits.parse().unwrap_or(i64::MAX),
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.epoch, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_an_epoch_and_a_number() {
        let position: Position = "0a1b2c/41".parse().unwrap();
        assert_eq!((&*position.epoch, position.number), ("0a1b2c", 41));
        assert_eq!(position.to_string(), "0a1b2c/41");
        for text in [
            "", "41", "/41", "a/", "a/-1", "a/+1", "a/1/2", "a b/1", "a/1 ",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }
}
