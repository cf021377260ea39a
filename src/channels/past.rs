//! What was published before.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable, Text, Timestamptz},
};

/// After what somebody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// The order whose place it is.
    pub epoch: String,
    /// The place.
    pub offset: i64,
}

/// What somebody asks of what a channel has kept.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What comes after it, or the other way round before it.
    pub since: Option<Since>,
    /// Publications at most.
    pub limit: i64,
    /// Whether the last come first.
    pub is_reverse: bool,
}

/// What a channel has kept.
#[derive(Clone, Debug)]
pub struct Past {
    /// The order whose places are told: a restored database counts some once more.
    pub epoch: Arc<str>,
    /// The last place before which nothing more comes.
    pub head: i64,
    /// In the order that was asked for.
    pub publications: Vec<Kept>,
}

/// One publication of it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Kept {
    /// Its place.
    #[diesel(sql_type = BigInt)]
    pub position: i64,
    /// What was published, as JSON.
    #[diesel(sql_type = Text)]
    pub data: String,
    /// Who published it, as JSON, where it came over a socket.
    #[diesel(sql_type = Nullable<Text>)]
    pub info: Option<String>,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
}
