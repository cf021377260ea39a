//! Lists: what the rule shows and the filter leaves, page by page.

use diesel::{PgConnection, QueryResult};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    Request, Wanted, count_store, expand,
    form::{Form, Shown},
    list_store::{self, Found, Part, Window},
    order::{Order, Place},
    selection::Selection,
};
use crate::{
    collections::{Asker, Catalog, Collection, Term},
    error::{ApiError, Code, FieldError},
    rules::{Bound, Rule, Test, Vocabulary},
};

/// What a list is asked for.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// An expression that every record has to meet.
    pub filter: Option<String>,
    /// Words that every record has to hold.
    pub search: Option<String>,
    /// Members to order by.
    pub order_by: Option<String>,
    /// What of each record.
    pub wanted: Wanted,
    /// Whether to tell how many there are, on all pages.
    pub count: Option<Count>,
    /// Whether it is refused where no index serves it.
    pub demands_index: bool,
}

/// How many records a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// So many.
    Exact,
    /// About so many, as Postgres guesses without looking.
    Estimated,
}

/// Records of a page.
#[derive(Debug)]
pub struct Listing {
    /// The records.
    pub items: Vec<Shown>,
    /// After what the next page begins, if there is one.
    pub end: Option<Place>,
    /// How many the list has, if that was asked for.
    pub count: Option<i64>,
    /// What to declare, where no index serves the list.
    pub warning: Option<String>,
    /// Where the feed of changes goes on from the list.
    pub feed_position: String,
}

/// Lists the records of a page that the caller may list: those after a place, at most so many.
///
/// # Errors
/// 400 for a filter or an order that is not understood; 404 for no collection.
pub fn list(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    query: &ListQuery,
    after: Option<&Place>,
    rows: i64,
) -> Result<Listing, ApiError> {
    catalog.with(conn, &request.collection, |conn, collection| {
        let form = Form::of(collection, &request.asker, query.wanted.fields.as_deref())?;
        let references = expand::parse(query.wanted.expand.as_deref(), collection, &request.asker)?;
        let selection = Selection::of(
            collection,
            &request.asker,
            query.filter.as_deref(),
            query.search.as_deref(),
        )?;
        let order = Order::parse(query.order_by.as_deref(), collection, &request.asker)?;
        let unserved = unserved(collection, &request.asker, &selection, &order);
        if let Some((pointer, detail)) = &unserved
            && query.demands_index
        {
            return Err(refused(pointer, "index", detail));
        }
        // The collection may be declared otherwise since the page before.
        if after.is_some_and(|place| !order.fits(place)) {
            return Err(refused(
                "/cursor",
                "cursor",
                "the cursor belongs to another list",
            ));
        }
        let window = Window {
            collection,
            selection: &selection,
            order: &order,
            part: after.map_or(Part::Beginning, Part::After),
            rows,
        };
        let Some(found) = page(conn, window)? else {
            return Ok(None);
        };
        let count = match query.count {
            None => None,
            Some(count) => match count_store::count(conn, collection, &selection, count)? {
                None => return Ok(None),
                counted => counted,
            },
        };
        let end = found.end(&order)?;
        let rows: Vec<_> = found.records.iter().collect();
        let shown = rows.iter().map(|row| form.show(row));
        let shown = shown.collect::<Result<_, _>>()?;
        let items = expand::expand(conn, catalog, &request.asker, &references, &rows, shown)?;
        Ok(Some(Listing {
            items,
            end,
            count,
            feed_position: found.feed_position,
            warning: unserved.map(|(_, detail)| detail),
        }))
    })
}

/// The records of a page: after those that have the first term, those that lack it.
fn page(conn: &mut PgConnection, window: Window<'_>) -> QueryResult<Option<Found>> {
    let Some(mut found) = list_store::list(conn, window)? else {
        return Ok(None);
    };
    let has_value = |place: &Place| matches!(place.keys.first(), Some(Some(_)));
    if !found.goes_on && matches!(window.part, Part::After(place) if has_value(place)) {
        let shown = i64::try_from(found.records.len()).unwrap_or(window.rows);
        let lacking = Window {
            part: Part::Lacking,
            rows: window.rows - shown,
            ..window
        };
        let Some(rest) = list_store::list(conn, lacking)? else {
            return Ok(None);
        };
        found.records.extend(rest.records);
        found.goes_on = rest.goes_on;
    }
    Ok(Some(found))
}

/// What no index serves: the parameter, and what to declare. For lists that nobody narrows or orders the ids are enough.
fn unserved(
    collection: &Collection,
    asker: &Asker,
    selection: &Selection,
    order: &Order,
) -> Option<(&'static str, String)> {
    let equal = equal(&bounds(collection, asker, selection));
    if !collection.serves_order(&order.terms, &equal) {
        let members: Vec<_> = order.terms.iter().map(Term::name).collect();
        let detail = format!(
            "no index serves this order; declare one: {}",
            json!(members)
        );
        return Some(("/order_by", detail));
    }
    unserved_filter(collection, asker, selection).map(|detail| ("/filter", detail))
}

/// What to declare where no index serves a filter.
pub(super) fn unserved_filter(
    collection: &Collection,
    asker: &Asker,
    selection: &Selection,
) -> Option<String> {
    let filtered = !selection.is_search() && selection.filter().is_some_and(Rule::uses_record);
    if !filtered {
        return None;
    }
    let bounds = bounds(collection, asker, selection);
    if !collection.serves_bounds(&paths(&bounds, |_any| true), &equal(&bounds)) {
        let detail = "no index serves this filter; declare one that begins with a member that it compares with a value";
        return Some(detail.to_owned());
    }
    None
}

/// The conditions that every record of a list meets.
fn bounds(collection: &Collection, asker: &Asker, selection: &Selection) -> Vec<Bound> {
    let mut bounds = collection.rules.list.bounds(asker);
    let narrower = selection.filter();
    let narrower = narrower.map(|filter| filter.bounds_for(&asker.facts(None)));
    bounds.extend(narrower.unwrap_or_default());
    bounds
}

/// Reads a filter of a collection's records that a caller may see.
///
/// # Errors
/// 400 for one that is not understood, or names what the caller may not see.
pub fn filter(
    text: Option<&str>,
    collection: &Collection,
    asker: &Asker,
) -> Result<Option<Rule>, ApiError> {
    let vocabulary = || Vocabulary::of_filter(collection.members_for(asker));
    text.map(|text| Rule::parse(text, &vocabulary()))
        .transpose()
        .map_err(|mistake| refused("/filter", "filter", &mistake.to_string()))
}

fn paths(bounds: &[Bound], test: fn(Test) -> bool) -> Vec<Vec<String>> {
    let bounds = bounds.iter().filter(|bound| test(bound.test));
    bounds.map(|bound| bound.path.clone()).collect()
}

fn equal(bounds: &[Bound]) -> Vec<Vec<String>> {
    paths(bounds, |test| test == Test::Equal)
}

pub(super) fn refused(pointer: &str, code: &str, detail: &str) -> ApiError {
    let fault = FieldError::new(pointer, code, detail);
    ApiError::with_errors(Code::InvalidQuery, vec![fault])
}
