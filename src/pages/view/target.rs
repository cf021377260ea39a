//! Addresses that a page may lead to.

use std::fmt;

/// An absolute address that runs nothing by being followed: `http`, `https`, or an app's own scheme with a dot in it
/// (RFC 8252 section 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// Reads an address; `None` for `javascript:`, `data:` and everything else that is no place to go.
    pub fn parse(address: &str) -> Option<Self> {
        let (scheme, _) = address.split_once(':')?;
        let well_formed = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        let web = ["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        (well_formed && (web || scheme.contains('.'))).then(|| Self(address.to_owned()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn only_places_to_go_are_targets() {
        for good in [
            "https://a.example/x",
            "HTTP://localhost:1/",
            "com.example.app:/cb",
        ] {
            assert!(Target::parse(good).is_some(), "{good}");
        }
        for bad in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            " javascript:x",
            "java\tscript:x",
            "data:text/html,x",
            "vbscript:x",
            "/relative",
            "//host/x",
            "",
        ] {
            assert!(Target::parse(bad).is_none(), "{bad:?}");
        }
    }
}
