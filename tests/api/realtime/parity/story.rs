//! Rules, filters and documents by chance: such that what somebody sees changes often.

use serde_json::{Map, Value, json};
use tollgate::rules::{Members, Rule, Vocabulary};

use crate::rules::{
    documents::{self, NUMBERS, number},
    draw::Draw,
    terms::Author,
};

/// What a collection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any document.
    Open,
    /// Members of known types, of which some are not for everybody.
    Typed,
}

/// What asks who it is.
const OF_AUTH: [&str; 14] = [
    "record.owner == auth.sub",
    "record.owner == auth.sub",
    "record.owner != auth.sub",
    "auth.sub in record.members",
    "auth.sub in record.members",
    "record.members.exists(one, one == auth.sub)",
    "record.u == auth.sub",
    "'staff' in auth.roles",
    "!('staff' in auth.roles)",
    "auth.sub != null",
    "record.n <= auth.level",
    "auth.level > 1",
    "record.s in auth.teams",
    "auth.teams.exists(one, one == record.s && record.n > 0)",
];

/// What asks the record alone.
const OF_RECORD: [&str; 29] = [
    "record.n >= 1",
    "record.n < 2",
    "record.n == 1.0",
    "record.n + record.o.n > 2",
    "record.s == 'a'",
    "record.s != 'b'",
    "record.s in ['a', 'é', null]",
    "record.s < record.t",
    "record.s == record.o.s",
    "record.s.startsWith('a')",
    "record.t == null",
    "record.t != null",
    "has(record.o.s)",
    "record.o.n != 1",
    "record.o == null",
    "record.b",
    "!record.b",
    "record.b == null",
    "record.tags.exists(one, one == 'a')",
    "record.tags.all(one, one != 'b')",
    "record.tags == ['a', 'b']",
    "size(record.tags) > 1",
    "'a' in record.tags",
    "record.owner == null",
    "record.version > 2",
    "record.version == 1",
    "record.updated_at > record.created_at",
    "record.created_at == record.updated_at",
    "record.at < timestamp('2026-01-01T00:00:00.001Z')",
];

const TEXTS: [&str; 4] = ["a", "b", "ab", "é"];
const MOMENTS: [&str; 3] = [
    "2025-12-31T23:00:00.000Z",
    "2026-01-01T00:00:00.000Z",
    "2026-01-01T00:00:00.123Z",
];

impl Shape {
    /// The schema of its documents.
    pub fn schema(self, draw: &mut Draw) -> Value {
        if self == Self::Open {
            return json!({"type": "object"});
        }
        let mut schema = json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "s": {"type": "string"}, "t": {"type": "string"}, "n": {"type": "number"}, "b": {"type": "boolean"},
                "u": {"type": "string", "format": "uuid"}, "at": {"type": "string", "format": "date-time"},
                "members": {"type": "array", "items": {"type": "string", "format": "uuid"}},
                "tags": {"type": "array", "items": {"type": "string"}},
                "o": {"type": "object", "properties": {"s": {"type": "string"}, "n": {"type": "number"}}},
            },
        });
        for name in ["t", "at", "u"] {
            if draw.percent(40) {
                schema["properties"][name]["x-readable"] = json!(self.rule(draw));
            }
        }
        schema
    }

    /// Who may see something.
    pub fn rule(self, draw: &mut Draw) -> String {
        let depth = draw.below(3);
        self.condition(draw, depth, true)
    }

    /// What somebody wants to see.
    pub fn filter(self, draw: &mut Draw) -> String {
        let depth = draw.below(3);
        self.condition(draw, depth, false).replace("record.", "")
    }

    fn condition(self, draw: &mut Draw, depth: usize, is_rule: bool) -> String {
        if depth == 0 {
            return match draw.below(100) {
                0..25 if self == Self::Open => written(draw, is_rule),
                0..65 if is_rule => draw.one(&OF_AUTH).to_owned(),
                _ => draw.one(&OF_RECORD).to_owned(),
            };
        }
        let mut part = || self.condition(draw, depth - 1, is_rule);
        let (one, other) = (part(), part());
        match draw.below(8) {
            0..2 => format!("({one} && {other})"),
            2..6 => format!("({one} || {other})"),
            6 => format!("({one}) == ({other})"),
            _ => format!("!({one})"),
        }
    }

    /// A document, in which much may be missing.
    pub fn document(self, draw: &mut Draw, people: &[String]) -> Map<String, Value> {
        let base = match self {
            Self::Open if draw.percent(40) => documents::document(draw),
            _ => json!({}),
        };
        let mut document = base.as_object().cloned().unwrap_or_default();
        for name in ["s", "t", "n", "b", "u", "at", "members", "tags", "o"] {
            if draw.percent(85) {
                document.insert(name.to_owned(), self.value(draw, name, people));
            }
        }
        document
    }

    fn value(self, draw: &mut Draw, name: &str, people: &[String]) -> Value {
        if self == Self::Open && draw.percent(12) {
            return draw_any(draw);
        }
        let text = |draw: &mut Draw| json!(draw.one(&TEXTS));
        let amount = |draw: &mut Draw| number(draw.one(&["0", "1", "1.0", "2", "3.50"]));
        let somebody = |draw: &mut Draw| json!(people[draw.below(people.len())]);
        let many = |draw: &mut Draw, item: &dyn Fn(&mut Draw) -> Value| -> Value {
            (0..draw.below(4)).map(|_| item(draw)).collect()
        };
        match name {
            "n" => amount(draw),
            "b" => json!(draw.percent(50)),
            "u" => somebody(draw),
            "at" => json!(draw.one(&MOMENTS)),
            "members" => many(draw, &somebody),
            "tags" => many(draw, &text),
            "o" => json!({"s": text(draw), "n": amount(draw)}),
            _ => text(draw),
        }
    }

    /// What is to be changed of one: some members, of which some are taken away.
    pub fn patch(self, draw: &mut Draw, people: &[String]) -> Value {
        let mut patch = self.document(draw, people);
        let names: Vec<_> = patch.keys().cloned().collect();
        for name in names {
            match draw.below(10) {
                0..6 => drop(patch.remove(&name)),
                6 => drop(patch.insert(name, Value::Null)),
                _ => {}
            }
        }
        Value::Object(patch)
    }
}

fn draw_any(draw: &mut Draw) -> Value {
    match draw.below(5) {
        0 => Value::Null,
        1 => json!([1, "a", null]),
        2 => json!({"s": "a"}),
        3 => number(draw.one(&NUMBERS)),
        _ => json!(draw.one(&TEXTS)),
    }
}

/// As the test writes that compares both compilers of the language; none that reads what there is not for lists.
fn written(draw: &mut Draw, is_rule: bool) -> String {
    let open = || Members::open::<&str>([]);
    let vocabulary = Vocabulary::of_rule(open()).with_record(open());
    loop {
        let depth = draw.below(3);
        let text = Author::new(draw).condition(depth).to_string();
        let is_apt = is_rule || !(text.contains("auth") || text.contains("record["));
        let rule = Rule::parse(&text, &vocabulary);
        if is_apt && rule.is_ok_and(|rule| !rule.uses_now()) {
            return format!("({text})");
        }
    }
}
