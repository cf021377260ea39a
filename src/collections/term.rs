//! Members that lists are ordered by and indexes are made of.

use crate::rules::{self, Kind, Members};

/// The members that the server keeps: their types in SQL, and in rules.
const COLUMNS: [(&str, &str, Kind); 5] = [
    ("id", "uuid", Kind::Uuid),
    ("owner", "uuid", Kind::Uuid),
    ("version", "bigint", Kind::Number),
    ("created_at", "timestamptz", Kind::Timestamp),
    ("updated_at", "timestamptz", Kind::Timestamp),
];

/// A member in an order; records that lack it come last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The member, by the names that lead to it.
    pub path: Vec<String>,
    /// How SQL reads it.
    pub accessor: String,
    /// The type of that in SQL.
    pub sql_type: &'static str,
    /// Whether the largest comes first.
    pub descends: bool,
}

impl Term {
    /// Reads `price`, or `-price` for one that descends; members of members are separated by dots.
    ///
    /// # Errors
    /// Why there can be no order by it.
    pub fn parse(word: &str, members: &Members) -> Result<Self, String> {
        let (name, descends) = match word.trim().strip_prefix('-') {
            Some(name) => (name, true),
            None => (word.trim(), false),
        };
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        let column = COLUMNS.iter().find(|(column, _, _)| *column == name);
        let kind = match column {
            Some((_, _, kind)) => kind,
            None => kind(&path, members).ok_or_else(|| format!("there is no member `{name}`"))?,
        };
        let sql_type = match column {
            Some((_, sql_type, _)) => Some(*sql_type),
            None => sql_type(kind),
        };
        let (Some(accessor), Some(sql_type)) = (rules::accessor(&path, kind), sql_type) else {
            return Err(format!(
                "`{name}` is {kind}, and nothing can be ordered by that"
            ));
        };
        Ok(Self {
            path,
            accessor,
            sql_type,
            descends,
        })
    }

    /// The member as it is declared and asked for.
    pub fn name(&self) -> String {
        let sign = if self.descends { "-" } else { "" };
        format!("{sign}{}", self.path.join("."))
    }

    /// Whether there is a smallest and a largest of its values.
    pub fn has_extremes(&self) -> bool {
        self.sql_type != "boolean"
    }

    /// How SQL shows it in JSON, in the order of its values.
    pub fn shown(&self) -> String {
        let accessor = &self.accessor;
        match self.sql_type {
            "uuid" => format!("{accessor}::text"),
            "timestamptz" => format!(
                "to_char({accessor} at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
            ),
            _ => self.accessor.clone(),
        }
    }

    /// Whether it is a text of the document.
    pub fn is_text(&self) -> bool {
        self.sql_type == "text"
    }

    /// What SQL orders by. Of columns that are never null it says nothing of nulls, as the index of ids doesn't.
    pub fn order(&self) -> String {
        let direction = if self.descends { "desc" } else { "asc" };
        let is_always_there = self.accessor != "owner"
            && COLUMNS
                .iter()
                .any(|(column, _, _)| *column == self.accessor);
        let nulls = if is_always_there { "" } else { " nulls last" };
        format!("{} {direction}{nulls}", self.accessor)
    }
}

fn kind<'a>(path: &[String], members: &'a Members) -> Option<&'a Kind> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(members.kind(first)?, |kind, name| match kind {
            Kind::Object(members) => members.kind(name),
            _ => None,
        })
}

fn sql_type(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Number => Some("numeric"),
        Kind::Boolean => Some("boolean"),
        Kind::String | Kind::Uuid | Kind::Timestamp => Some("text"),
        Kind::List(_) | Kind::Object(_) | Kind::Any => None,
    }
}
