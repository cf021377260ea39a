//! The address of a request, as a proof names it (RFC 9449 section 4.3).

/// Writes scheme and host in lower case and drops default port, query and fragment (RFC 3986 sections 6.2.2.1, 6.2.3);
/// the path stays as it is. `None` when it is no `http` or `https` address.
pub(super) fn normalise(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split(['?', '#']).next()?.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
    let authority = authority.to_ascii_lowercase();
    let host = authority.strip_suffix(default_port).unwrap_or(&authority);
    if host.is_empty()
        || !host
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'@')
    {
        return None;
    }
    let path = if path.is_empty() { "/" } else { path };
    Some(format!("{scheme}://{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_as_far_as_they_mean_the_same() {
        let same = Some("https://a.example/b/C".to_owned());
        for uri in [
            "https://a.example/b/C",
            "HTTPS://A.Example:443/b/C",
            "https://a.example/b/C?d=/#e",
            "https://a.example/b/C#?",
        ] {
            assert_eq!(normalise(uri), same, "{uri}");
        }
        assert_eq!(
            normalise("http://[::1]:80"),
            Some("http://[::1]/".to_owned())
        );
        assert_eq!(
            normalise("http://h:443?x"),
            Some("http://h:443/".to_owned())
        );
        for uri in [
            "",
            "/b",
            "a.example/b",
            "ftp://a/b",
            "https:///b",
            "https://:443/b",
            "https://u@a/b",
            "https://a b/",
            "https://?",
        ] {
            assert_eq!(normalise(uri), None, "{uri}");
        }
    }
}
