//! A record as it is stored and as it is shown.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Serialize, Serializer, ser::Error};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use crate::{error::ApiError, timestamp::Timestamp};

/// A stored record; its document stays the text that Postgres gave.
#[derive(Clone, Debug)]
pub struct RecordRow {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub owner: Option<Uuid>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Its document, as Postgres writes it.
    pub data: String,
}

impl RecordRow {
    /// Its document.
    ///
    /// # Errors
    /// None that happens.
    pub fn document(&self) -> Result<Value, ApiError> {
        serde_json::from_str(&self.data).map_err(ApiError::internal)
    }

    /// The record as it is shown: the document's members after those that the server keeps.
    fn text(&self) -> String {
        let owner = match self.owner {
            Some(owner) => format!("\"{owner}\""),
            None => "null".to_owned(),
        };
        let rest = self.data.trim_start_matches('{').trim_start();
        let comma = if rest == "}" { "" } else { "," };
        format!(
            "{{\"id\":\"{}\",\"owner\":{owner},\"version\":{},\"created_at\":\"{}\",\"updated_at\":\"{}\"{comma}{rest}",
            self.id,
            self.version,
            Timestamp::from(self.created_at),
            Timestamp::from(self.updated_at),
        )
    }
}

impl Serialize for RecordRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.text()).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// What a statement tells: the generation of the collection, and a record where it found one.
#[derive(Debug, QueryableByName)]
pub(super) struct Told {
    #[diesel(sql_type = Nullable<BigInt>)]
    pub generation: Option<i64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    owner: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    version: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    created_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    updated_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    data: Option<String>,
}

impl Told {
    /// The columns of a record that is called so in a statement.
    pub fn columns(of: &str) -> String {
        format!(
            "{of}.id, {of}.owner, {of}.version, {of}.created_at, {of}.updated_at, {of}.data::text as data"
        )
    }

    /// The record, if there is one.
    pub fn record(self) -> Option<RecordRow> {
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
