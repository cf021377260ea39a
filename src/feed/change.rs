//! What became of a record, with the record before and since.

use std::sync::OnceLock;

use serde_json::Value;
use uuid::Uuid;

use crate::{records::RecordRow, rules::Record};

/// One change, in its place in the feed.
#[derive(Debug)]
pub struct Change {
    /// Its place: numbers are dense.
    pub position: i64,
    /// The serial of the collection; 0 is none.
    pub collection: i64,
    /// The declaration under which it was written.
    pub generation: i64,
    /// The record.
    pub id: Uuid,
    /// The record's version since; also a deletion has one.
    pub version: i64,
    /// Whether the record before is not known any more, because its owner's account was erased: it counts as one that
    /// everybody saw who may list records of the collection.
    pub is_tombstone: bool,
    /// The record before, where there was one.
    pub old: Option<Image>,
    /// The record since, unless it is deleted.
    pub new: Option<Image>,
}

/// In place of a collection: replicas forget the changes that they hold, because somebody was erased who had a part in them.
pub(super) const FORGET: i64 = 0;

/// A record at one moment; rules read it, and it is shown as it is.
#[derive(Debug)]
pub struct Image {
    /// The record.
    pub row: RecordRow,
    /// Its document, parsed by the first who needs it so.
    document: OnceLock<Value>,
}

impl Image {
    pub(super) fn new(row: RecordRow) -> Self {
        Self {
            row,
            document: OnceLock::new(),
        }
    }

    /// The record as rules see it.
    pub fn record(&self) -> Record<'_> {
        // Postgres writes no document that can't be read; of anything else rules would grant nothing.
        let parse = || self.row.members().map(Value::Object).unwrap_or_default();
        self.row.image(self.document.get_or_init(parse))
    }

    /// Bytes that it takes, about; a parsed document takes several times its text.
    fn weight(&self) -> usize {
        100 + 6 * self.row.data.len()
    }
}

impl Change {
    /// Bytes that it takes, about.
    pub(super) fn weight(&self) -> usize {
        let images = [&self.old, &self.new].into_iter().flatten();
        200 + images.map(Image::weight).sum::<usize>()
    }
}
