//! Channels over HTTP, for those without a socket.

use std::sync::Arc;

use actix_web::web;
use form_urlencoded::byte_serialize;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Action, Asked, ChannelName, Kept, Namespace, Past, Posted, Since};
use crate::{
    app::AppState,
    collections::Asker,
    error::{ApiError, Code, FieldError, Problem},
    http::{Caller, Idempotency, Json, Query, Tagged, Visitor},
    idempotency::{self, Answer},
    scope::{Authority, ChannelsManage, ChannelsRead, ChannelsWrite, Demand, Either, Named},
    timestamp::Timestamp,
};

/// Bytes of what is published, as over a socket.
const LARGEST: usize = 65_536;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// What is to be published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChannelInput, example = json!({"data": {"text": "Hello"}}))]
pub struct NewPublication {
    /// Whatever JSON can hold, in at most 64 KiB.
    data: Value,
}

/// Where something was published.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChannelPublished, example = json!({"channel": "chat:lobby", "epoch": "9f86d081884c", "offset": 7}))]
pub struct Published {
    /// The channel.
    #[schema(value_type = String)]
    channel: ChannelName,
    /// The order whose place `offset` is, where the channel keeps what is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    /// Its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
}

/// Publishes on a channel
///
/// Whoever is subscribed is told. Where the channel keeps what is published, the answer comes when it is stored.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/publications",
    tag = "realtime",
    params(("channel" = String, Path, description = "The channel's name", example = "chat:lobby")),
    request_body = NewPublication,
    security((), ("bearer" = ["channels:write"]), ("bearer" = ["channels:manage"])),
    responses(
        (status = 201, description = "Published", body = Published, headers(("Location" = String, description = "The channel's history"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn publish(
    app: web::Data<AppState>,
    visitor: Visitor<Either<ChannelsWrite, ChannelsManage>>,
    channel: web::Path<ChannelName>,
    idempotency: Idempotency,
    input: Json<NewPublication>,
) -> Result<Tagged<Box<RawValue>>, ApiError> {
    let (channel, data) = (channel.into_inner(), input.0.data);
    let text = data.to_string();
    if text.len() > LARGEST {
        return Err(Code::PayloadTooLarge.into());
    }
    let namespace = namespace(&app, &visitor, Action::Publish, &channel, Some(&data))?;
    let name: String = byte_serialize(channel.as_ref().as_bytes()).collect();
    let location = format!("/v1/channels/{name}/history");
    let is_kept = namespace.is_kept();
    let answer = move |channel: ChannelName, posted: Posted| {
        let published = Published {
            channel,
            epoch: is_kept.then_some(posted.epoch),
            offset: is_kept.then_some(posted.offset),
        };
        // How much is told elsewhere is nobody's business.
        Answer::new(location, published.offset.unwrap_or_default(), &published)
    };
    let answer = match visitor.caller().and_then(|caller| idempotency.of(caller)) {
        None => {
            let published = app.channels.publish(&channel, &namespace, text, None);
            let posted = published.await?;
            answer(channel, posted)?
        }
        Some(key) => {
            let channels = app.channels.clone();
            let publish = move |conn: &mut _| {
                let posted = channels.publish_within(conn, &channel, &namespace, text)?;
                answer(channel, posted)
            };
            let once = move |conn: &mut _| idempotency::once(conn, Some(&key), publish);
            let answer = app.db.run(once).await?;
            // What was told before the transaction ended was not to be seen yet.
            app.channels.pulse().poke();
            answer
        }
    };
    Ok(answer.into())
}

/// What is asked of a channel's presence.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PresenceQuery {
    /// Connections that are listed: 100 when left out, at most 1,000 (more is clamped).
    #[param(minimum = 1, example = 100)]
    limit: Option<usize>,
}

/// Who is subscribed to a channel.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelPresence)]
pub struct Presence {
    /// Their connections.
    #[schema(value_type = Vec<Attendant>)]
    items: Vec<Box<RawValue>>,
    /// How many connections there are.
    clients: i64,
    /// How many users these belong to.
    users: i64,
}

/// A connection that is subscribed.
#[derive(ToSchema)]
#[schema(as = ChannelAttendant)]
#[expect(
    dead_code,
    reason = "the document shows it; it is passed on as it is stored"
)]
pub struct Attendant {
    /// The user's id; empty for visitors.
    user: String,
    /// The connection's id.
    client: Uuid,
}

/// Reads who is subscribed
///
/// On every replica; of one that has died for 20 seconds more.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/presence",
    tag = "realtime",
    params(("channel" = String, Path, description = "The channel's name", example = "chat:lobby"), PresenceQuery),
    security((), ("bearer" = ["channels:read"]), ("bearer" = ["channels:manage"])),
    responses(
        (status = 200, description = "Who is there", body = Presence),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_presence(
    app: web::Data<AppState>,
    visitor: Visitor<Either<ChannelsRead, ChannelsManage>>,
    channel: web::Path<ChannelName>,
    query: Query<PresenceQuery>,
) -> Result<web::Json<Presence>, ApiError> {
    let limit = limit(query.0.limit)?;
    let namespace = namespace(&app, &visitor, Action::Presence, &channel, None)?;
    if !namespace.has_presence() {
        let detail = "Nobody writes down who is there";
        return Err(ApiError::new(Code::NotFound, detail));
    }
    let most = i64::try_from(limit).map_err(ApiError::internal)?;
    let present = app.channels.presence(&channel, most).await?;
    let items = present.all.into_iter().map(RawValue::from_string);
    Ok(web::Json(Presence {
        items: items
            .collect::<Result<_, _>>()
            .map_err(ApiError::internal)?,
        clients: present.clients,
        users: present.users,
    }))
}

/// What is asked of a channel's history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// After what, `<epoch>/<offset>`: the first that come after it, in place of the last.
    #[param(example = "9f86d081884c/7")]
    since: Option<String>,
    /// Publications of an answer: 100 when left out, at most 1,000 (more is clamped).
    #[param(minimum = 1, example = 100)]
    limit: Option<usize>,
}

/// What was published on a channel.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelHistory)]
pub struct History {
    /// In the order in which it was.
    items: Vec<Publication>,
    /// The order whose places are told.
    epoch: String,
    /// The place after which to go on.
    offset: i64,
}

/// One publication.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelPublication, example = json!({"offset": 7, "data": {"text": "Hello"}, "published_at": "2026-11-27T05:52:17.171Z"}))]
pub struct Publication {
    /// Its place.
    offset: i64,
    /// What was published.
    #[schema(value_type = Value)]
    data: Box<RawValue>,
    /// Who published it, where it came over a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Attendant>, required = false)]
    info: Option<Box<RawValue>>,
    /// When.
    published_at: Timestamp,
}

/// Reads what was published
///
/// As much as the namespace keeps: the last publications, or with `since` the first after a place.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/history",
    tag = "realtime",
    params(("channel" = String, Path, description = "The channel's name", example = "chat:lobby"), HistoryQuery),
    security((), ("bearer" = ["channels:read"]), ("bearer" = ["channels:manage"])),
    responses(
        (status = 200, description = "What was published", body = History),
        (status = 410, description = "Not everything is kept that came after `since`: read the last", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_history(
    app: web::Data<AppState>,
    visitor: Visitor<Either<ChannelsRead, ChannelsManage>>,
    channel: web::Path<ChannelName>,
    query: Query<HistoryQuery>,
) -> Result<web::Json<History>, ApiError> {
    let Query(query) = query;
    let limit = limit(query.limit)?;
    let namespace = namespace(&app, &visitor, Action::History, &channel, None)?;
    if !namespace.is_kept() {
        let detail = "The channel keeps nothing";
        return Err(ApiError::new(Code::NotFound, detail));
    }
    let since = query.since.as_deref().map(since).transpose()?;
    let asked = Asked {
        is_reverse: since.is_none(),
        since,
        limit: i64::try_from(limit).map_err(ApiError::internal)?,
    };
    let goes_on = !asked.is_reverse;
    let past = app.channels.history(&channel, &namespace, asked).await?;
    let past = past.ok_or(Code::PositionExpired)?;
    Ok(web::Json(shown(past, goes_on)?))
}

/// Publications that go on after a place, or the last ones.
fn shown(mut past: Past, goes_on: bool) -> Result<History, ApiError> {
    if !goes_on {
        past.publications.reverse();
    }
    // There may be more than were asked for, or than one answer holds.
    let last = past.publications.last().filter(|_last| goes_on);
    Ok(History {
        offset: last.map_or(past.head, |last| last.position),
        epoch: past.epoch.to_string(),
        items: past
            .publications
            .into_iter()
            .map(Publication::of)
            .collect::<Result<_, _>>()?,
    })
}

impl Publication {
    fn of(kept: Kept) -> Result<Self, ApiError> {
        let raw = |text| RawValue::from_string(text).map_err(ApiError::internal);
        Ok(Self {
            offset: kept.position,
            data: raw(kept.data)?,
            info: kept.info.map(raw).transpose()?,
            published_at: kept.at.into(),
        })
    }
}

/// The namespace of a channel that the caller may do something with: by its rules, or as whoever manages all of them.
fn namespace<S: Demand>(
    app: &AppState,
    visitor: &Visitor<S>,
    action: Action,
    channel: &ChannelName,
    data: Option<&Value>,
) -> Result<Namespace, ApiError> {
    let caller = visitor.caller();
    let authority = caller.map(Caller::authority);
    let manages = authority.is_some_and(|authority| authority.may(ChannelsManage::NAME));
    let asker = Asker {
        auth: caller.map_or_else(|| Arc::new(json!({})), Caller::told),
        is_administrator: authority.is_some_and(Authority::is_administrator),
        now: app.tokens.now(),
    };
    let permitted = app.channels.permit(action, channel, &asker, manages, data);
    permitted.cloned()
}

fn limit(asked: Option<usize>) -> Result<usize, ApiError> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        0 => Err(refused("/limit", "minimum", "at least 1")),
        limit => Ok(limit.min(MAX_LIMIT)),
    }
}

fn since(text: &str) -> Result<Since, ApiError> {
    let place = text.split_once('/').and_then(|(epoch, offset)| {
        Some(Since {
            epoch: epoch.to_owned(),
            offset: offset.parse().ok().filter(|offset| *offset >= 0)?,
        })
    });
    place.ok_or_else(|| {
        refused(
            "/since",
            "position",
            "`<epoch>/<offset>`, as answers have them",
        )
    })
}

fn refused(pointer: &str, code: &str, detail: &str) -> ApiError {
    let fault = FieldError::new(pointer, code, detail);
    ApiError::with_errors(Code::InvalidQuery, vec![fault])
}
