//! What an expression may name, and what is known of it.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// What is known of a value before it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A truth value.
    Boolean,
    /// A number, of any size.
    Number,
    /// Text.
    String,
    /// Text in the form of a UUID; it compares with text.
    Uuid,
    /// A moment: in a document, text in the canonical form of [`canonical`](super::canonical).
    Timestamp,
    /// A list of values of one kind.
    List(Box<Kind>),
    /// An object.
    Object(Members),
    /// Whatever JSON can hold; its type shows when it is read.
    Any,
}

/// The members that an object is known to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Shared, since every path through it takes a copy.
    known: Arc<BTreeMap<String, Kind>>,
    open: bool,
}

impl Members {
    /// Has these members and no others.
    pub fn closed<N: Into<String>>(known: impl IntoIterator<Item = (N, Kind)>) -> Self {
        let known = known
            .into_iter()
            .map(|(name, kind)| (name.into(), kind))
            .collect();
        Self {
            known: Arc::new(known),
            open: false,
        }
    }

    /// Has these members and perhaps others, of which nothing is known.
    pub fn open<N: Into<String>>(known: impl IntoIterator<Item = (N, Kind)>) -> Self {
        Self {
            open: true,
            ..Self::closed(known)
        }
    }

    /// What is known of a member; none where there can't be one of this name.
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.known.get(name).or(self.open.then_some(&Kind::Any))
    }

    /// The members that are known, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Whether there are no others than those that are known.
    pub fn is_closed(&self) -> bool {
        !self.open
    }

    /// The same but for some of those that are known.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        if !names.is_empty() {
            Arc::make_mut(&mut self.known).retain(|name, _| !names.contains(&name.as_str()));
        }
        self
    }

    pub(super) fn declares(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }
}

impl Kind {
    /// Whether a value of this kind can ever be compared with one of the other.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::String | Self::Uuid, Self::String | Self::Uuid)
            | (Self::Object(_), Self::Object(_)) => true,
            (Self::List(one), Self::List(other)) => one.meets(other),
            (one, other) => one == other,
        }
    }

    /// Whether `<` and its like make sense.
    pub(super) fn has_order(&self) -> bool {
        !matches!(self, Self::Boolean | Self::List(_) | Self::Object(_))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Boolean => "a truth value",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Uuid => "a UUID",
            Self::Timestamp => "a timestamp",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Any => "a value",
        })
    }
}

/// The members beside the document that every record has.
pub(super) const BOOKKEEPING: [(&str, Kind); 5] = [
    ("id", Kind::Uuid),
    ("owner", Kind::Uuid),
    ("version", Kind::Number),
    ("created_at", Kind::Timestamp),
    ("updated_at", Kind::Timestamp),
];

/// The names that an expression may begin with.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    pub(super) auth: Option<Members>,
    pub(super) record: Option<Members>,
    pub(super) input: Option<Members>,
    /// Whether the members of the record are named without `record.` before them.
    pub(super) direct: bool,
}

impl Vocabulary {
    /// Lets a rule name the token's claims, as `auth`, and `now`.
    pub fn of_rule(claims: Members) -> Self {
        Self {
            auth: Some(claims),
            record: None,
            input: None,
            direct: false,
        }
    }

    /// Lets a rule name the stored record too, as `record`: these members of its document, and the bookkeeping.
    #[must_use]
    pub fn with_record(mut self, document: Members) -> Self {
        self.record = Some(with_bookkeeping(document));
        self
    }

    /// Lets a rule name the document that is to be stored too, as `input`.
    #[must_use]
    pub fn with_input(mut self, document: Members) -> Self {
        self.input = Some(document);
        self
    }

    /// Lets a filter name the members of a record directly, and `now`.
    ///
    /// What the caller may not see has to be left out of a closed `document`: then a filter on it is a mistake like one
    /// on a member that doesn't exist.
    pub fn of_filter(document: Members) -> Self {
        Self {
            auth: None,
            record: Some(with_bookkeeping(document)),
            input: None,
            direct: true,
        }
    }

    /// What an expression can begin with, for a message.
    pub(super) fn roots(&self) -> String {
        let members = self.record.iter().filter(|_| self.direct);
        let mut roots: Vec<_> = members.flat_map(Members::names).collect();
        roots.extend(self.auth.is_some().then_some("auth"));
        roots.extend((self.record.is_some() && !self.direct).then_some("record"));
        roots.extend(self.input.is_some().then_some("input"));
        roots.push("now");
        enumerate(&roots)
    }
}

fn with_bookkeeping(mut document: Members) -> Members {
    let names = BOOKKEEPING.map(|(name, kind)| (name.to_owned(), kind));
    Arc::make_mut(&mut document.known).extend(names);
    document
}

/// Writes names into a message, and not hundreds of them.
pub(super) fn enumerate(names: &[&str]) -> String {
    const ENOUGH: usize = 12;
    let shown: Vec<_> = names
        .iter()
        .take(ENOUGH)
        .map(|name| format!("`{name}`"))
        .collect();
    let rest = if names.len() > ENOUGH { ", …" } else { "" };
    format!("{}{rest}", shown.join(", "))
}
