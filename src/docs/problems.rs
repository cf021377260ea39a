//! The pages that explain errors.

use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Code;

/// What a problem means and how to mend it.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "code": "email-taken",
    "status": 409,
    "title": "The address has an account already",
    "cure": "Sign in, or use another address.",
}))]
pub struct Explanation {
    /// The last segment of the problem's `type`.
    pub code: &'static str,
    /// The HTTP status that it comes with.
    pub status: u16,
    /// One short phrase.
    pub title: &'static str,
    /// What it means and how to mend it.
    pub cure: &'static str,
}

/// Finds the explanation of a problem.
pub fn explain(code: &str) -> Option<Explanation> {
    let entry = Code::ALL
        .iter()
        .map(|code| code.entry())
        .find(|entry| entry.slug == code)?;
    Some(Explanation {
        code: entry.slug,
        status: entry.status,
        title: entry.title,
        cure: entry.cure,
    })
}
