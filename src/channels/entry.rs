//! What is told on a channel.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ChannelName;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something was published.
    Publication,
    /// Somebody subscribed.
    Join,
    /// Somebody does no more.
    Leave,
}

impl Kind {
    /// The number that it is stored as.
    pub(super) fn number(self) -> i32 {
        match self {
            Self::Publication => 0,
            Self::Join => 1,
            Self::Leave => 2,
        }
    }

    pub(super) fn of_number(number: i32) -> Self {
        match number {
            1 => Self::Join,
            2 => Self::Leave,
            _ => Self::Publication,
        }
    }
}

/// One of the things that are told, in their order.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the order of all channels.
    pub position: i64,
    /// Where it is told.
    pub channel: String,
    /// What happened.
    pub kind: Kind,
    /// Whether it belongs to the channel's history.
    pub is_kept: bool,
    /// What was published, as JSON.
    pub data: Option<String>,
    /// Who it was, as JSON: a [`Who`].
    pub info: Option<String>,
}

/// Somebody on a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Who {
    /// The user's id; of a client that acts for itself an id that no user has; empty for a visitor.
    pub user: String,
    /// The connection.
    pub client: Uuid,
}

impl Who {
    /// The same as JSON.
    pub fn told(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// What is to be told.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub channel: ChannelName,
    pub kind: Kind,
    pub data: Option<String>,
    pub info: Option<String>,
    /// For how many seconds it is kept, where it is.
    pub age: Option<i64>,
}
