//! Lists: what the rule shows and the filter leaves, page by page.

use diesel::PgConnection;
use serde_json::json;

use super::{
    Request,
    list_store::{self, Listed, Part, Wanted},
    order::{Order, Place},
};
use crate::{
    collections::{Asker, Catalog, Collection, RECORD, Term},
    error::{ApiError, Code, FieldError},
    rules::{Rule, Test, Vocabulary},
};

/// What a list is asked for.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// An expression that every record has to meet.
    pub filter: Option<String>,
    /// Members to order by.
    pub order_by: Option<String>,
    /// Whether it is refused where no index serves it.
    pub demands_index: bool,
}

/// Records of a page.
#[derive(Debug)]
pub struct Listing {
    /// The records.
    pub listed: Vec<Listed>,
    /// Whether there are more, though they are fewer than were asked for.
    pub is_cut: bool,
    /// What to declare, where no index serves the list.
    pub warning: Option<String>,
    /// Where the feed of changes goes on from the list.
    pub feed_position: String,
}

/// Lists the records of a page that the caller may list: those after a place, so many of them.
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
        let rule = collection.rules.list.predicate(&request.asker, None);
        let filter = filter(query.filter.as_deref(), collection)?;
        let order = Order::parse(query.order_by.as_deref(), collection)?;
        let unserved = unserved(collection, &request.asker, filter.as_ref(), &order);
        if let Some((pointer, detail)) = &unserved
            && query.demands_index
        {
            return Err(refused(pointer, "index", detail));
        }
        let filter = filter.map(|filter| filter.predicate(&request.asker.facts(None), RECORD));
        // The collection may be declared otherwise since the page before.
        if after.is_some_and(|place| !order.fits(place)) {
            return Err(refused(
                "/cursor",
                "cursor",
                "the cursor belongs to another list",
            ));
        }
        let wanted = |part, rows| Wanted {
            collection,
            rule: &rule,
            filter: filter.as_ref(),
            order: &order,
            part,
            rows,
        };
        let first = after.map_or(Part::Beginning, Part::After);
        let Some(mut found) = list_store::list(conn, wanted(first, rows))? else {
            return Ok(None);
        };
        let missing = rows - i64::try_from(found.listed.len()).unwrap_or(rows);
        let has_value = |place: &Place| matches!(place.keys.first(), Some(Some(_)));
        if missing > 0 && !found.is_cut && after.is_some_and(has_value) {
            match list_store::list(conn, wanted(Part::Lacking, missing))? {
                Some(rest) => {
                    found.listed.extend(rest.listed);
                    found.is_cut = rest.is_cut;
                }
                None => return Ok(None),
            }
        }
        Ok(Some(Listing {
            listed: found.listed,
            is_cut: found.is_cut,
            feed_position: found.feed_position,
            warning: unserved.map(|(_, detail)| detail),
        }))
    })
}

/// What no index serves: the parameter, and what to declare. For lists that nobody narrows or orders the ids are enough.
fn unserved(
    collection: &Collection,
    asker: &Asker,
    filter: Option<&Rule>,
    order: &Order,
) -> Option<(&'static str, String)> {
    let mut bounds = collection.rules.list.bounds(asker);
    let narrower = filter.map(|filter| filter.bounds_for(&asker.facts(None)));
    bounds.extend(narrower.unwrap_or_default());
    let paths = |test: fn(Test) -> bool| -> Vec<_> {
        let bounds = bounds.iter().filter(|bound| test(bound.test));
        bounds.map(|bound| bound.path.clone()).collect()
    };
    let equal = paths(|test| test == Test::Equal);
    if !collection.serves_order(&order.terms, &equal) {
        let members: Vec<_> = order.terms.iter().map(Term::name).collect();
        let detail = format!(
            "no index serves this order; declare one: {}",
            json!(members)
        );
        return Some(("/order_by", detail));
    }
    let filtered = filter.is_some_and(Rule::uses_record);
    if filtered && !collection.serves_bounds(&paths(|_any| true), &equal) {
        let detail = "no index serves this filter; declare one that begins with a member that it compares with a value";
        return Some(("/filter", detail.to_owned()));
    }
    None
}

/// Reads a filter of a collection's records.
///
/// # Errors
/// 400 for one that is not understood.
pub fn filter(text: Option<&str>, collection: &Collection) -> Result<Option<Rule>, ApiError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let vocabulary = Vocabulary::of_filter(collection.members().clone());
    Rule::parse(text, &vocabulary)
        .map(Some)
        .map_err(|mistake| refused("/filter", "filter", &format!("{mistake}")))
}

fn refused(pointer: &str, code: &str, detail: &str) -> ApiError {
    let fault = FieldError::new(pointer, code, detail);
    ApiError::with_errors(Code::InvalidQuery, vec![fault])
}
