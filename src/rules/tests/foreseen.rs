use serde_json::{Value as Json, json};

use super::{super::*, ID, rule};

/// A visitor, somebody with a role, and somebody of whom only the role is known.
#[test]
fn what_can_hold_is_told_by_the_token_alone() {
    let can = |text: &str, auth: &Json, claims| {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let facts = Facts {
            auth,
            input: None,
            now,
        };
        rule(text).can_hold(&facts, claims)
    };
    let (visitor, user) = (json!({}), json!({"sub": ID, "roles": ["user"]}));
    for (text, of_visitor, of_user, of_some_user) in [
        ("true", true, true, true),
        ("false", false, false, false),
        ("record.owner == auth.sub", false, true, true),
        ("!(record.owner == auth.sub)", false, true, true),
        ("'staff' in auth.roles", false, false, false),
        ("!('staff' in auth.roles)", false, true, true),
        ("record.paid || 'staff' in auth.roles", true, true, true),
        ("record.paid && 'staff' in auth.roles", false, false, false),
        ("auth.sub != null && input.paid", false, true, true),
        ("auth.sub == null && input.paid", true, false, false),
        ("input.paid", true, true, true),
        ("!input.paid", true, true, true),
        ("auth.plan == 'pro'", false, false, true),
        ("auth.plan == 'pro' && record.paid", false, false, true),
        ("auth.plan == null", true, true, true),
        ("auth.sub in record.tags", false, true, true),
        (
            "record.tags.exists(tag, tag == auth.sub)",
            false,
            true,
            true,
        ),
        (
            "record.items.exists(item, item.name in auth.roles)",
            false,
            true,
            true,
        ),
        (
            "auth.roles.exists(role, role == record.title)",
            false,
            true,
            true,
        ),
        // The time of the request is not yet known, nor is it when whoever generates a client will use it.
        ("now < timestamp('2025-01-01T00:00:00Z')", true, true, true),
        ("record.due < now", true, true, true),
    ] {
        assert_eq!(can(text, &visitor, Claims::All), of_visitor, "{text}");
        assert_eq!(can(text, &user, Claims::All), of_user, "{text}");
        assert_eq!(can(text, &user, Claims::Some), of_some_user, "{text}");
    }
}
