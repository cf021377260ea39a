//! A record as it is stored.

use std::fmt::{self, Write};

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{error::ApiError, rules::Record, timestamp::Timestamp};

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
    /// The members of its document.
    ///
    /// # Errors
    /// None that happens.
    pub fn members(&self) -> Result<Map<String, Value>, ApiError> {
        serde_json::from_str(&self.data).map_err(ApiError::internal)
    }

    /// The record as rules see it.
    pub fn image<'a>(&self, data: &'a Value) -> Record<'a> {
        Record {
            id: self.id,
            owner: self.owner,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            data,
        }
    }

    /// The record as it is stored: the document's members after those that the server keeps.
    pub fn text(&self, head: &[&str]) -> String {
        self.splice(head, &self.data)
    }

    /// The same with other members.
    pub fn text_with(&self, head: &[&str], document: &Map<String, Value>) -> String {
        self.splice(head, &json!(document).to_string())
    }

    fn splice(&self, head: &[&str], document: &str) -> String {
        let mut text = String::with_capacity(document.len() + 200);
        for name in head {
            text.push(if text.is_empty() { '{' } else { ',' });
            match *name {
                "id" => push_uuid(&mut text, "id", self.id),
                "owner" => match self.owner {
                    Some(owner) => push_uuid(&mut text, "owner", owner),
                    None => text.push_str("\"owner\":null"),
                },
                "version" => push(&mut text, format_args!("\"version\":{}", self.version)),
                "created_at" => push_moment(&mut text, "created_at", self.created_at),
                _ => push_moment(&mut text, "updated_at", self.updated_at),
            }
        }
        let rest = document.trim_start_matches('{').trim_start();
        if rest != "}" {
            text.push(',');
        }
        text.push_str(rest);
        text
    }
}

fn push_uuid(text: &mut String, name: &str, id: Uuid) {
    let mut buffer = Uuid::encode_buffer();
    let id = id.hyphenated().encode_lower(&mut buffer);
    for part in ["\"", name, "\":\"", id, "\""] {
        text.push_str(part);
    }
}

fn push_moment(text: &mut String, name: &str, moment: DateTime<Utc>) {
    Timestamp::from(moment).tell(|moment| {
        for part in ["\"", name, "\":\"", moment, "\""] {
            text.push_str(part);
        }
    });
}

fn push(text: &mut String, part: fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _written = text.write_fmt(part);
}

/// The members that the server keeps, in the order in which they are shown.
pub const SERVER_MEMBERS: [&str; 5] = ["id", "owner", "version", "created_at", "updated_at"];

/// What a statement tells: the generation of the collection, and a record where it found one.
#[derive(Debug, Queryable, QueryableByName)]
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

    /// Whether there is a record.
    pub fn is_there(&self) -> bool {
        self.id.is_some()
    }

    /// Whether there is a record whose document was left out.
    pub fn is_cut(&self) -> bool {
        self.is_there() && self.data.is_none()
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
