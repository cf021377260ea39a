//! The statement of a page: what a rule and a filter leave, in an order, from a place on.

use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    order::{Order, Place},
    row::RecordRow,
    selection::Selection,
};
use crate::{
    collections::{Collection, Term, table_name},
    error::ApiError,
};

/// Bytes of records after which a page ends.
pub(super) const MOST_BYTES: u32 = 4_194_304;

/// The records of a page whose size nobody has asked for.
const KEPT_ROWS: i64 = 50;

/// Where the records of a page are: those that lack the first term come last, and are sought for themselves, since no index
/// finds both at once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// From the beginning, those that lack it too.
    Beginning,
    /// Those after a place.
    After(&'a Place),
    /// All those that lack the first term.
    Lacking,
}

/// What a page is to hold.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub collection: &'a Collection,
    pub selection: &'a Selection,
    pub order: &'a Order,
    pub part: Part<'a>,
    /// So many at most; fewer where they are large.
    pub rows: i64,
}

/// A row of the statement, by its columns' places: a record; or, without an id, what is told of all: the collection's generation in the place of
/// a version, and the feed's position in that of a document, since every column costs something in every row.
#[derive(Queryable)]
struct Row {
    id: Option<Uuid>,
    owner: Option<Uuid>,
    version: Option<i64>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
    data: Option<String>,
}

impl Row {
    /// Whether there is a record whose document was left out.
    fn is_cut(&self) -> bool {
        self.id.is_some() && self.data.is_none()
    }

    fn record(self) -> Option<RecordRow> {
        Some(RecordRow {
            id: self.id?,
            owner: self.owner,
            version: self.version?,
            created_at: self.created_at?,
            updated_at: self.updated_at?,
            data: self.data?,
        })
    }
}

/// What was found of a page.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub records: Vec<RecordRow>,
    /// Whether there are more.
    pub goes_on: bool,
    /// Where the feed of changes goes on from it.
    pub feed_position: String,
}

impl Found {
    /// After what the rest of the list begins, if there is one.
    ///
    /// # Errors
    /// 500 for a damaged record.
    pub fn end(&self, order: &Order) -> Result<Option<Place>, ApiError> {
        let last = self.records.last().filter(|_last| self.goes_on);
        last.map(|last| order.place(last)).transpose()
    }
}

/// Reads the records of a page; `None` where the collection is declared otherwise by now.
pub(super) fn list(conn: &mut PgConnection, window: Window<'_>) -> QueryResult<Option<Found>> {
    let is_measured = false;
    let mut rows: Vec<Row> = Statement {
        window,
        is_measured,
    }
    .load(conn)?;
    if rows.iter().any(Row::is_cut) {
        // Only then, since adding up what precedes each record is a fifth of the work.
        let is_measured = true;
        rows = Statement {
            window,
            is_measured,
        }
        .load(conn)?;
    }
    let mut found = Found {
        records: Vec::with_capacity(rows.len()),
        ..Found::default()
    };
    let mut generation = None;
    for row in rows {
        if row.id.is_none() {
            generation = row.version;
            found.feed_position = row.data.unwrap_or_default();
        } else {
            found.goes_on |= row.is_cut();
            found.records.extend(row.record());
        }
    }
    if generation != Some(window.collection.generation) {
        return Ok(None);
    }
    let most = usize::try_from(window.rows).unwrap_or(usize::MAX);
    found.goes_on |= found.records.len() > most;
    found.records.truncate(most);
    Ok(Some(found))
}

struct Statement<'a> {
    window: Window<'a>,
    /// Whether the page ends where its bytes do; otherwise every record has a share of them.
    is_measured: bool,
}

impl QueryId for Statement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = (
        Nullable<SqlUuid>,
        Nullable<SqlUuid>,
        Nullable<BigInt>,
        Nullable<Timestamptz>,
        Nullable<Timestamptz>,
        Nullable<Text>,
    );
}

impl RunQueryDsl<PgConnection> for Statement<'_> {}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Self {
            window,
            is_measured,
        } = self;
        // Of one member there are few orders; of several, or with every limit, more than plans should be kept for.
        if window.order.terms.len() > 1 || window.rows != KEPT_ROWS || *is_measured {
            out.unsafe_to_cache_prepared();
        }
        // What is told of all is in a row of its own: no row of fifty has to repeat it. What has a position by then is in the list;
        // what gets one later may be there already, too.
        out.push_sql(
            "select null::uuid, null::uuid, (select generation from collections where name = ",
        );
        out.push_bind_param::<Text, _>(&window.collection.name)?;
        out.push_sql(
            "), null::timestamptz, null::timestamptz, epoch || '/' || position from feed_state union all (",
        );
        // Rows beyond the bytes of a page have no data.
        let has_data = if *is_measured {
            format!("total - size < {MOST_BYTES}")
        } else {
            format!("size <= {}", i64::from(MOST_BYTES) / window.rows.max(1))
        };
        out.push_sql(&format!(
            "select id, owner, version, created_at, updated_at, case when {has_data} then data::text end from "
        ));
        if *is_measured {
            out.push_sql("(select record.*, sum(size) over (");
            window.order_by(&mut out);
            out.push_sql(" rows unbounded preceding) as total from ");
        }
        out.push_sql(&table_name(window.collection.serial));
        out.push_sql(" as record where ");
        window.selection.put(out.reborrow())?;
        window.from(out.reborrow())?;
        window.order_by(&mut out);
        // One more, which tells whether there are more. No bind: a plan for any number of rows would be one for a tenth of the table.
        out.push_sql(&format!(" limit {})", window.rows + 1));
        if *is_measured {
            out.push_sql(" as record)");
        }
        Ok(())
    }
}

impl Window<'_> {
    fn order_by(&self, out: &mut AstPass<'_, '_, Pg>) {
        out.push_sql(" order by ");
        for term in &self.order.terms {
            out.push_sql(&term.order());
            out.push_sql(", ");
        }
        out.push_sql("record.id");
        out.push_sql(if self.order.ids_descend() {
            " desc"
        } else {
            " asc"
        });
    }

    /// Where the page begins.
    fn from<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let place = match self.part {
            Part::Beginning => return Ok(()),
            Part::Lacking => {
                if let Some(first) = self.order.terms.first() {
                    out.push_sql(" and ");
                    out.push_sql(&first.accessor);
                    out.push_sql(" is null");
                }
                return Ok(());
            }
            Part::After(place) => place,
        };
        out.push_sql(" and ");
        match (self.order.terms.as_slice(), place.keys.as_slice()) {
            // One comparison of rows, which an index on both answers; it is true of no record that lacks the term.
            ([only], [key @ Some(_)]) => {
                out.push_sql("(");
                out.push_sql(&only.accessor);
                out.push_sql(", record.id) ");
                out.push_sql(if only.descends { "< (" } else { "> (" });
                bind(only, key, out.reborrow())?;
                out.push_sql(", ");
                out.push_bind_param::<SqlUuid, _>(&place.id)?;
                out.push_sql(")");
                Ok(())
            }
            ([first, ..], [key @ Some(_), ..]) => {
                // What an index can begin at.
                out.push_sql(&first.accessor);
                out.push_sql(if first.descends { " <= " } else { " >= " });
                bind(first, key, out.reborrow())?;
                out.push_sql(" and ");
                self.after(&self.order.terms, &place.keys, place, out)
            }
            (terms, keys) => self.after(terms, keys, place, out),
        }
    }

    /// That a record comes after a place, by these terms and then by id.
    fn after<'b>(
        &'b self,
        terms: &'b [Term],
        keys: &'b [Option<String>],
        place: &'b Place,
        mut out: AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        let (Some((term, terms)), Some((key, keys))) = (terms.split_first(), keys.split_first())
        else {
            out.push_sql(if self.order.ids_descend() {
                "record.id < "
            } else {
                "record.id > "
            });
            return out.push_bind_param::<SqlUuid, _>(&place.id);
        };
        out.push_sql("(");
        if key.is_some() {
            out.push_sql(&term.accessor);
            out.push_sql(if term.descends { " < " } else { " > " });
            bind(term, key, out.reborrow())?;
            out.push_sql(" or ");
            out.push_sql(&term.accessor);
            out.push_sql(" is null or ");
            out.push_sql(&term.accessor);
            out.push_sql(" = ");
            bind(term, key, out.reborrow())?;
        } else {
            out.push_sql(&term.accessor);
            out.push_sql(" is null");
        }
        out.push_sql(" and ");
        self.after(terms, keys, place, out.reborrow())?;
        out.push_sql(")");
        Ok(())
    }
}

/// Binds what a record has of a term.
fn bind<'b>(
    term: &'b Term,
    key: &'b Option<String>,
    mut out: AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    // As the value of a query, whose share of the records Postgres guesses once: it would plan anew for every place.
    out.push_sql("(select ");
    out.push_bind_param::<Nullable<Text>, _>(key)?;
    out.push_sql("::");
    out.push_sql(term.sql_type);
    out.push_sql(")");
    Ok(())
}
