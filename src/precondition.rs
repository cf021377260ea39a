//! What a client has seen of a resource, and whether that still holds (RFC 9110 section 13).

use crate::error::{ApiError, Code};

/// The entity tags of one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: any state, as long as there is one.
    Any,
    /// The versions that strong tags of ours name; a tag that is none of ours names none.
    Versions(Vec<i64>),
}

impl Tags {
    fn match_version(&self, current: Option<i64>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Versions(versions), Some(current)) => versions.contains(&current),
        }
    }
}

/// The version that an entity tag of ours names: `3` in `"3"`, and in `"3.…"`, another form of the same state.
pub fn version_of(tag: &str) -> Option<i64> {
    let digits = tag.split('.').next().unwrap_or_default();
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Under which condition a write goes through.
#[derive(Clone, Debug, Default)]
pub struct Precondition {
    /// `If-Match`: only when the current state is one of these.
    pub if_match: Option<Tags>,
    /// `If-None-Match`: only when it is none of these.
    pub if_none_match: Option<Tags>,
}

impl Precondition {
    /// Compares with the current version, which the caller holds; `None` when there is nothing yet.
    ///
    /// # Errors
    /// 412 that names the current version.
    pub fn check(&self, current: Option<i64>) -> Result<(), ApiError> {
        let fits = |tags: &Tags| tags.match_version(current);
        let holds = self.if_match.as_ref().is_none_or(fits)
            && !self.if_none_match.as_ref().is_some_and(fits);
        if holds {
            return Ok(());
        }
        let Some(version) = current else {
            return Err(ApiError::new(
                Code::PreconditionFailed,
                "There is nothing here that `If-Match` could match",
            ));
        };
        let detail = format!("The current version is {version}");
        let mut error = ApiError::new(Code::PreconditionFailed, detail)
            .header("etag", format!("\"{version}\""));
        error.current_version = Some(version);
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_part_of_a_tag_counts() {
        for (tag, version) in [
            ("7", Some(7)),
            ("7.abc", Some(7)),
            ("7.abc.gzip", Some(7)),
            ("", None),
            ("x7", None),
            ("-7", None),
            ("+7", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(version_of(tag), version, "{tag}");
        }
    }

    #[test]
    fn a_condition_holds_or_is_a_412() {
        let versions = |list: &[i64]| Some(Tags::Versions(list.to_vec()));
        for (if_match, if_none_match, current, holds) in [
            (None, None, None, true),
            (versions(&[2, 3]), None, Some(3), true),
            (versions(&[2]), None, Some(3), false),
            (versions(&[]), None, Some(3), false),
            (Some(Tags::Any), None, Some(3), true),
            (Some(Tags::Any), None, None, false),
            (None, Some(Tags::Any), None, true),
            (None, Some(Tags::Any), Some(3), false),
            (None, versions(&[2]), Some(3), true),
            (versions(&[3]), versions(&[3]), Some(3), false),
        ] {
            let condition = Precondition {
                if_match,
                if_none_match,
            };
            assert_eq!(
                condition.check(current).is_ok(),
                holds,
                "{condition:?} {current:?}"
            );
        }
    }
}
