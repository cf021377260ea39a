//! Names of channels.

use std::str::FromStr;

use uuid::Uuid;

use super::protocol::OF_RECORDS;
use crate::collections::CollectionName;

/// Bytes of a channel's name.
const LONGEST: usize = 255;

/// What a socket can subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    /// The collection whose records are meant.
    pub collection: CollectionName,
    /// The only one that is.
    pub record: Option<Uuid>,
}

/// That there is no such channel.
#[derive(Debug)]
pub(super) struct Unknown;

impl FromStr for Channel {
    type Err = Unknown;

    /// Reads `data:{collection}` or `data:{collection}:{id}`.
    fn from_str(text: &str) -> Result<Self, Unknown> {
        let rest = text
            .strip_prefix(OF_RECORDS)
            .filter(|_rest| text.len() <= LONGEST)
            .ok_or(Unknown)?;
        let (collection, record) = match rest.split_once(':') {
            None => (rest, None),
            Some((collection, id)) => {
                let record: Uuid = id.parse().map_err(|_invalid| Unknown)?;
                // Of the spellings of an id one is a name.
                if record.to_string() != id {
                    return Err(Unknown);
                }
                (collection, Some(record))
            }
        };
        let collection = collection.parse().map_err(|_invalid| Unknown)?;
        Ok(Self { collection, record })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_a_collection_or_one_of_its_records() {
        let id = "0197a3f0-0000-7000-8000-00000000000a";
        let read = |text: &str| text.parse::<Channel>().ok().map(|channel| channel.record);
        assert_eq!(read("data:orders"), Some(None));
        assert_eq!(read(&format!("data:orders:{id}")), Some(id.parse().ok()));
        let upper = format!("data:orders:{}", id.to_uppercase());
        for text in [
            "",
            "data:",
            "data",
            "orders",
            "data:Orders",
            "data:orders:",
            "data:orders:1",
            "data::",
            "user:1",
            &upper,
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
