//! Devices in words.

use super::{Language, words};

/// Apps by what tells them in a `User-Agent`; browsers that claim to be another one too come first.
const APPS: [(&str, &str); 13] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Whale/", "Whale"),
    ("KAKAOTALK", "KakaoTalk"),
    ("NAVER(", "NAVER"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("okhttp/", "okhttp"),
];

/// Systems by what tells them in a `User-Agent`; Android claims to be Linux too.
const SYSTEMS: [(&str, &str); 8] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// Characters of a `User-Agent` that is shown as it is.
const SHOWN: usize = 80;

/// Names the app and system of a `User-Agent`, as `Firefox on Linux`; one that tells neither is shown, cut short.
pub fn device_words(user_agent: Option<&str>, language: Language) -> String {
    let agent = user_agent.unwrap_or_default();
    let known = |list: &[(&str, &'static str)]| {
        list.iter()
            .find(|(mark, _)| agent.contains(mark))
            .map(|(_, name)| *name)
    };
    match (known(&APPS), known(&SYSTEMS)) {
        (Some(app), Some(system)) => words::app_on_system(app, system, language),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) if agent.is_empty() => words::UNKNOWN_DEVICE.to(language).to_owned(),
        (None, None) => agent.chars().take(SHOWN).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_by_app_and_system() {
        let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36";
        let edge = format!("{chrome} Edg/147.0.0.0");
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1";
        let words = |agent| device_words(Some(agent), Language::En);
        assert_eq!(words(chrome), "Chrome on Windows");
        assert_eq!(words(&edge), "Edge on Windows");
        assert_eq!(words(iphone), "Safari on iPhone");
        assert_eq!(words("curl/8.5.0"), "curl");
        assert_eq!(words("acme-cli/1.2"), "acme-cli/1.2");
        assert_eq!(device_words(None, Language::En), "Unknown device");
        assert_eq!(device_words(Some(chrome), Language::Ko), "Windows의 Chrome");
        assert_eq!(words(&"x".repeat(500)).len(), SHOWN);
    }
}
