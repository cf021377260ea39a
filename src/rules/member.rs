//! How SQL reads a member of a document: always by its type, and never with a cast that could fail.

use super::{
    sql::{Bind, Writer},
    tree::{Path, Root},
    vocabulary::{BOOKKEEPING, Kind},
};

/// The SQL expression by which conditions read a member, for whoever creates an index on it.
///
/// The table's own columns for the bookkeeping; for members of the document the value where it has the type, and null
/// where it has another or is missing. Timestamps are read as text, whose order is theirs; lists as they are, for an
/// index of the kind GIN. None for objects and unknown kinds, and where a name is no plain word: such names are sent as
/// parameters, which an index can't match.
pub fn accessor(path: &[String], kind: &Kind) -> Option<String> {
    if let [member] = path
        && BOOKKEEPING.iter().any(|(name, _)| name == member)
    {
        return Some(member.clone());
    }
    if path.is_empty() || !path.iter().all(|name| is_plain(name)) {
        return None;
    }
    let document = Place {
        base: "data".to_owned(),
        members: path,
        is_document: true,
    };
    let mut writer = Writer::new("");
    match kind {
        Kind::Boolean => writer.member_as_boolean(&document),
        Kind::Number => writer.member_as_number(&document),
        Kind::String | Kind::Uuid | Kind::Timestamp => writer.member_as_text(&document),
        Kind::List(_) => {
            writer.push("(");
            writer.as_stored(&document);
            writer.push(")");
        }
        Kind::Object(_) | Kind::Any => return None,
    }
    writer.finish().into_plain_text()
}

/// Whether a name can stand in SQL as a literal: nothing in it has to be escaped.
fn is_plain(name: &str) -> bool {
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Where `jsonb` is found.
pub(super) struct Place<'p> {
    base: String,
    members: &'p [String],
    /// Whether the base is the document, which is always an object; otherwise it is an element of a list.
    is_document: bool,
}

impl Writer {
    /// Where a path leads that is not one of the columns.
    pub(super) fn place<'p>(&self, path: &'p Path) -> Place<'p> {
        let (base, is_document) = match path.root {
            Root::Variable(variable) => (format!("e{variable}.v"), false),
            _ => (self.column("data"), true),
        };
        Place {
            base,
            members: &path.members,
            is_document,
        }
    }

    fn name(&mut self, name: &str) {
        if is_plain(name) {
            self.push(format!("'{name}'"));
        } else {
            self.bind(Bind::Text(name.to_owned()));
        }
    }

    /// The first `depth` members down, as `jsonb`; null where there is nothing.
    fn descend(&mut self, place: &Place<'_>, depth: usize) {
        self.push(place.base.clone());
        for name in place.members.iter().take(depth) {
            self.push("->");
            self.name(name);
        }
    }

    fn as_stored(&mut self, place: &Place<'_>) {
        self.descend(place, place.members.len());
    }

    /// The text of a string or number.
    fn unquoted(&mut self, place: &Place<'_>) {
        match place.members.split_last() {
            Some((last, before)) => {
                self.descend(place, before.len());
                self.push("->>");
                self.name(last);
            }
            None => self.push(format!("{} #>> '{{}}'", place.base)),
        }
    }

    fn if_type(&mut self, place: &Place<'_>, json_type: &'static str) {
        self.push("case when jsonb_typeof(");
        self.as_stored(place);
        self.push(") = '");
        self.push(json_type);
        self.push("' then ");
    }

    pub(super) fn member_as_text(&mut self, place: &Place<'_>) {
        self.push("((");
        self.if_type(place, "string");
        self.unquoted(place);
        self.push(" end) collate \"C\")");
    }

    pub(super) fn member_as_number(&mut self, place: &Place<'_>) {
        self.push("(");
        self.if_type(place, "number");
        self.push("(");
        self.unquoted(place);
        self.push(")::numeric end)");
    }

    pub(super) fn member_as_boolean(&mut self, place: &Place<'_>) {
        self.push("(");
        self.if_type(place, "boolean");
        self.push("(");
        self.unquoted(place);
        self.push(")::boolean end)");
    }

    pub(super) fn member_size(&mut self, place: &Place<'_>) {
        self.push("(case jsonb_typeof(");
        self.as_stored(place);
        self.push(") when 'string' then char_length(");
        self.unquoted(place);
        self.push(") when 'array' then jsonb_array_length(");
        self.as_stored(place);
        self.push(") end)::numeric");
    }

    /// The elements of a list as rows; none where there is no list.
    pub(super) fn member_elements(&mut self, place: &Place<'_>, variable: usize) {
        self.push("jsonb_array_elements(");
        self.if_type(place, "array");
        self.as_stored(place);
        self.push(format!(" end) as e{variable}(v)"));
    }

    pub(super) fn member_is_list(&mut self, place: &Place<'_>) {
        self.push("jsonb_typeof(");
        self.as_stored(place);
        self.push(") = 'array'");
    }

    pub(super) fn member_has_element(&mut self, place: &Place<'_>, element: serde_json::Value) {
        self.as_stored(place);
        self.push(" @> ");
        self.bind(Bind::Json(element));
    }

    /// The value as `jsonb`, where a missing one is JSON's null, and SQL's null says that the way there is an error.
    pub(super) fn member_as_json(&mut self, place: &Place<'_>) {
        let first = usize::from(place.is_document);
        let parents = first..place.members.len();
        if parents.is_empty() {
            return self.null_if_missing(place);
        }
        self.push("(case when ");
        for depth in parents {
            if depth > first {
                self.push(" and ");
            }
            self.push("coalesce(jsonb_typeof(");
            self.descend(place, depth);
            self.push("), 'null') in ('object', 'null')");
        }
        self.push(" then ");
        self.null_if_missing(place);
        self.push(" end)");
    }

    fn null_if_missing(&mut self, place: &Place<'_>) {
        self.push("coalesce(");
        self.as_stored(place);
        self.push(", 'null')");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &[&str], kind: &Kind) -> Option<String> {
        let path: Vec<_> = path.iter().map(|name| (*name).to_owned()).collect();
        accessor(&path, kind)
    }

    #[test]
    fn accessors_are_guarded_by_type() {
        let number =
            "(case when jsonb_typeof(data->'price') = 'number' then (data->>'price')::numeric end)";
        assert_eq!(written(&["price"], &Kind::Number).as_deref(), Some(number));
        let text = "((case when jsonb_typeof(data->'a'->'b') = 'string' then data->'a'->>'b' end) collate \"C\")";
        assert_eq!(
            written(&["a", "b"], &Kind::Timestamp).as_deref(),
            Some(text)
        );
        assert_eq!(written(&["owner"], &Kind::Uuid).as_deref(), Some("owner"));
    }

    #[test]
    fn what_can_not_be_indexed_has_no_accessor() {
        assert_eq!(written(&["price"], &Kind::Any), None);
        assert_eq!(written(&[], &Kind::String), None);
        for name in ["", "it's", "a b", "1a", "é", "a-b"] {
            assert_eq!(written(&[name], &Kind::String), None, "{name}");
        }
    }
}
