//! What of a collection somebody may use.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use crate::{
    collections::{Asker, Collection, Permission},
    rules::Claims,
    scope::{Authority, Named, RecordsRead, RecordsWrite},
};

/// Who looks at the document.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// What their token says.
    pub asker: Asker,
    /// How well that is known.
    pub claims: Claims,
    /// What their token may do; `None` for visitors.
    pub authority: Option<Authority>,
}

/// What can be done with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Verb {
    List,
    Create,
    Read,
    Replace,
    Update,
    Delete,
}

impl Verb {
    pub const ALL: [Self; 6] = [
        Self::List,
        Self::Create,
        Self::Read,
        Self::Replace,
        Self::Update,
        Self::Delete,
    ];

    /// As the id of an operation begins.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Read => "read",
            Self::Replace => "replace",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The scope that a token needs for it.
    fn scope(self) -> &'static str {
        match self {
            Self::List | Self::Read => RecordsRead::NAME,
            Self::Create | Self::Replace | Self::Update | Self::Delete => RecordsWrite::NAME,
        }
    }
}

/// What somebody may do with the records of a collection, as far as their token tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct View(BTreeSet<Verb>);

impl View {
    /// What is left of a collection by its rules and the scopes of the token.
    pub fn of(viewer: &Viewer, collection: &Collection) -> Self {
        let rules = &collection.rules;
        let can = |permission: &Permission| permission.can_allow(&viewer.asker, viewer.claims);
        // What can't be seen can't be changed.
        let changes = can(&rules.read) && can(&rules.update);
        let may = |verb| match verb {
            Verb::List => can(&rules.list),
            Verb::Create => can(&rules.create),
            Verb::Read => can(&rules.read),
            // Under a new id it makes a record.
            Verb::Replace => changes || can(&rules.create),
            Verb::Update => changes,
            Verb::Delete => can(&rules.read) && can(&rules.delete),
        };
        let reaches = |verb: &Verb| {
            let authority = viewer.authority.as_ref();
            authority.is_none_or(|authority| authority.may(verb.scope()))
        };
        let verbs = Verb::ALL.into_iter().filter(reaches);
        Self(verbs.filter(|verb| may(*verb)).collect())
    }

    pub fn has(&self, verb: Verb) -> bool {
        self.0.contains(&verb)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Viewer {
    /// Somebody without a token.
    pub fn visitor() -> Self {
        Self {
            asker: Asker {
                auth: Arc::new(json!({})),
                is_administrator: false,
                now: chrono::DateTime::UNIX_EPOCH,
            },
            claims: Claims::All,
            authority: None,
        }
    }

    /// Somebody whose token says this and perhaps more.
    pub fn of(auth: Arc<serde_json::Value>, claims: Claims, authority: Authority) -> Self {
        Self {
            asker: Asker {
                auth,
                is_administrator: authority.is_administrator(),
                ..Self::visitor().asker
            },
            claims,
            authority: Some(authority),
        }
    }

    /// Somebody with a role, of whom nothing else is known.
    pub fn with_role(role: &str, authority: Authority) -> Self {
        let roles = BTreeSet::from([crate::roles::EVERYONE, role]);
        let auth = json!({
            "sub": uuid::Uuid::nil(),
            "scope": authority.scopes().to_string(),
            "roles": roles,
        });
        Self::of(Arc::new(auth), Claims::Some, authority)
    }
}
