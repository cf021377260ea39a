//! Where a stream of server-sent events begins.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    web,
};
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    events::{Events, Place},
    protocol::{Close, OF_RECORDS, Refusal, Subscribe},
    talk::Talk,
    ticket_store,
};
use crate::{
    app::AppState,
    error::{ApiError, Code, FieldError, Problem},
    http::{Caller, Visitor, keep_little, read_query},
    scope::{AnyToken, ChannelsManage, ChannelsRead, Demand, Either, RecordsRead},
    tokens::{Refusal as TokenRefusal, Verified},
};

/// The media type of server-sent events.
const EVENTS: &str = "text/event-stream";

/// Channels of one stream.
const MOST_CHANNELS: usize = 32;

/// What is asked of a stream of events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// A channel, at most 32 times.
    #[param(example = "data:orders")]
    pub channel: Option<String>,
    /// What records have to meet, where the one channel is a collection's.
    #[param(max_length = 4096, example = "price >= 10")]
    pub filter: Option<String>,
    /// Where to go on: the `id` of an event before, or of the one channel the `Feed-Position` of a list. `Last-Event-ID` comes first.
    #[param(example = "9f86d081884c/41")]
    pub since: Option<String>,
    /// A ticket, in place of a token.
    pub ticket: Option<String>,
}

/// One event of a stream.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "9f86d081884c/42",
    "data": "{\"channel\":\"chat:lobby\",\"pub\":{\"data\":{\"text\":\"Hello\"},\"offset\":42}}",
}))]
#[expect(
    dead_code,
    reason = "the document shows it; events are written as lines"
)]
pub struct ServerSentEvent {
    /// Where to go on after it: a place of each channel, separated by commas; `-` of one that keeps nothing.
    id: String,
    /// What a WebSocket's `push` holds, as JSON.
    data: String,
}

/// Opens a stream of events
///
/// Server-sent events: `data` is what a WebSocket's `push` holds, `id` where to go on. The first event of each channel says where it begins, as
/// `subscribe`, and whether all was told that came since. It ends with the token.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "realtime",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "Where to go on; browsers send it by themselves")),
    security((), ("bearer" = [])),
    responses(
        (status = 200, description = "The stream", body = ServerSentEvent, content_type = "text/event-stream"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn open_events(
    app: web::Data<AppState>,
    visitor: Visitor<AnyToken>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query: EventsQuery = read_query(request.query_string(), &["channel"])?;
    let wanted = query.wanted(request.headers())?;
    if !is_allowed(&app, &request, visitor.is_caller()) {
        return Err(Code::OriginNotAllowed.into());
    }
    let app = app.into_inner();
    let verified = match query.ticket {
        Some(_) if visitor.is_caller() => {
            let detail = "a ticket comes in place of a token";
            return Err(ApiError::new(Code::BadRequest, detail));
        }
        Some(ticket) => Some(redeem(&app, ticket).await?),
        None => visitor.caller().map(Caller::verified),
    };
    if let Some(verified) = &verified {
        check_scopes(verified, &wanted)?;
    }
    let outbox = app.hub.outbox();
    let mut talk = Talk::new(Arc::clone(&app), outbox.clone(), verified);
    talk.begin().map_err(closed)?;
    // By itself: who has gone meanwhile leaves when it is done.
    let events = Events::begin(Arc::clone(&app), outbox, talk, wanted);
    let begun = actix_web::rt::spawn(events).await;
    let events = begun.map_err(ApiError::internal)?.map_err(refused)?;
    keep_little(&request);
    let stream = unfold(events, async |mut events| {
        let text = events.next().await?;
        Some((Ok::<_, ApiError>(web::Bytes::from(text)), events))
    });
    Ok(HttpResponse::Ok()
        .content_type(EVENTS)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies that gather answers would keep events for themselves.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Box::pin(stream)))
}

/// Whether the page may that asks. What browsers send along with our cookie goes only to pages of allowed origins; those of our own
/// name none, but say so.
fn is_allowed(app: &AppState, request: &HttpRequest, is_caller: bool) -> bool {
    let headers = request.headers();
    let by_cookie = is_caller && !headers.contains_key(header::AUTHORIZATION);
    let is_ours = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "same-origin");
    let names_origin = headers.contains_key(header::ORIGIN);
    !names_origin && is_ours || app.cors.allows_socket(headers, by_cookie)
}

/// Checks that a token may read these channels at all.
fn check_scopes(verified: &Verified, wanted: &[(Subscribe, Place)]) -> Result<(), ApiError> {
    for (command, _) in wanted {
        let names: &[&str] = match command.channel.starts_with(OF_RECORDS) {
            true => RecordsRead::NAMES,
            false => Either::<ChannelsRead, ChannelsManage>::NAMES,
        };
        if !names.iter().any(|name| verified.authority.may(name)) {
            let detail = format!("The token lacks the scope {}", names.join(" or "));
            let scope = names.first().copied().unwrap_or_default();
            let challenge = format!(", error=\"insufficient_scope\", scope=\"{scope}\"");
            return Err(ApiError::new(Code::InsufficientScope, detail).challenge(&challenge));
        }
    }
    Ok(())
}

/// The token that a ticket stands for, verified like any other.
async fn redeem(app: &AppState, ticket: String) -> Result<Arc<Verified>, ApiError> {
    let redeem = move |conn: &mut _| ticket_store::redeem(conn, &ticket);
    let token = app.db.run(redeem).await?;
    let verified = app.tokens.verify_access(&token, app.tokens.now());
    verified.map_err(|refusal| match refusal {
        TokenRefusal::Undecided => Code::DatabaseUnavailable.into(),
        refusal => ApiError::new(Code::InvalidToken, refusal.to_string())
            .challenge(", error=\"invalid_token\""),
    })
}

impl EventsQuery {
    fn wanted(&self, headers: &HeaderMap) -> Result<Vec<(Subscribe, Place)>, ApiError> {
        let names: Vec<_> = self
            .channel
            .iter()
            .flat_map(|names| names.split(','))
            .collect();
        if names.is_empty() || names.len() > MOST_CHANNELS {
            return Err(wrong("/channel", "count", "1 to 32 channels"));
        }
        if self.filter.is_some() && names.len() > 1 {
            return Err(wrong(
                "/filter",
                "channel",
                "a filter needs exactly one channel",
            ));
        }
        let last = headers
            .get("last-event-id")
            .and_then(|value| value.to_str().ok());
        let places = match last.or(self.since.as_deref()) {
            Some(text) => places(text).filter(|places| places.len() == names.len()),
            None => Some(names.iter().map(|_name| None).collect()),
        };
        let places = places.ok_or_else(|| {
            let detail = "a place for each channel, as the `id` of an event has it";
            wrong("/since", "position", detail)
        })?;
        let data = self.filter.as_ref().map(|filter| json!({"filter": filter}));
        let command = |name: &str| Subscribe {
            channel: name.to_owned(),
            data: data.clone(),
            ..Subscribe::default()
        };
        Ok(names.into_iter().map(command).zip(places).collect())
    }
}

/// Reads an `id`: a place of each channel.
fn places(text: &str) -> Option<Vec<Place>> {
    let place = |text: &str| match text.split_once('/') {
        Some((epoch, offset)) => Some(Some((epoch.to_owned(), offset.parse().ok()?))),
        None => (text == "-").then_some(None),
    };
    text.split(',').map(place).collect()
}

fn wrong(pointer: &str, code: &str, detail: &str) -> ApiError {
    ApiError::with_errors(
        Code::InvalidQuery,
        vec![FieldError::new(pointer, code, detail)],
    )
}

fn closed(close: Close) -> ApiError {
    match close {
        Close::CONNECTION_LIMIT => Code::RateLimited.into(),
        _ => Code::InvalidToken.into(),
    }
}

fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::UNKNOWN_CHANNEL => ApiError::not_found(),
        Refusal::PERMISSION_DENIED => Code::RuleForbids.into(),
        Refusal::BAD_REQUEST => wrong(
            "/filter",
            "syntax",
            "it is not understood, or the channel has none",
        ),
        Refusal::TOKEN_EXPIRED => {
            ApiError::from(Code::InvalidToken).challenge(", error=\"invalid_token\"")
        }
        Refusal::ALREADY_SUBSCRIBED => wrong("/channel", "unique", "each channel once"),
        _ => Code::DatabaseUnavailable.into(),
    }
}
