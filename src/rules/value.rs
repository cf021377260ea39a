//! Values, as they are while an expression is evaluated.

use std::{borrow::Cow, cmp::Ordering};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json};

use super::{
    decimal::Decimal,
    moment,
    tree::{Comparison, Fault},
};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Boolean(bool),
    Number(Decimal),
    Text(Cow<'a, str>),
    Moment(DateTime<Utc>),
    List(Cow<'a, [Json]>),
    Object(Cow<'a, Map<String, Json>>),
}

impl<'a> Value<'a> {
    /// Reads a value of a document or a token.
    ///
    /// # Errors
    /// A number is out of bounds, or text holds U+0000, which Postgres can't store.
    pub(super) fn read(json: &'a Json) -> Result<Self, Fault> {
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(boolean) => Self::Boolean(*boolean),
            Json::Number(number) => {
                Self::Number(Decimal::parse(&number.to_string()).ok_or(Fault::Bounds)?)
            }
            Json::String(text) if text.contains('\0') => return Err(Fault::Bounds),
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(items) => Self::List(Cow::Borrowed(items)),
            Json::Object(members) => Self::Object(Cow::Borrowed(members)),
        })
    }

    /// The same value, without a copy of what it holds.
    pub(super) fn borrowed(&'a self) -> Self {
        match self {
            Self::Text(text) => Self::Text(Cow::Borrowed(text)),
            Self::List(items) => Self::List(Cow::Borrowed(items)),
            Self::Object(members) => Self::Object(Cow::Borrowed(members)),
            other => other.clone(),
        }
    }

    /// Lets go of what it was read from.
    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(boolean) => Value::Boolean(boolean),
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Moment(moment) => Value::Moment(moment),
            Self::List(items) => Value::List(Cow::Owned(items.into_owned())),
            Self::Object(members) => Value::Object(Cow::Owned(members.into_owned())),
        }
    }

    /// The same as JSON, timestamps as their canonical text.
    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Boolean(boolean) => Json::Bool(*boolean),
            Self::Number(number) => number.to_json(),
            Self::Text(text) => Json::String(text.to_string()),
            Self::Moment(moment) => Json::String(moment::canonical(*moment)),
            Self::List(items) => Json::Array(items.to_vec()),
            Self::Object(members) => Json::Object(members.as_ref().clone()),
        }
    }

    /// The timestamp that a canonical text tells; null stays null.
    pub(super) fn into_moment(self) -> Result<Self, Fault> {
        match self {
            Self::Text(text) => moment::read_canonical(&text)
                .map(Self::Moment)
                .ok_or(Fault::Timestamp),
            Self::Null | Self::Moment(_) => Ok(self),
            _ => Err(Fault::Type),
        }
    }

    /// Compares two values after the rules of the language.
    pub(super) fn compare(&self, comparison: Comparison, other: &Self) -> Result<bool, Fault> {
        if comparison.is_equality() {
            return Ok(self.equals(other)? == (comparison == Comparison::Equal));
        }
        let order = match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.cmp(other),
            // The order of UTF-8 is the order of the code points.
            (Self::Text(one), Self::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
            (Self::Moment(one), Self::Moment(other)) => one.cmp(other),
            (Self::Null, _) | (_, Self::Null) => return Err(Fault::Null),
            _ => return Err(Fault::Type),
        };
        Ok(match comparison {
            Comparison::Less => order == Ordering::Less,
            Comparison::LessOrEqual => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            _ => order != Ordering::Less,
        })
    }

    fn equals(&self, other: &Self) -> Result<bool, Fault> {
        match (self, other) {
            (Self::Null, Self::Null) => Ok(true),
            (Self::Null, _) | (_, Self::Null) => Ok(false),
            (Self::Boolean(one), Self::Boolean(other)) => Ok(one == other),
            (Self::Number(one), Self::Number(other)) => Ok(one == other),
            (Self::Text(one), Self::Text(other)) => Ok(one == other),
            (Self::Moment(one), Self::Moment(other)) => Ok(one == other),
            (Self::List(one), Self::List(other)) => same_items(one, other),
            (Self::Object(one), Self::Object(other)) => same_members(one, other),
            _ => Err(Fault::Type),
        }
    }
}

/// Whether two values are the same all the way down, as `jsonb` sees it: of different types means different.
fn same(one: &Json, other: &Json) -> Result<bool, Fault> {
    match (one, other) {
        (Json::Array(one), Json::Array(other)) => same_items(one, other),
        (Json::Object(one), Json::Object(other)) => same_members(one, other),
        (Json::Number(_), Json::Number(_)) => Ok(Value::read(one)? == Value::read(other)?),
        _ => Ok(one == other),
    }
}

fn same_items(one: &[Json], other: &[Json]) -> Result<bool, Fault> {
    let mut equal = one.len() == other.len();
    for (one, other) in one.iter().zip(other) {
        equal &= same(one, other)?;
    }
    Ok(equal)
}

fn same_members(one: &Map<String, Json>, other: &Map<String, Json>) -> Result<bool, Fault> {
    let mut equal = one.len() == other.len();
    for (name, value) in one {
        equal &= match other.get(name) {
            Some(counterpart) => same(value, counterpart)?,
            None => false,
        };
    }
    Ok(equal)
}

/// Whether Postgres takes this value as `jsonb`: no U+0000, no number out of bounds.
pub(super) fn is_storable(json: &Json) -> bool {
    match json {
        Json::Array(items) => items.iter().all(is_storable),
        Json::Object(members) => members
            .iter()
            .all(|(name, value)| !name.contains('\0') && is_storable(value)),
        scalar => Value::read(scalar).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn equal(one: &Json, other: &Json) -> Result<bool, Fault> {
        Value::read(one)?.compare(Comparison::Equal, &Value::read(other)?)
    }

    #[test]
    fn equality_of_different_types_is_an_error_at_the_top_only() {
        assert_eq!(equal(&json!(1), &json!("1")), Err(Fault::Type));
        assert_eq!(equal(&json!([1]), &json!(["1"])), Ok(false));
        assert_eq!(equal(&json!({"a": 1}), &json!({"a": null})), Ok(false));
        assert_eq!(equal(&json!(null), &json!("1")), Ok(false));
        assert_eq!(equal(&json!(null), &json!(null)), Ok(true));
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        let number = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        assert_eq!(equal(&number("1"), &number("1.00")), Ok(true));
        assert_eq!(equal(&number("[1e1]"), &number("[10]")), Ok(true));
        let (one, other) = ("9007199254740993", "9007199254740992");
        assert_eq!(equal(&number(one), &number(other)), Ok(false));
    }
}
