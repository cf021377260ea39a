//! Moments as the API writes them.

use std::fmt;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};

/// A moment, written after RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(DateTime<Utc>);

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Self(moment)
    }
}

impl Timestamp {
    /// Gives its text to `hear`.
    pub fn tell<T>(self, hear: impl FnOnce(&str) -> T) -> T {
        // Of a moment with an offset every part would be worked out by itself.
        let (moment, mut text) = (self.0.naive_utc(), *b"0000-00-00T00:00:00.000Z");
        let year = u32::try_from(moment.year()).unwrap_or(u32::MAX);
        // Chrono's own takes four times as long, and lists hold hundreds.
        let parts = [
            (0..4, year),
            (5..7, moment.month()),
            (8..10, moment.day()),
            (11..13, moment.hour()),
            (14..16, moment.minute()),
            (17..19, moment.second()),
            (20..23, moment.nanosecond() / 1_000_000),
        ];
        for (place, number) in parts {
            write_digits(text.get_mut(place).unwrap_or_default(), number);
        }
        match str::from_utf8(&text) {
            Ok(text) if year <= 9_999 && moment.nanosecond() < 1_000_000_000 => hear(text),
            // Years of five digits, and leap seconds.
            _ => hear(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true)),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell(|text| formatter.write_str(text))
    }
}

/// Writes the last decimal digits of a number.
fn write_digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples([serde_json::json!("2026-11-24T09:00:00.000Z")])
            .into()
    }
}

impl ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_chrono_writes_them() {
        let year = 365 * 24 * 3_600_000;
        // Far before the year 0 and after 9999, and many between that end in all digits.
        for step in -9_000..9_000 {
            let moment = DateTime::from_timestamp_millis(step * (year + 86_398_987)).unwrap();
            let expected = moment.to_rfc3339_opts(SecondsFormat::Millis, true);
            assert_eq!(Timestamp::from(moment).to_string(), expected);
        }
    }
}
