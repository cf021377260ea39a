//! Counts, sums and groups of the records that a caller may list.

use std::collections::BTreeMap;

use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Request, aggregate_store, list::unserved_filter, selection::Selection};
use crate::{
    collections::{Asker, Catalog, Collection, Term},
    error::{ApiError, FieldError},
    rules::Members,
};

/// Members to group by.
const MOST_GROUPED: usize = 4;

/// Figures of one request.
const MOST_FIGURES: usize = 20;

/// Groups of one answer.
pub(super) const MOST_GROUPS: i64 = 1_000;

/// What to compute of the records that the `list` rule shows the caller.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "filter": "price >= 10",
    "group_by": ["status"],
    "compute": {"orders": {"count": "*"}, "total": {"sum": "price"}},
}))]
pub struct Aggregation {
    /// An expression that every record has to meet.
    #[serde(default)]
    #[schema(max_length = 4096, required = false, nullable = false)]
    pub filter: Option<String>,
    /// Words that every record has to hold.
    #[serde(default)]
    #[schema(max_length = 1000, required = false, nullable = false)]
    pub search: Option<String>,
    /// Members of which every combination of values makes a group; without figures to compute, these are the distinct values.
    #[serde(default)]
    #[schema(max_items = 4)]
    pub group_by: Vec<String>,
    /// Figures to compute, by the names that they are to have.
    #[serde(default)]
    pub compute: BTreeMap<String, Figure>,
}

/// A figure: one function of one member.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AggregateFigure)]
pub enum Figure {
    /// How many records have the member; `*` counts them all.
    Count(String),
    /// The sum of a number.
    Sum(String),
    /// The average of a number.
    Avg(String),
    /// The smallest value.
    Min(String),
    /// The largest value.
    Max(String),
}

/// The groups, ordered by what they are grouped by.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"items": [{"status": "open", "orders": 3, "total": 47.5}]}))]
pub struct Aggregated {
    /// One object for each group: the members that it is grouped by, null where they are missing, and the figures.
    pub items: Vec<Map<String, Value>>,
}

/// A figure that is understood.
pub(super) struct Computed {
    pub name: String,
    pub function: &'static str,
    /// The member; `None` counts records.
    pub term: Option<Term>,
}

/// Computes what is asked for.
///
/// # Errors
/// 422 for members and figures that are none; 404 for no collection.
pub fn aggregate(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    aggregation: &Aggregation,
    demands_index: bool,
) -> Result<Aggregated, ApiError> {
    catalog.with(conn, &request.collection, |conn, collection| {
        let asker = &request.asker;
        let members = collection.members_for(asker);
        let groups = groups(&aggregation.group_by, &members)?;
        let figures = figures(aggregation, &members)?;
        let (filter, search) = (&aggregation.filter, &aggregation.search);
        let selection = Selection::of(collection, asker, filter.as_deref(), search.as_deref())
            .map_err(in_body)?;
        check_index(collection, asker, &selection, demands_index)?;
        let found = aggregate_store::aggregate(conn, collection, &selection, &groups, &figures)?;
        let Some(items) = found else {
            return Ok(None);
        };
        if items.len() > usize::try_from(MOST_GROUPS).unwrap_or(usize::MAX) {
            let detail = format!("more than {MOST_GROUPS} groups; filter them");
            return Err(invalid("/group_by", &detail));
        }
        Ok(Some(Aggregated { items }))
    })
}

fn check_index(
    collection: &Collection,
    asker: &Asker,
    selection: &Selection,
    demands_index: bool,
) -> Result<(), ApiError> {
    match unserved_filter(collection, asker, selection) {
        Some(detail) if demands_index => Err(invalid("/filter", &detail)),
        _ => Ok(()),
    }
}

fn groups(names: &[String], members: &Members) -> Result<Vec<Term>, ApiError> {
    if names.len() > MOST_GROUPED {
        let detail = format!("at most {MOST_GROUPED} members");
        return Err(invalid("/group_by", &detail));
    }
    let term = |(place, name): (usize, &String)| {
        let pointer = format!("/group_by/{place}");
        term(name, members).map_err(|detail| invalid(&pointer, &detail))
    };
    names.iter().enumerate().map(term).collect()
}

fn term(name: &str, members: &Members) -> Result<Term, String> {
    if name.starts_with('-') {
        return Err("groups have no direction".to_owned());
    }
    Term::parse(name, members)
}

fn figures(aggregation: &Aggregation, members: &Members) -> Result<Vec<Computed>, ApiError> {
    if aggregation.compute.len() > MOST_FIGURES {
        let detail = format!("at most {MOST_FIGURES} figures");
        return Err(invalid("/compute", &detail));
    }
    if aggregation.compute.is_empty() && aggregation.group_by.is_empty() {
        return Err(invalid(
            "",
            "there is nothing to compute and nothing to group by",
        ));
    }
    let figure = |(name, figure): (&String, &Figure)| {
        let pointer = format!("/compute/{}", crate::input::escaped(name));
        if aggregation.group_by.contains(name) {
            return Err(invalid(
                &pointer,
                "a member that is grouped by has this name",
            ));
        }
        let (function, member) = match figure {
            Figure::Count(member) => ("count", member),
            Figure::Sum(member) => ("sum", member),
            Figure::Avg(member) => ("avg", member),
            Figure::Min(member) => ("min", member),
            Figure::Max(member) => ("max", member),
        };
        let term = match (function, member.as_str()) {
            ("count", "*") => None,
            _ => Some(term(member, members).map_err(|detail| invalid(&pointer, &detail))?),
        };
        let is_number = |term: &Term| matches!(term.sql_type, "numeric" | "bigint");
        let fits = match function {
            "sum" | "avg" => term.as_ref().is_some_and(is_number),
            "min" | "max" => term.as_ref().is_some_and(Term::has_extremes),
            _ => true,
        };
        if !fits {
            let detail = format!("there is no {function} of `{member}`");
            return Err(invalid(&pointer, &detail));
        }
        let name = name.clone();
        Ok(Computed {
            name,
            function,
            term,
        })
    };
    aggregation.compute.iter().map(figure).collect()
}

fn in_body(error: ApiError) -> ApiError {
    ApiError::invalid(error.errors)
}

fn invalid(pointer: &str, detail: &str) -> ApiError {
    ApiError::invalid(vec![FieldError::new(pointer, "aggregate", detail)])
}
