//! The indexes that collections declare: at once where there are no records yet, else by a job beside all writers.

use diesel::PgConnection;

use super::{CollectionRow, Declaration, Term, extensions::Extensions, index_store, schema};
use crate::{
    error::{ApiError, FieldError},
    rules::{self, Kind},
};

/// Indexes of one collection.
const MOST_INDEXES: usize = 16;

/// Members of one index.
const MOST: usize = 4;

/// Characters of all texts of one index: Postgres takes 2,704 bytes, and a character may have four.
pub(super) const LONGEST_TEXTS: u64 = 600;

/// How an index works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// By the order of its members.
    Order,
    /// The same, and no two records have the same value.
    Unique,
    /// By the words in its members.
    Search,
}

impl Method {
    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Unique => "unique",
            Self::Search => "search",
        }
    }
}

/// An index as it is declared.
#[derive(Clone, Debug)]
pub(super) struct Index {
    /// As it was written.
    pub members: Vec<String>,
    /// Its members.
    pub terms: Vec<Term>,
    /// How it works.
    pub method: Method,
}

impl Index {
    fn of_unique(term: &Term) -> Self {
        Self {
            members: vec![term.name()],
            terms: vec![term.clone()],
            method: Method::Unique,
        }
    }

    fn of_searched(names: &[String]) -> Self {
        Self {
            members: names.to_vec(),
            terms: Vec::new(),
            method: Method::Search,
        }
    }

    /// Whether it finds records in an order, where each has one value of every member in `equal`.
    pub fn serves(&self, order: &[Term], equal: &[Vec<String>]) -> bool {
        if self.method != Method::Order {
            return false;
        }
        let mut left = order;
        for term in &self.terms {
            match left.split_first() {
                None => return true,
                Some((next, rest)) if next == term => left = rest,
                Some(_) if left.len() == order.len() && equal.contains(&term.path) => {}
                Some(_) => return false,
            }
        }
        left.is_empty()
    }

    /// What Postgres indexes; of those by order at last the id, as lists are ordered.
    pub fn definition(&self) -> String {
        match self.method {
            Method::Order => {}
            Method::Unique => {
                let accessors = self.terms.iter().map(|term| term.accessor.as_str());
                return accessors.collect::<Vec<_>>().join(", ");
            }
            Method::Search => return words_of(&self.members),
        }
        let mut parts: Vec<_> = self.terms.iter().map(Term::order).collect();
        let descends = self.terms.last().is_some_and(|term| term.descends);
        parts.push(format!("id {}", if descends { "desc" } else { "asc" }));
        parts.join(", ")
    }
}

/// Characters of a record that are searched: Postgres takes a megabyte of words.
const MOST_SEARCHED: u32 = 200_000;

/// The words of some members, in SQL.
pub(super) fn words_of(names: &[String]) -> String {
    let texts = names.iter().filter_map(|name| {
        let accessor = rules::accessor(std::slice::from_ref(name), &Kind::String)?;
        Some(format!("coalesce({accessor}, '')"))
    });
    let texts = texts.collect::<Vec<_>>().join(" || ' ' || ");
    format!("to_tsvector('simple', left({texts}, {MOST_SEARCHED}))")
}

/// Every index that a declaration needs: those that it lists, and those of unique and of searched members.
///
/// # Errors
/// 422 that points at what can't be indexed.
pub(super) fn of(
    declaration: &Declaration,
    extensions: &Extensions,
) -> Result<Vec<Index>, ApiError> {
    let mut indexes = parse(declaration)?;
    indexes.extend(extensions.unique.iter().map(Index::of_unique));
    if !extensions.searched.is_empty() {
        indexes.push(Index::of_searched(&extensions.searched));
    }
    Ok(indexes)
}

fn parse(declaration: &Declaration) -> Result<Vec<Index>, ApiError> {
    let known = schema::members(declaration);
    let (mut indexes, mut faults) = (Vec::new(), Vec::new());
    if declaration.indexes.len() > MOST_INDEXES {
        let detail = format!("at most {MOST_INDEXES} indexes");
        faults.push(FieldError::new("/indexes", "maxItems", detail));
    }
    for (number, members) in declaration.indexes.iter().enumerate() {
        let mut terms = Vec::new();
        for (place, word) in members.iter().enumerate() {
            match Term::parse(word, &known) {
                Ok(term) => terms.push(term),
                Err(detail) => {
                    let pointer = format!("/indexes/{number}/{place}");
                    faults.push(FieldError::new(pointer, "index", detail));
                }
            }
        }
        let texts = terms.iter().filter(|term: &&Term| term.is_text());
        let lengths = texts.map(|term| schema::longest_text(declaration, &term.path));
        let length = lengths.sum::<Option<u64>>();
        if length.is_none_or(|length| length > LONGEST_TEXTS) {
            let detail = format!(
                "texts need a `maxLength`, together at most {LONGEST_TEXTS}: longer ones can't be indexed"
            );
            let pointer = format!("/indexes/{number}");
            faults.push(FieldError::new(pointer, "maxLength", detail));
        }
        if !(1..=MOST).contains(&members.len()) {
            let detail = format!("an index has 1 to {MOST} members");
            faults.push(FieldError::new(
                format!("/indexes/{number}"),
                "index",
                detail,
            ));
        }
        indexes.push(Index {
            members: members.clone(),
            terms,
            method: Method::Order,
        });
    }
    if faults.is_empty() {
        Ok(indexes)
    } else {
        Err(ApiError::invalid(faults))
    }
}

/// Brings the indexes of a collection in line with its declaration, inside the caller's transaction.
///
/// # Errors
/// Postgres.
pub(super) fn settle(
    conn: &mut PgConnection,
    row: &CollectionRow,
    declared: &[Index],
    is_new: bool,
) -> Result<(), ApiError> {
    let wanted: Vec<_> = declared.iter().map(Index::definition).collect();
    for stored in index_store::list(conn, &row.name)? {
        if !wanted.contains(&stored.definition) {
            index_store::remove(conn, &stored)?;
        }
    }
    for (index, definition) in declared.iter().zip(&wanted) {
        let inserted = index_store::insert(conn, &row.name, index, definition, is_new)?;
        if let Some(number) = inserted.filter(|_| is_new) {
            index_store::create(conn, row.serial, number, index.method.name(), definition)?;
        }
    }
    Ok(())
}

/// Builds one index that waits for it, while everybody goes on writing; answers whether there was one. Without any, drops those
/// that no declaration has any more. Of several replicas one does so at a time. `conn` is no pooled connection, and in no
/// transaction.
///
/// # Errors
/// Postgres.
pub fn build_next(conn: &mut PgConnection) -> Result<bool, ApiError> {
    if !index_store::try_lock(conn)? {
        return Ok(false);
    }
    let built = build(conn);
    index_store::unlock(conn)?;
    built
}

fn build(conn: &mut PgConnection) -> Result<bool, ApiError> {
    let Some((serial, index)) = index_store::next_to_build(conn)? else {
        index_store::drop_orphans(conn)?;
        return Ok(false);
    };
    let built = index_store::create_concurrently(conn, serial, &index);
    // A full disk, say, or values that are there twice: whoever declared it has to know.
    let failed = built.err().map(|error| index_store::reason(&error));
    if let Some(error) = &failed {
        let collection = &index.collection;
        tracing::warn!(collection, error, "an index could not be built");
        // What is half built would still refuse what it holds twice.
        index_store::drop_one(conn, serial, index.number)?;
    }
    index_store::finish(conn, index.number, failed.as_deref())?;
    Ok(true)
}
