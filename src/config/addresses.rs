//! Addresses in the configuration: URIs, origins, what is this machine.

use super::ConfigError;

/// Makes sure that a text is an origin as browsers send it: scheme, host, and a port that is not the scheme's own.
///
/// # Errors
/// What to write instead, or why it can't be one.
pub fn check_origin(origin: &str) -> Result<(), String> {
    let fault = |reason: &str| Err(format!("{origin:?}: {reason}"));
    if origin == "null" {
        return fault(
            "a page opened from disk has no origin; serve it, for example with `tollgate serve --static DIR`",
        );
    }
    if origin.contains('*') {
        return fault("no patterns: write each origin out");
    }
    let (scheme, authority) = match origin.split_once("://") {
        Some((scheme @ ("http" | "https"), authority)) => (scheme, authority),
        _ => return fault("begins with https:// or http://"),
    };
    if authority.contains(['/', '?', '#', '@']) {
        return fault("only scheme, host and port: no path, no slash at the end, no user");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = !host.is_empty()
        && host.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
        });
    if !is_address && !is_name {
        return fault("the host is written in lower case, other alphabets as xn--…");
    }
    let standard = if scheme == "https" { "443" } else { "80" };
    match port {
        Some(port) if port == standard => fault("browsers leave out the scheme's own port"),
        Some(port) if port.starts_with('0') || port.parse::<u16>().is_err() => {
            fault("the port is a number up to 65535")
        }
        _ => Ok(()),
    }
}

pub(super) fn check_uri(key: &str, uri: &str) -> Result<(), ConfigError> {
    let rest = uri
        .strip_prefix("https://")
        .or_else(|| uri.strip_prefix("http://"));
    let good = rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.contains('#') && uri.bytes().all(|byte| byte.is_ascii_graphic())
    });
    if good {
        Ok(())
    } else {
        Err(ConfigError::new(
            key,
            "an absolute http(s) address without a fragment",
        ))
    }
}

pub(super) fn is_loopback(issuer: &str) -> bool {
    let authority = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        for good in [
            "https://app.example.com",
            "http://localhost:5173",
            "https://xn--bcher-kva.example:8443",
            "https://[2001:db8::1]:8443",
        ] {
            assert_eq!(check_origin(good), Ok(()), "{good}");
        }
        for bad in [
            "null",
            "*",
            "https://*.example.com",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://App.example.com",
            "https://user@app.example.com",
            "https://app.example.com:0",
            "https://app.example.com:65536",
            "https://",
            "ftp://app.example.com",
            "https://app.example.com, https://b.example",
        ] {
            assert!(check_origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_by_host_not_by_prefix() {
        assert!(
            is_loopback("http://localhost:8080")
                && is_loopback("http://[::1]:1")
                && is_loopback("http://127.0.0.1")
        );
        assert!(
            !is_loopback("http://localhost.evil.example")
                && !is_loopback("http://127.0.0.1.evil.example")
        );
    }
}
