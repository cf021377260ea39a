//! What goes over the wire: the commands and replies of the Centrifuge client protocol, in JSON, and its numbers.

use serde::{Deserialize, Serialize};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use uuid::Uuid;

use crate::{
    channels::{Entry, Kept},
    error::{ApiError, Code},
    feed::{Kind, Reading, Told},
    records::Shown,
};

/// What the channels of records begin with.
pub(super) const OF_RECORDS: &str = "data:";

/// Seconds between two pings of ours.
pub(super) const PING: u64 = 25;

/// What a client sends, one to a line.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Command {
    #[serde(default)]
    pub id: u32,
    pub connect: Option<Connect>,
    pub subscribe: Option<Subscribe>,
    pub unsubscribe: Option<OfChannel>,
    pub refresh: Option<Refresh>,
    pub publish: Option<Publish>,
    pub presence: Option<OfChannel>,
    pub presence_stats: Option<OfChannel>,
    pub history: Option<History>,
    pub rpc: Option<Value>,
    pub sub_refresh: Option<Value>,
    pub send: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Connect {
    #[serde(default)]
    pub token: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Subscribe {
    pub channel: String,
    /// What it is narrowed by: a `Query`.
    #[serde(default)]
    pub data: Option<Value>,
    #[serde(default)]
    pub recover: bool,
    #[serde(default)]
    pub epoch: String,
    #[serde(default)]
    pub offset: i64,
}

/// What a subscription is narrowed by.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    pub filter: Option<String>,
}

/// A command that names a channel and nothing else.
#[derive(Debug, Default, Deserialize)]
pub(super) struct OfChannel {
    pub channel: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Publish {
    pub channel: String,
    pub data: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct History {
    pub channel: String,
    /// 0: only how far it is; less: as many as there may be.
    #[serde(default)]
    pub limit: i64,
    pub since: Option<StreamPlace>,
    #[serde(default)]
    pub reverse: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct StreamPlace {
    #[serde(default)]
    pub offset: i64,
    #[serde(default)]
    pub epoch: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Refresh {
    #[serde(default)]
    pub token: String,
}

/// An error that answers one command; the numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    code: u32,
    message: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    temporary: bool,
}

impl Refusal {
    pub const INTERNAL: Self = Self::temporary(100, "internal server error");
    pub const UNKNOWN_CHANNEL: Self = Self::new(102, "unknown channel");
    pub const PERMISSION_DENIED: Self = Self::new(103, "permission denied");
    pub const ALREADY_SUBSCRIBED: Self = Self::new(105, "already subscribed");
    pub const LIMIT_EXCEEDED: Self = Self::new(106, "limit exceeded");
    pub const BAD_REQUEST: Self = Self::new(107, "bad request");
    pub const NOT_AVAILABLE: Self = Self::new(108, "not available");
    pub const TOKEN_EXPIRED: Self = Self::new(109, "token expired");
    pub const UNRECOVERABLE: Self = Self::new(112, "unrecoverable position");

    const fn new(code: u32, message: &'static str) -> Self {
        Self {
            code,
            message,
            temporary: false,
        }
    }

    const fn temporary(code: u32, message: &'static str) -> Self {
        Self {
            code,
            message,
            temporary: true,
        }
    }
}

/// Why a socket is closed: codes from 3500 on tell the client not to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Close {
    pub code: u16,
    pub reason: &'static str,
}

impl Close {
    pub const NORMAL: Self = Self::new(1000, "");
    pub const GOING_AWAY: Self = Self::new(1001, "shutdown");
    pub const BROKEN_PROTOCOL: Self = Self::new(1002, "");
    pub const NO_TEXT: Self = Self::new(1007, "");
    pub const TOO_LARGE: Self = Self::new(1009, "");
    pub const EXPIRED: Self = Self::new(3005, "connection expired");
    pub const SLOW: Self = Self::new(3008, "slow");
    pub const NO_PONG: Self = Self::new(3012, "no pong");
    pub const TOO_MANY_REQUESTS: Self = Self::new(3013, "too many requests");
    pub const INVALID_TOKEN: Self = Self::new(3500, "invalid token");
    pub const BAD_REQUEST: Self = Self::new(3501, "bad request");
    pub const STALE: Self = Self::new(3502, "stale");
    pub const REVOKED: Self = Self::new(3503, "force disconnect");
    pub const CONNECTION_LIMIT: Self = Self::new(3504, "connection limit");
    pub const NO_JSON: Self = Self::new(3506, "inappropriate protocol");

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

/// Why a subscription ends on our side: on codes from 2500 on clients subscribe anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct End {
    code: u32,
    reason: &'static str,
}

impl End {
    pub const ANEW: Self = Self {
        code: 2500,
        reason: "insufficient state",
    };
    pub const HEAVY: Self = Self {
        code: 2000,
        reason: "the filter takes too long",
    };
}

/// What a command comes to, as JSON.
pub(super) type Answer = Result<Box<RawValue>, Refusal>;

/// Writes an answer once: it may hold much that is JSON already.
pub(super) fn answer(result: &impl Serialize) -> Answer {
    to_raw_value(result).map_err(|_unwritable| Refusal::INTERNAL)
}

pub(super) fn reply(id: u32, name: &str, result: &RawValue) -> String {
    format!(r#"{{"id":{id},"{name}":{result}}}"#)
}

pub(super) fn refusal(id: u32, refusal: Refusal) -> String {
    json!({"id": id, "error": refusal}).to_string()
}

/// Refuses a command that holds what not everybody can read, if it asks for an answer.
pub(super) fn refusal_of(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Asks {
        id: u32,
    }
    let asks: Asks = serde_json::from_str(line).ok()?;
    (asks.id != 0).then(|| refusal(asks.id, Refusal::BAD_REQUEST))
}

/// The refusal that an error of ours is told as.
pub(super) fn refused(error: &ApiError) -> Refusal {
    match error.code {
        Code::NotFound => Refusal::UNKNOWN_CHANNEL,
        Code::InvalidQuery => Refusal::BAD_REQUEST,
        Code::RuleForbids => Refusal::PERMISSION_DENIED,
        _ => {
            tracing::warn!(%error, cause = ?error.cause, "a command failed");
            Refusal::INTERNAL
        }
    }
}

/// Says that a subscription has ended.
pub(super) fn ended(channel: &str, end: End) -> String {
    json!({"push": {"channel": channel, "unsubscribe": end}}).to_string()
}

/// What became of a record.
#[derive(Serialize)]
struct Event {
    #[serde(rename = "type")]
    kind: Kind,
    id: Uuid,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Shown>,
}

/// One change, and its place in the stream.
#[derive(Serialize)]
pub(super) struct Publication {
    data: Event,
    pub offset: i64,
}

impl Publication {
    /// A change as its reader sees it.
    ///
    /// # Errors
    /// 500 for a damaged record.
    pub fn of(reading: &Reading, told: &Told) -> Result<Self, ApiError> {
        Ok(Self {
            data: Event {
                kind: told.kind,
                id: told.change.id,
                version: told.change.version,
                record: reading.show(told)?,
            },
            offset: told.change.position,
        })
    }

    /// The same for those who are subscribed.
    ///
    /// # Errors
    /// None that happens.
    pub fn push(&self, channel: &str) -> Result<String, ApiError> {
        #[derive(Serialize)]
        struct Frame<'a> {
            push: Push<'a>,
        }
        #[derive(Serialize)]
        struct Push<'a> {
            channel: &'a str,
            #[serde(rename = "pub")]
            publication: &'a Publication,
        }
        let push = Push {
            channel,
            publication: self,
        };
        serde_json::to_string(&Frame { push }).map_err(ApiError::internal)
    }
}

/// Something that was published, for those who are subscribed.
pub(super) fn published(entry: &Entry) -> String {
    let offset = entry.is_kept.then_some(entry.position);
    let data = entry.data.as_deref().unwrap_or("null");
    let publication = publication(data, entry.info.as_deref(), offset);
    let channel = json!(entry.channel);
    format!(r#"{{"push":{{"channel":{channel},"pub":{publication}}}}}"#)
}

/// Somebody who came or went.
pub(super) fn moved(entry: &Entry, how: &str) -> String {
    let (channel, info) = (json!(entry.channel), entry.info.as_deref().unwrap_or("{}"));
    format!(r#"{{"push":{{"channel":{channel},"{how}":{{"info":{info}}}}}}}"#)
}

/// Something that was published before.
pub(super) fn kept(kept: &Kept) -> Box<RawValue> {
    let text = publication(&kept.data, kept.info.as_deref(), Some(kept.position));
    RawValue::from_string(text).unwrap_or_default()
}

/// What a channel begins with, as a stream of events tells it.
pub(super) fn begun(channel: &str, subscribed: &Subscribed) -> String {
    let beginning = json!({
        "recoverable": subscribed.recoverable,
        "positioned": subscribed.positioned,
        "epoch": subscribed.epoch,
        "offset": subscribed.offset,
        "was_recovering": subscribed.was_recovering,
        "recovered": subscribed.recovered,
    });
    json!({"channel": channel, "subscribe": beginning}).to_string()
}

/// What was missed on it.
pub(super) fn missed(channel: &str, publication: &RawValue) -> String {
    format!(r#"{{"channel":{},"pub":{publication}}}"#, json!(channel))
}

/// Its place.
pub(super) fn offset_of(publication: &RawValue) -> Option<i64> {
    #[derive(Deserialize)]
    struct Offset {
        offset: Option<i64>,
    }
    let read: Offset = serde_json::from_str(publication.get()).ok()?;
    read.offset
}

/// What a push holds.
pub(super) fn inner(push: &str) -> &str {
    let inner = push.strip_prefix(r#"{"push":"#);
    inner
        .and_then(|inner| inner.strip_suffix('}'))
        .unwrap_or(push)
}

/// One publication, of what is JSON already.
fn publication(data: &str, info: Option<&str>, offset: Option<i64>) -> String {
    let info = info
        .map(|info| format!(r#","info":{info}"#))
        .unwrap_or_default();
    let offset = offset
        .map(|offset| format!(r#","offset":{offset}"#))
        .unwrap_or_default();
    format!(r#"{{"data":{data}{info}{offset}}}"#)
}

/// What a client is told of its connection.
#[derive(Serialize)]
pub(super) struct Introduction {
    pub client: Uuid,
    pub version: &'static str,
    /// Whether there is a token that runs out.
    pub expires: bool,
    /// In so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
    /// Seconds between two pings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<u64>,
    /// Whether these are to be answered.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pong: bool,
}

/// What was published before.
#[derive(Serialize)]
pub(super) struct HistoryReply<'a> {
    pub publications: Vec<Box<RawValue>>,
    pub epoch: &'a str,
    pub offset: i64,
}

/// What a subscription begins with.
#[derive(Serialize)]
pub(super) struct Subscribed {
    pub recoverable: bool,
    pub positioned: bool,
    pub epoch: String,
    pub offset: i64,
    pub was_recovering: bool,
    pub recovered: bool,
    pub publications: Vec<Box<RawValue>>,
}
