//! Parameters of a query or a form (application/x-www-form-urlencoded), each at most once.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// Parameters of the largest request: each is looked for among all.
const MOST: usize = 100;

/// Names and values in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

/// Why parameters can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There are more than any request needs.
    #[error("more than {MOST} parameters")]
    TooMany,
    /// One came twice (RFC 6749 section 3.1).
    #[error("the parameter {0} came more than once")]
    Repeated(String),
    /// One holds NUL, which Postgres stores nowhere.
    #[error("a parameter holds the character NUL")]
    Nul,
    /// One is not UTF-8 (RFC 6749 appendix B), and could not be brought back as it came.
    #[error("a parameter is not UTF-8")]
    NotUtf8,
}

impl Parameters {
    /// Reads an encoded query or body.
    ///
    /// # Errors
    /// One came more than once, holds NUL, or is not UTF-8.
    pub fn parse(encoded: &[u8]) -> Result<Self, Unreadable> {
        let mut parameters = Self::default();
        for pair in encoded.split(|byte| *byte == b'&') {
            if pair.is_empty() {
                continue;
            }
            if parameters.0.len() == MOST {
                return Err(Unreadable::TooMany);
            }
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(parts.next().unwrap_or_default())?;
            let value = decode(parts.next().unwrap_or_default())?;
            if parameters.0.iter().any(|(known, _)| *known == name) {
                return Err(Unreadable::Repeated(name));
            }
            parameters.0.push((name, value));
        }
        Ok(parameters)
    }

    /// The value of a parameter; one without a value counts as left out (RFC 6749 section 3.1).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The same without some parameters.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let kept = self
            .0
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()));
        Self(kept.cloned().collect())
    }

    /// Every name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Decodes a name or a value; form-urlencoded's own parser would put replacement characters where this refuses.
fn decode(part: &[u8]) -> Result<String, Unreadable> {
    let spaced = if part.contains(&b'+') {
        let space = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
        Cow::Owned(part.iter().map(space).collect())
    } else {
        Cow::Borrowed(part)
    };
    let text = percent_decode(&spaced)
        .decode_utf8()
        .map_err(|_malformed| Unreadable::NotUtf8)?
        .into_owned();
    if text.contains('\0') {
        return Err(Unreadable::Nul);
    }
    Ok(text)
}

impl FromIterator<(String, String)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oau_11_a_parameter_comes_once() {
        let read = Parameters::parse(b"a=1&b=&c=%20x%2B+").unwrap();
        assert_eq!(read.get("a"), Some("1"));
        assert_eq!(read.get("b"), None, "without a value it is left out");
        assert_eq!(read.get("c"), Some(" x+ "));
        assert_eq!(
            Parameters::parse(b"a=1&b=2&%61=3"),
            Err(Unreadable::Repeated("a".to_owned()))
        );
        let many: Vec<_> = (0..=MOST).map(|index| format!("{index}=")).collect();
        let (most, more) = (many[..MOST].join("&"), many.join("&"));
        assert!(Parameters::parse(most.as_bytes()).is_ok());
        assert_eq!(Parameters::parse(more.as_bytes()), Err(Unreadable::TooMany));
        for bad in [&b"a=%FF"[..], b"a=\xff", b"a=%ED%A0%80", b"%C3=1"] {
            assert_eq!(Parameters::parse(bad), Err(Unreadable::NotUtf8));
        }
    }
}
