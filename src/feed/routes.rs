//! The feed of changes over HTTP.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Position,
    read::{self, Ask, Kind, Reading, Told},
};
use crate::{
    app::AppState,
    collections::CollectionName,
    db,
    error::{ApiError, Code, FieldError, Problem},
    http::{Visitor, read_query},
    records::{
        Shown,
        routes::{FEED_POSITION, Record, asker},
    },
    scope::RecordsRead,
};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Seconds that a request may wait for a change.
const LONGEST_WAIT: u32 = 30;

/// What is asked of the feed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// After what: a `position` of an answer before, or the `Feed-Position` of a list. Left out: from now on.
    #[param(example = "9f86d081884c/41")]
    pub since: Option<String>,
    /// Names of collections, separated by commas, or the parameter once for each; left out: all that the caller may list.
    #[param(example = "orders")]
    pub collection: Option<String>,
    /// An expression that records have to meet, in the language of the rules, where one collection is named.
    #[param(max_length = 4096, example = "price >= 10 && status == 'open'")]
    pub filter: Option<String>,
    /// Changes of an answer: 50 when left out, at most 200 (more is clamped).
    #[param(minimum = 1, example = 50)]
    pub limit: Option<u32>,
    /// Seconds to wait for a change while there is none: 0 when left out, at most 30 (more is clamped).
    #[param(example = 0)]
    pub wait: Option<u32>,
}

/// What a change is to the caller.
#[derive(ToSchema)]
#[schema(as = RecordChange, example = json!({
    "position": "9f86d081884c/42",
    "type": "leave",
    "collection": "orders",
    "id": "0197a3f0-0000-7000-8000-000000000000",
    "version": 3,
}))]
#[derive(Serialize)]
pub struct ShownChange<'a> {
    /// Its place in the feed.
    position: String,
    /// `enter`: the caller sees the record since; `update`: they saw it before, too; `leave`: they see it no more; `delete`: it is
    /// no more.
    #[serde(rename = "type")]
    kind: Kind,
    /// The record's collection.
    collection: &'a str,
    /// The record's id.
    id: Uuid,
    /// The record's version since; of a deletion, one more than it had.
    version: i64,
    /// The record since, for `enter` and `update`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Record>, required = false)]
    record: Option<Shown>,
}

/// Changes, in their order.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordChanges)]
pub struct Changes<'a> {
    /// Those that concern the caller.
    items: Vec<ShownChange<'a>>,
    /// Where to go on, as `since`; further than the last item, where other changes came after it.
    #[schema(example = "9f86d081884c/42")]
    position: String,
    /// Whether there are more changes after that already.
    more: bool,
}

/// Reads changes
///
/// Of the records that the collections' `list` rules show the caller and the filter leaves, before the change or since. Each change comes
/// at least once, those of one record in the order of their `version`s, and everybody sees the same order.
#[utoipa::path(
    get,
    path = "/v1/changes",
    tag = "records",
    params(ChangesQuery),
    security((), ("bearer" = ["records:read"])),
    responses(
        (status = 200, description = "Changes, or none that concern the caller", body = Changes,
            headers(("Feed-Position" = String, description = "The same as `position`"))),
        (status = 410, description = "The position can't be read from any more: list the records anew", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_changes(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsRead>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query: ChangesQuery = read_query(request.query_string(), &["collection"])?;
    let wait = query.wait.unwrap_or_default().min(LONGEST_WAIT);
    let wait = Duration::from_secs(wait.into());
    let deadline = Instant::now() + wait;
    let ask = query.ask(asker(&app, &visitor))?;
    // Before the first look, so that nothing comes unseen in between.
    let mut heads = app.feed.heads();
    let mut reading = look(&app, &ask, None).await?;
    while reading.told.is_empty() && reading.goes_on() && !reading.has_more {
        let news = std::pin::pin!(heads.changed());
        let end = std::pin::pin!(app.life.stopped());
        match timeout_at(deadline, select(news, end)).await {
            Ok(Either::Left((Ok(()), _))) => {}
            // The time is over, or the replica stops.
            _ => break,
        }
        db::wait_elsewhere();
        if reading.go_on(&app.feed).is_none() {
            reading = look(&app, &ask, Some(reading)).await?;
        }
    }
    respond(&reading)
}

/// Reads by the declarations that there are now.
async fn look(app: &AppState, ask: &Ask, before: Option<Reading>) -> Result<Reading, ApiError> {
    let (catalog, feed, ask) = (app.catalog.clone(), app.feed.clone(), ask.clone());
    app.db
        .run_again(move |conn| read::read(conn, &catalog, &feed, &ask, before.clone()))
        .await
}

fn respond(reading: &Reading) -> Result<HttpResponse, ApiError> {
    let position = reading.place.to_string();
    let changes = Changes {
        items: reading
            .told
            .iter()
            .map(|told| shown(told, reading))
            .collect::<Result<_, _>>()?,
        position: position.clone(),
        more: reading.has_more,
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((FEED_POSITION, position));
    Ok(response.json(changes))
}

fn shown<'a>(told: &'a Told, reading: &Reading) -> Result<ShownChange<'a>, ApiError> {
    let position = Position {
        epoch: reading.place.epoch.clone(),
        number: told.change.position,
    };
    Ok(ShownChange {
        position: position.to_string(),
        kind: told.kind,
        collection: &told.collection.name,
        id: told.change.id,
        version: told.change.version,
        record: reading.show(told)?,
    })
}

impl ChangesQuery {
    fn ask(self, asker: crate::collections::Asker) -> Result<Ask, ApiError> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
        if limit == 0 {
            return Err(refused("/limit", "minimum", "at least 1"));
        }
        let since = self.since.map(|text| text.parse()).transpose();
        let since = since.map_err(|error| refused("/since", "position", &format!("{error}")))?;
        let mut names: Vec<CollectionName> = Vec::new();
        for word in self.collection.iter().flat_map(|text| text.split(',')) {
            // What is no name is no collection's.
            let name = word.parse().map_err(|_invalid| ApiError::not_found())?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if self.filter.is_some() && names.len() != 1 {
            let detail = "a filter needs exactly one collection";
            return Err(refused("/filter", "collection", detail));
        }
        Ok(Ask {
            asker,
            since,
            names,
            filter: self.filter,
            record: None,
            limit: usize::try_from(limit).map_err(ApiError::internal)?,
        })
    }
}

fn refused(pointer: &str, code: &str, detail: &str) -> ApiError {
    let fault = FieldError::new(pointer, code, detail);
    ApiError::with_errors(Code::InvalidQuery, vec![fault])
}
