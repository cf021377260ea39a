//! The languages of the pages, and which one a visitor gets.

/// A language that the pages speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, for whoever asks for nothing that we speak.
    #[default]
    En,
    /// Korean.
    Ko,
}

impl Language {
    /// Every language, in the order of a menu.
    pub const ALL: [Self; 2] = [Self::En, Self::Ko];

    /// Picks by `ui_locales` (OIDC Core section 3.1.2.1, best first), then by `Accept-Language` (RFC 9110 section 12.5.4).
    pub fn negotiate(ui_locales: Option<&str>, accept_language: Option<&str>) -> Self {
        let asked = ui_locales.unwrap_or_default();
        asked
            .split_ascii_whitespace()
            .find_map(Self::of_tag)
            .or_else(|| Self::accepted(accept_language.unwrap_or_default()))
            .unwrap_or_default()
    }

    /// The language of a tag (BCP 47), by its first part.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }

    /// The tag (BCP 47), as in `lang`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ko => "ko",
        }
    }

    /// What its speakers call it.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Ko => "한국어",
        }
    }

    fn accepted(header: &str) -> Option<Self> {
        let mut best = None;
        for range in header.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let Some(language) = parts.next().and_then(Self::of_tag) else {
                continue;
            };
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.map_or(Some(1.0), |text| text.parse::<f32>().ok());
            let Some(weight) = weight.filter(|weight| *weight > 0.0) else {
                continue;
            };
            if best.is_none_or(|(_, highest)| weight > highest) {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }
}

#[cfg(test)]
mod tests {
    use super::Language::{self, En, Ko};

    #[test]
    fn ui_locales_rule_over_the_browser() {
        assert_eq!(Language::negotiate(Some("fr ko-KR en"), Some("en")), Ko);
        assert_eq!(Language::negotiate(Some("EN_us ko"), Some("ko")), En);
        assert_eq!(Language::negotiate(Some("fr de"), Some("ko")), Ko);
    }

    #[test]
    fn the_browser_is_heard_by_weight() {
        for (header, expected) in [
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", Ko),
            ("en;q=0.5, ko;q=0.8", Ko),
            ("fr, en;q=0.3, ko;q=0.3", En),
            ("ko;q=0, en;q=0.1", En),
            ("ko;q=0", En),
            ("ko;q=NaN", En),
            ("ko ; q=0.4", Ko),
            ("kok, *", En),
            (";;,,=q", En),
            ("", En),
        ] {
            assert_eq!(
                Language::negotiate(None, Some(header)),
                expected,
                "{header}"
            );
        }
    }

    #[test]
    fn nobody_asks_for_nothing() {
        assert_eq!(Language::negotiate(None, None), En);
        assert_eq!(Language::negotiate(Some(""), Some("")), En);
    }
}
