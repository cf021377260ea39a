//! Which records of a collection are meant: those that a rule shows, less what a filter or a search leaves out.

use diesel::{pg::Pg, prelude::*, query_builder::AstPass, sql_types::Text};

use super::{
    list::{self, refused},
    store::put,
};
use crate::{
    collections::{Asker, Collection, RECORD},
    error::ApiError,
    rules::{Predicate, Rule},
};

/// Bytes of a search.
const LONGEST_SEARCH: usize = 1_000;

/// Which records of a collection are meant.
pub(super) struct Selection {
    rule: Predicate,
    filter: Option<(Rule, Predicate)>,
    search: Option<Search>,
}

/// Words that are sought, and where.
struct Search {
    words: String,
    document: String,
}

impl Selection {
    /// Those that the caller may list and that a filter and a search leave, as far as there are any.
    ///
    /// # Errors
    /// 400 for a filter that is not understood or names what the caller may not see, and for a search where nothing is searched.
    pub fn of(
        collection: &Collection,
        asker: &Asker,
        filter: Option<&str>,
        search: Option<&str>,
    ) -> Result<Self, ApiError> {
        let filter = list::filter(filter, collection, asker)?.map(|rule| {
            let predicate = rule.predicate(&asker.facts(None), RECORD);
            (rule, predicate)
        });
        let search = search.map(|words| {
            let document = collection.searched().ok_or_else(|| {
                let detail = "no member of this collection is marked `x-search`";
                refused("/search", "search", detail)
            })?;
            if words.len() > LONGEST_SEARCH {
                let detail = format!("at most {LONGEST_SEARCH} bytes");
                return Err(refused("/search", "maxLength", &detail));
            }
            let words = words.to_owned();
            Ok(Search { words, document })
        });
        Ok(Self {
            rule: collection.rules.list.predicate(asker, None),
            filter,
            search: search.transpose()?,
        })
    }

    /// Every record, whatever the rules say: the operator's.
    pub fn everything() -> Self {
        Self {
            rule: Predicate::True,
            filter: None,
            search: None,
        }
    }

    /// The filter.
    pub fn filter(&self) -> Option<&Rule> {
        self.filter.as_ref().map(|(rule, _)| rule)
    }

    /// Whether the rule shows every record.
    pub fn shows_all(&self) -> bool {
        matches!(self.rule, Predicate::True)
    }

    /// Whether words are sought, for which there is an index.
    pub fn is_search(&self) -> bool {
        self.search.is_some()
    }

    /// Writes what has to hold of a record.
    pub fn put<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        put(&self.rule, out.reborrow())?;
        out.push_sql(")");
        if let Some((_, filter)) = &self.filter {
            out.push_sql(" and (");
            put(filter, out.reborrow())?;
            out.push_sql(")");
        }
        if let Some(search) = &self.search {
            out.push_sql(" and ");
            out.push_sql(&search.document);
            out.push_sql(" @@ websearch_to_tsquery('simple', ");
            out.push_bind_param::<Text, _>(&search.words)?;
            out.push_sql(")");
        }
        Ok(())
    }
}
