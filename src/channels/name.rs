//! Names of channels.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Bytes of the longest name.
const LONGEST: usize = 255;

/// A channel's name, `{namespace}:{name}`: without spaces, commas and control characters, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName(String);

/// Says that a text names no channel.
#[derive(Debug, thiserror::Error)]
#[error("a channel is called `namespace:name`, without spaces and commas, in at most 255 bytes")]
pub struct InvalidName;

impl ChannelName {
    /// The namespace, and the name in it.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or_default()
    }
}

impl FromStr for ChannelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for ChannelName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let is_good = text
            .split_once(':')
            .is_some_and(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
        let is_odd = |letter: char| letter == ',' || letter.is_whitespace() || letter.is_control();
        if is_good && text.len() <= LONGEST && !text.contains(is_odd) {
            Ok(Self(text))
        } else {
            Err(InvalidName)
        }
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> Self {
        name.0
    }
}

impl AsRef<str> for ChannelName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_namespace_and_no_spaces() {
        let name: ChannelName = "chat:room:1".parse().unwrap();
        assert_eq!(name.parts(), ("chat", "room:1"));
        let long = format!("chat:{}", "x".repeat(251));
        for text in [
            "",
            "chat",
            ":",
            "chat:",
            ":room",
            "chat:a b",
            "chat:\u{0}",
            &long,
        ] {
            assert!(text.parse::<ChannelName>().is_err(), "{text:?}");
        }
    }
}
