//! What the pages say, each text in every language side by side: one that lacks a language does not compile.

mod account;
mod failures;
mod scopes;
mod sign_in;

pub(super) use account::*;
pub(super) use failures::*;
pub(super) use scopes::scope;
pub(super) use sign_in::*;

use super::Language;

/// A text in every language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    en: &'static str,
    ko: &'static str,
}

impl Text {
    /// The text in one language.
    pub(super) const fn to(self, language: Language) -> &'static str {
        match language {
            Language::En => self.en,
            Language::Ko => self.ko,
        }
    }
}

const fn text(en: &'static str, ko: &'static str) -> Text {
    Text { en, ko }
}

/// A text around one value, in every language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    before: Text,
    after: Text,
}

impl Around {
    /// What stands before and after the value in one language.
    pub(super) const fn to(self, language: Language) -> (&'static str, &'static str) {
        (self.before.to(language), self.after.to(language))
    }
}

const fn around(en: (&'static str, &'static str), ko: (&'static str, &'static str)) -> Around {
    Around {
        before: text(en.0, ko.0),
        after: text(en.1, ko.1),
    }
}

/// How long to wait, in words.
pub(super) fn wait(seconds: u64, language: Language) -> String {
    let (count, minutes) = if seconds > 90 {
        (seconds.div_ceil(60), true)
    } else {
        (seconds.max(1), false)
    };
    match (language, minutes, count) {
        (Language::En, false, 1) => "1 second".to_owned(),
        (Language::En, false, _) => format!("{count} seconds"),
        (Language::En, true, _) => format!("{count} minutes"),
        (Language::Ko, false, _) => format!("{count}초"),
        (Language::Ko, true, _) => format!("{count}분"),
    }
}

/// Tells to wait.
pub(super) fn too_many_tries(seconds: u64, language: Language) -> String {
    let wait = wait(seconds, language);
    match language {
        Language::En => format!("Too many tries. Wait {wait}, then try again."),
        Language::Ko => format!("시도 횟수가 너무 많습니다. {wait} 후에 다시 시도해 주세요."),
    }
}

/// An app on a system, as `Firefox on Linux`.
pub(super) fn app_on_system(app: &str, system: &str, language: Language) -> String {
    match language {
        Language::En => format!("{app} on {system}"),
        Language::Ko => format!("{system}의 {app}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_in_the_plural_where_there_is_one() {
        assert_eq!(wait(0, Language::En), "1 second");
        assert_eq!(wait(90, Language::En), "90 seconds");
        assert_eq!(wait(91, Language::En), "2 minutes");
        assert_eq!(wait(3600, Language::Ko), "60분");
    }
}
