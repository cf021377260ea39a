//! Addresses that clients register, and how they are compared.

/// Characters of the longest address.
const LONGEST: usize = 2_000;

/// Checks an address to which people are sent back: absolute, without a fragment or a user, over https, to this very
/// machine, or by a scheme of an app's own (RFC 8252 section 7).
///
/// # Errors
/// What is wrong with it.
pub fn check_redirect(uri: &str) -> Result<(), &'static str> {
    let (scheme, rest) = split(uri)?;
    match scheme {
        "https" => check_authority(rest),
        "http" if is_loopback(rest) => check_authority(rest),
        "http" => Err("https, except on localhost"),
        // RFC 8252 section 7.1: a reversed domain name, so that two apps don't take the same one.
        scheme if scheme.contains('.') => Ok(()),
        _ => Err("https, http on localhost, or a scheme like com.example.app"),
    }
}

/// Checks an address of a page or a document of the client.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_web(uri: &str) -> Result<(), &'static str> {
    let (scheme, rest) = split(uri)?;
    match scheme {
        "https" => check_authority(rest),
        "http" if is_loopback(rest) => check_authority(rest),
        _ => Err("https, except on localhost"),
    }
}

fn split(uri: &str) -> Result<(&str, &str), &'static str> {
    if uri.len() > LONGEST {
        return Err("at most 2,000 characters");
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) || uri.contains(['\\', '"', '<', '>', '*'])
    {
        return Err("an absolute URI in ASCII, without wildcards");
    }
    if uri.contains('#') {
        return Err("no fragment");
    }
    let (scheme, rest) = uri.split_once(':').ok_or("an absolute URI")?;
    let plain = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'));
    if plain {
        Ok((scheme, rest))
    } else {
        Err("a scheme in lower case")
    }
}

fn authority(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix("//")?;
    rest.split(['/', '?'])
        .next()
        .filter(|host| !host.is_empty())
}

fn check_authority(rest: &str) -> Result<(), &'static str> {
    let authority = authority(rest).ok_or("a host")?;
    if authority.contains('@') {
        return Err("no user before the host");
    }
    // Hosts stand in the policies of our pages.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if !authority.bytes().all(plain) {
        return Err("a host of letters, digits, `.`, `-` and `_`");
    }
    let path = rest.get(2 + authority.len()..).unwrap_or_default();
    let path = path
        .split('?')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let climbs = path
        .replace("%2e", ".")
        .split('/')
        .any(|segment| matches!(segment, "." | ".."));
    if climbs {
        Err("no `.` or `..` in the path")
    } else {
        Ok(())
    }
}

fn is_loopback(rest: &str) -> bool {
    authority(rest).is_some_and(|authority| {
        ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
            authority.strip_prefix(host).is_some_and(|port| {
                port.is_empty()
                    || port
                        .strip_prefix(':')
                        .is_some_and(|port| port.parse::<u16>().is_ok())
            })
        })
    })
}

/// Whether a given address is a registered one: byte for byte (RFC 9700 section 2.1), but for the port of an app on the
/// person's own machine, which it can't choose beforehand (RFC 8252 section 7.3).
pub fn same_redirect(registered: &str, given: &str) -> bool {
    registered == given
        || match (loopback(registered), loopback(given)) {
            (Some(registered), Some(given)) => {
                let is_free = registered.host != "localhost" || registered.port.is_empty();
                is_free && registered.host == given.host && registered.path == given.path
            }
            _ => false,
        }
}

/// An address on the person's own machine; the port has its colon.
struct Loopback<'a> {
    host: &'a str,
    port: &'a str,
    path: &'a str,
}

/// Takes a loopback address apart. RFC 8252 section 8.3 advises against `localhost`: with a port it is a page that is being
/// developed, and stays exact; command lines register it without.
fn loopback(uri: &str) -> Option<Loopback<'_>> {
    let rest = uri.strip_prefix("http://")?;
    let host = ["localhost", "127.0.0.1", "[::1]"]
        .into_iter()
        .find(|host| rest.starts_with(host))?;
    let after = rest.get(host.len()..)?;
    let end = after.find(['/', '?']).unwrap_or(after.len());
    let (port, path) = after.split_at_checked(end)?;
    let fits = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| !port.starts_with(['+', '0']) && port.parse::<u16>().is_ok());
    fits.then_some(Loopback { host, port, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oau_01_an_address_is_compared_byte_for_byte() {
        let registered = "https://app.example.com/callback";
        assert!(same_redirect(registered, registered));
        for other in [
            "https://app.example.com/callback/",
            "https://app.example.com/callback?x=1",
            "https://app.example.com/callback#x",
            "https://app.example.com/other/../callback",
            "https://app.example.com/%63allback",
            "https://app.example.com:443/callback",
            "https://APP.example.com/callback",
            "https://app.example.com/Callback",
            "https://app.example.com@evil.example/callback",
            "https://evil.example/https://app.example.com/callback",
            "http://app.example.com/callback",
            "https://app.example.com/callback%00",
            " https://app.example.com/callback",
        ] {
            assert!(!same_redirect(registered, other), "{other}");
        }
    }

    #[test]
    fn oau_01_only_the_port_of_this_machine_is_free() {
        let registered = "http://127.0.0.1/callback";
        assert!(same_redirect(registered, "http://127.0.0.1:51004/callback"));
        assert!(same_redirect("http://[::1]:1/cb", "http://[::1]:2/cb"));
        assert!(same_redirect(
            "http://localhost/cb",
            "http://localhost:2/cb"
        ));
        assert!(!same_redirect(
            "http://localhost:5173/cb",
            "http://localhost:2/cb"
        ));
        for other in [
            "http://127.0.0.1:51004/callback/",
            "http://127.0.0.1:80@evil.example/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://127.0.0.1:051004/callback",
            "http://127.0.0.1:99999/callback",
            "http://localhost:51004/callback",
            "http://localhost/callback",
            "https://127.0.0.1:51004/callback",
        ] {
            assert!(!same_redirect(registered, other), "{other}");
        }
    }

    #[test]
    fn what_can_be_registered() {
        for good in [
            "https://app.example.com/callback",
            "https://app.example.com/callback?tenant=1",
            "http://localhost:5173/",
            "http://127.0.0.1/cb",
            "http://[::1]/cb",
            "com.example.app:/oauth",
        ] {
            assert_eq!(check_redirect(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/callback",
            "app.example.com/callback",
            "http://app.example.com/callback",
            "https:///callback",
            "https://a;script-src/",
            "https://a,b/",
            "https://a'b/",
            "https://user@app.example.com/callback",
            "https://app.example.com/a/../b",
            "https://app.example.com/a/%2e%2E/b",
            "https://app.example.com/callback#x",
            "https://*.example.com/callback",
            "https://app.example.com\\@evil.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "HTTPS://app.example.com/",
            "http://localhost.evil.example/",
            "http://localhost@evil.example/",
        ] {
            assert!(check_redirect(bad).is_err(), "{bad}");
        }
    }
}
