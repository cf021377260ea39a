//! The files that the pages load from us, named by their contents, so that they may be cached for ever.

use std::sync::LazyLock;

/// A file that never changes under its path.
#[derive(Debug)]
pub struct Asset {
    /// Where it is served, from the root of the origin.
    pub path: String,
    /// Its media type.
    pub media_type: &'static str,
    /// What it holds.
    pub body: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, media_type: &'static str, body: &'static str) -> Self {
        let hash = fingerprint(body);
        Self {
            path: format!("/oauth/assets/{name}-{hash:016x}.{extension}"),
            media_type,
            body,
        }
    }
}

/// The style sheet of every page.
pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_str!("../assets/style.css");
    Asset::new("style", "css", "text/css; charset=utf-8", body)
});

/// The script of the page [`FormPost`](super::FormPost), which submits its form.
pub static FORM_POST: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_str!("../assets/form-post.js");
    Asset::new("form-post", "js", "text/javascript; charset=utf-8", body)
});

/// The icon in the browser's tab.
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_str!("../assets/icon.svg");
    Asset::new("icon", "svg", "image/svg+xml", body)
});

/// Finds the file that is served at `path`.
pub fn find(path: &str) -> Option<&'static Asset> {
    [&STYLE, &FORM_POST, &ICON]
        .into_iter()
        .map(|asset| &**asset)
        .find(|asset| asset.path == path)
}

/// FNV-1a with 64 bits: tells versions of our own files apart, protects nothing.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_fnv_1a() {
        assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_asset_is_found_at_its_path() {
        for asset in [&STYLE, &FORM_POST, &ICON] {
            assert_eq!(find(&asset.path).unwrap().body, asset.body);
        }
        assert!(find("/oauth/assets/style.css").is_none());
    }
}
